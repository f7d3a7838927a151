"""Plays scripts of readings, commands, clock jumps and restarts to the engine, and makes its events comparable."""

from collections import defaultdict
from collections.abc import Iterable
from enum import Enum

from edge_agent.core.engine import Engine, EngineSettings
from edge_agent.core.events import Event
from edge_agent.core.reading import Reading
from tests.unit.engine_steps import Ack, Clock, Happening, Restart, Shelve, Step, Trigger, Unshelve

_ASIDE = ("acknowledged", "shelved", "unshelved", "chattering", "settled")
"""Events whose place among the states and calls of one instant nothing fixes."""


class Waking(Enum):
    """When the engine is ticked between the steps of a script."""

    DEADLINES = "at its deadlines, as the agent's thread does"
    POLLING = "every little while"
    NEVER = "not at all: each step finds what fell due before it"


class Player:
    """An engine, and the clocks around it."""

    def __init__(self, config: EngineSettings, waking: Waking, poll: int) -> None:
        self.config = config
        self.waking = waking
        self.poll = poll
        self.now, self.skew, self.synced = 0, 0, True
        self.engine = Engine(config, 0)
        self.events: list[Event] = []

    def wait(self, until: int) -> None:
        """Let the time up to an instant (not included) pass."""
        if self.waking is Waking.POLLING:
            for now in range(self.now, until, self.poll):
                self.engine.tick(now)
        elif self.waking is Waking.DEADLINES:
            last = -1
            while (deadline := self.engine.deadline()) is not None and deadline < until:
                assert deadline > last, "a deadline that was served stays"
                self.engine.tick(deadline)
                last = deadline
        self.now = until

    def take(self, step: Step) -> None:
        """Give a step to the engine."""
        match step:
            case Reading():
                self.engine.feed(step)
            case Ack():
                self.engine.acknowledge(step.alarm, step.instance, step.at, "by hand")
            case Shelve():
                self.engine.shelve(step.alarm, step.instance, step.until, step.at, "by hand")
            case Unshelve():
                self.engine.unshelve(step.alarm, step.instance, step.at, "by hand")
            case Trigger():
                self.engine.tick(step.at)  # a trigger is no step of the engine's: what fell due comes first
                self.engine.count_trigger(step.rule, step.at)
            case Clock():
                self.skew, self.synced = step.skew, step.synced
                self.engine.set_clock(step.at, step.skew, step.synced)
            case Restart():
                self._restart()

    def finish(self, until: int) -> list[Event]:
        """Return all events up to an instant that is not included."""
        self.wait(until)
        self.engine.tick(until - 1)
        return self.events + list(self.engine.take().events)

    def _restart(self) -> None:
        """Go on with an engine that knows only what the database would tell it."""
        old = self.engine
        old.tick(max(self.now - 1, 0))
        self.events += old.take().events
        triggers = {rule: budget.triggers() for rule, budget in old.desk.budgets.items()}
        records = old.records()
        self.engine = Engine(self.config, self.now, records, triggers, skew=self.skew, synced=self.synced)


def play(
    config: EngineSettings, script: Iterable[Step], until: int, *, waking: Waking = Waking.DEADLINES, poll: int = 1
) -> list[Event]:
    """Return all events of a script, up to an instant that is not included."""
    player = Player(config, waking, poll)
    for step in script:
        player.wait(step.at)
        player.take(step)
    return player.finish(until)


def happened(events: Iterable[Event]) -> list[Happening]:
    """Return events as far as the semantics fix them; those of the agent as a whole are left out."""
    return [
        Happening(
            e.at, str(e.kind), e.alarm, e.instance, e.rule, _first_word(e.reason) if e.kind == "suppressed" else ""
        )
        for e in events
        if e.alarm is not None
    ]


def _first_word(reason: str) -> str:
    return reason.split(maxsplit=1)[0].rstrip(":,;")


By = dict[tuple[str, str | None], tuple[list[Happening], list[Happening]]]


def by_alarm(all_of_them: Iterable[Happening]) -> By:
    """Return what happened to each alarm instance in order, states and calls, and what stands beside them."""
    by: By = defaultdict(lambda: ([], []))
    for each in all_of_them:
        by[each.alarm, each.instance][each.word in _ASIDE].append(each)
    return dict(by)
