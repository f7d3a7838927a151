"""People operate the running agent's alarms: what they ask for is judged here, and done by the engine's thread."""

import difflib
from collections.abc import Callable, Iterable
from datetime import tzinfo
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from edge_agent.core.alarm import Alarm
from edge_agent.core.engine import Engine
from edge_agent.core.fields import format_duration, parse_positive_duration
from edge_agent.core.instants import parse_time
from edge_agent.core.times import iso
from edge_agent.explain import Case, explain
from edge_agent.live import Live, look, owed
from edge_agent.question import NotAnsweredError, NotTakenError
from edge_agent.web.view import Refused

if TYPE_CHECKING:
    from edge_agent.agent import Agent

T = TypeVar("T")
_WITHIN_S = 5.0
_REASON = "by hand"
_MOST_EXPLAINED = 20
_MOST_NAMED = 10
Seen = tuple[str | None, Live | None]
"""An instance, and what it is now."""


class AgentPeople:
    """The commands for alarms. Safe from any thread; each raises Refused with what is wrong."""

    def __init__(self, agent: "Agent") -> None:
        self._agent = agent

    # Commands -----------------------------------------------------------------------------------------------------

    def acknowledge(self, alarm: str, instance: str | None) -> int:
        """Acknowledge an alarm's instance, None: all that are raised; return how many that changed."""
        thread, at = self._agent.engine_thread, self._agent.clock.now()
        return self._order(alarm, instance, lambda: thread.acknowledge(alarm, instance, at, _REASON))

    def shelve(self, alarm: str, instance: str | None, lasts: object, until: object, zone: tzinfo) -> int:
        """Hold back calls for a duration, or until an instant of the wall clock; return how many alarms that changed.

        It becomes an instant of CLOCK_BOOTTIME here and now: no jump of the wall clock makes it longer or shorter.
        """
        thread, at = self._agent.engine_thread, self._agent.clock.now()
        end = at + (self._duration_until(until, zone) if lasts is None else _duration(lasts))
        longest = self._agent.config.agent.max_shelve
        if end - at > longest:
            raise Refused(
                400,
                f"a shelf always ends: agent.max_shelve allows {format_duration(longest)},"
                f" and this one would last {format_duration(end - at)}",
            )
        return self._order(alarm, instance, lambda: thread.shelve(alarm, instance, end, at, _REASON))

    def unshelve(self, alarm: str, instance: str | None) -> int:
        """End the shelving of an alarm's instance, None: of all; return how many were shelved."""
        thread, at = self._agent.engine_thread, self._agent.clock.now()
        return self._order(alarm, instance, lambda: thread.unshelve(alarm, instance, at, _REASON))

    def _duration_until(self, until: object, zone: tzinfo) -> int:
        wall = self._agent.clock.wall()
        try:
            left = parse_time(until, zone) - wall
        except ValueError as error:
            raise Refused(400, f"until: {error}") from None
        if left <= 0:
            raise Refused(400, f"until is in the past: by this machine's clock it is {iso(wall, zone)}")
        return left

    def _order(self, alarm: str, instance: str | None, command: Callable[[], int]) -> int:
        """Have a command done; the answer is given once what it changed is on disk."""

        def order() -> int:
            _require(self._agent.engine_thread.engine, alarm, instance)
            return command()

        return self._ask(order)

    def _ask(self, question: Callable[[], T]) -> T:
        try:
            return self._agent.engine_thread.ask(question, _WITHIN_S)
        except NotTakenError:
            raise Refused(409, "the engine is busy, and nothing was done; try again") from None
        except NotAnsweredError:
            raise Refused(409, "the engine is busy: it is done, but not on disk yet; look again in a moment") from None

    # Views --------------------------------------------------------------------------------------------------------

    def owed(self) -> list[dict[str, Any]]:
        """Return the calls that are held back now, and by what."""
        return self._ask(lambda: owed(self._agent.engine_thread.engine))

    def explain(self, alarm: str, instance: str | None, at: int | None, zone: tzinfo) -> dict[str, Any]:
        """Return why an alarm did, or did not, call: now, or at an instant (Unix microseconds).

        Of one with several instances, none of which is named, those that are not normal are explained, or of an
        instant those that were not.
        """
        if at is not None and at > self._agent.clock.wall():
            raise Refused(
                400, f"at is in the future: by this machine's clock it is {iso(self._agent.clock.wall(), zone)}"
            )
        seen, instances = self._ask(lambda: self._look(alarm, instance, at))
        if not seen and not instances:
            seen = [(each, None) for each in self._former(alarm, instance)]
        told = (self._explain(alarm, each, live, at, zone) for each, live in seen)
        if instance is None and at is not None and len(seen) > 1:
            told = (each for each in told if each["episode"] is not None)
        return {
            "alarm": alarm,
            "at": None if at is None else iso(at, zone),
            "instances": instances,
            "explained": list(islice(told, _MOST_EXPLAINED)),
        }

    def _former(self, name: str, instance: str | None) -> list[str | None]:
        """Return the instances of an alarm that the engine has not: disabled, not seen yet, or configured no more."""
        former = self._agent.outbox.history.instances(name)
        if name not in self._agent.config.alarms and not former:
            raise _unknown(name, self._agent.config.alarms)
        return former[:_MOST_EXPLAINED] if instance is None and former else [instance]

    def _look(self, name: str, instance: str | None, at: int | None) -> tuple[list[Seen], list[str]]:
        """Return the instances to explain, as they are now, and the names of all. In the engine's thread."""
        engine = self._agent.engine_thread.engine
        settings = engine.settings.alarms.get(name)
        if settings is not None and settings.enabled:
            _require(engine, name, instance)
        found = _instances(engine, name)
        chosen = [alarm for alarm in found if instance is None or alarm.instance == instance]
        if instance is None and at is None and len(chosen) > 1:
            chosen = [alarm for alarm in chosen if str(alarm.state) != "normal"][:_MOST_EXPLAINED]
        seen: list[Seen] = [(alarm.instance, None if at is not None else look(engine, alarm)) for alarm in chosen]
        return seen, [alarm.instance for alarm in found if alarm.instance is not None]

    def _explain(
        self, alarm: str, instance: str | None, live: Live | None, at: int | None, zone: tzinfo
    ) -> dict[str, Any]:
        clock = self._agent.clock
        story = self._agent.outbox.history.story(alarm, instance, at)
        return explain(
            Case(
                alarm,
                instance,
                self._agent.config.alarms.get(alarm),
                story.events,
                story.episode,
                [call.as_json(clock, zone) for call in story.calls],
                at,
                clock.wall(),
                live,
                clock.wall_at(0),
                clock.wall_at(self._agent.started_at),
                zone,
            )
        )


