"""Plays readings and people's commands through the engine in virtual time. It reads no clock and writes nothing."""

from collections.abc import Callable, Iterable, Iterator

from edge_agent.config.settings import Config
from edge_agent.core.engine import Engine
from edge_agent.core.events import Event
from edge_agent.core.fields import format_duration
from edge_agent.core.reading import Reading, split_point
from edge_agent.engine_settings import engine_settings
from edge_agent.tools.replay.entries import Command, Entry

MAX_NAMED = 1000
"""So many unknown points and alarms are named; a file may hold millions, and memory stays constant."""
_BY_HAND = "by hand"


def _silent(_message: str) -> None:
    """Warn nobody."""


class Player:
    """The alarms of a configuration, in virtual time: instants are Unix microseconds, and the clock is synchronised.

    All alarms begin normal, at the instant of `begin`, else of the first entry. A point or alarm that the
    configuration does not know moves the clock; `warn` hears of each once.
    """

    def __init__(self, config: Config, warn: Callable[[str], None] = _silent) -> None:
        self.config = config
        self.zone = config.zone()
        self._settings = engine_settings(config)
        self._warn = warn
        self._engine: Engine | None = None
        self.began_at = 0
        self._unknown: set[str] = set()

    @property
    def engine(self) -> Engine:
        """Return the engine: its points and alarms as they are now. There is none before the beginning."""
        if self._engine is None:
            raise RuntimeError("the player has not begun")
        return self._engine

    @property
    def begun(self) -> bool:
        """Return whether there was a beginning."""
        return self._engine is not None

    @property
    def now(self) -> int:
        """Return the instant reached."""
        return self.engine.now

    def begin(self, at: int) -> None:
        """Begin at this instant: silence counts from here."""
        self.began_at = at
        self._engine = Engine(self._settings, at, skew=0, synced=True)

    def feed(self, entry: Entry) -> tuple[Event, ...]:
        """Serve what falls due up to an entry, that instant included, then the entry; return the events, in order.

        An entry of an earlier instant than the one reached is taken at the one reached.
        """
        engine = self._engine
        if engine is None:
            self.begin(entry.at)
            engine = self.engine
        if isinstance(entry, Command):
            self._obey(engine, entry)
        elif entry.point in engine.points:  # nearly all
            engine.feed(entry)
        else:
            self._feed_new(engine, entry)
        return engine.take().events

    def finish(self, until: int | None = None) -> tuple[Event, ...]:
        """Serve what falls due up to the end, that instant included: the last entry's, or a later one."""
        if self._engine is None:
            return ()
        self._engine.tick(self._engine.now if until is None else max(until, self._engine.now))
        return self._engine.take().events

    def play(self, entries: Iterable[Entry], until: int | None = None) -> Iterator[Event]:
        """Feed many entries, those after `until` excepted; yield the events as they happen. `finish` is not implied."""
        for entry in entries:
            if until is not None and entry.at > until:
                break
            events = self.feed(entry)
            if events:
                yield from events

    def run(self, entries: Iterable[Entry], until: int | None = None) -> Iterator[Event]:
        """Feed many entries, and finish."""
        yield from self.play(entries, until)
        yield from self.finish(until)

    def _feed_new(self, engine: Engine, reading: Reading) -> None:
        """Feed a reading of a point that the engine has not met."""
        name = reading.point
        if name in self._unknown:
            engine.tick(reading.at)
            return
        engine.feed(reading)
        if name in engine.points:
            return
        why = engine.refuses(name)
        source, _, field = split_point(name)
        if why is None:
            self._note(
                name, f"{name}: {source} has max_instances = {self._settings.sources[source].max_instances} already"
            )
        elif reading.value is not None or field is not None or source not in self._settings.sources:
            self._note(name, f"{name}: {why}")  # else it is a bad frame: the engine took it for each of its fields

    def _obey(self, engine: Engine, command: Command) -> None:
        at = max(command.at, engine.now)
        engine.tick(at)
        settings = self._settings.alarms.get(command.alarm)
        if settings is None or not settings.enabled:
            why = "no alarm is called so" if settings is None else "the alarm is not enabled"
            self._note(f"!{command.alarm}", f"{command.word} of {command.alarm}: {why}")
        elif command.word == "ack":
            engine.acknowledge(command.alarm, command.instance, at, _BY_HAND)
        elif command.word == "unshelve":
            engine.unshelve(command.alarm, command.instance, at, _BY_HAND)
        elif command.until is not None and command.until > at:
            engine.shelve(command.alarm, command.instance, self._shelf_end(command, at), at, _BY_HAND)

    def _shelf_end(self, command: Command, at: int) -> int:
        """Return until when a shelf holds: no configuration lets one be longer than it allows."""
        longest = self.config.agent.max_shelve
        until = command.until or 0
        if until - at > longest:
            short = f"ends after agent.max_shelve = {format_duration(longest)}"
            self._note(f"!shelve {command.alarm}", f"shelve of {command.alarm}: the shelf {short}")
        return min(until, at + longest)

    def _note(self, name: str, why: str) -> None:
        if name in self._unknown or len(self._unknown) > MAX_NAMED:
            return
        self._unknown.add(name)
        if len(self._unknown) > MAX_NAMED:
            self._warn("further unknown points and alarms are not named")
        else:
            self._warn(why)