def _duration(lasts: object) -> int:
    try:
        return parse_positive_duration(lasts)
    except ValueError as error:
        raise Refused(400, f"for: {error}") from None


def _instances(engine: Engine, name: str) -> list[Alarm]:
    return [alarm for alarm in engine.alarms.values() if alarm.name == name]


def _unknown(name: str, known: Iterable[str]) -> Refused:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f'; did you mean "{near[0]}"?' if near else ""
    return Refused(404, f"no alarm is called {name!r}{hint}")


def _require(engine: Engine, name: str, instance: str | None) -> None:
    """Raise Refused where there is no such alarm or instance. In the engine's thread."""
    if (name, instance) in engine.alarms:
        return
    settings = engine.settings.alarms.get(name)
    if settings is None:
        raise _unknown(name, engine.settings.alarms)
    if not settings.enabled:
        raise Refused(409, f"{name} is disabled in the configuration")
    if instance is None:
        return
    known = [repr(alarm.instance) for alarm in _instances(engine, name)]
    if known == ["None"]:
        raise Refused(404, f"{name} has no instances")
    more = ", …" if len(known) > _MOST_NAMED else ""
    there = f"there are {', '.join(known[:_MOST_NAMED])}{more}" if known else "none was seen yet"
    raise Refused(404, f"{name} has no instance {instance!r}; {there}")
