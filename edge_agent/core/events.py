"""What the engine reports: events in order, and what an alarm must remember over a restart."""

from dataclasses import dataclass
from enum import StrEnum

from edge_agent.core.settings import Priority


class State(StrEnum):
    """The states of an alarm (ISA-18.2 / IEC 62682)."""

    NORMAL = "normal"
    PENDING = "pending"
    RAISED = "raised"
    CLEARING = "clearing"

    @property
    def active(self) -> bool:
        """Return whether the alarm counts as raised: it is over only when it is cleared."""
        return self in (State.RAISED, State.CLEARING)


class EventKind(StrEnum):
    """What can happen to an alarm instance."""

    PENDING = "pending"
    DROPPED = "dropped"
    RAISED = "raised"
    CLEARING = "clearing"
    RESUMED = "resumed"
    CLEARED = "cleared"
    CALL = "call"
    REPEAT = "repeat"
    SUPPRESSED = "suppressed"


@dataclass(frozen=True, slots=True)
class Event:
    """One change of an alarm instance, or one call that it makes or holds back."""

    at: int
    """CLOCK_BOOTTIME in microseconds: exactly the instant at which it was due."""
    kind: EventKind
    alarm: str
    instance: str | None
    rule: str | None
    """The IoTCall rule of call, repeat and suppressed; None for the others."""
    reason: str
    episode: int
    priority: Priority


@dataclass(frozen=True, slots=True)
class Owed:
    """A call that was held back and is made, once, when nothing holds it back any more."""

    kind: EventKind
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AlarmRecord:
    """All that an alarm instance must remember over a restart. Instants are of one boot's CLOCK_BOOTTIME, in µs."""

    alarm: str
    instance: str | None
    state: State
    since: int
    holds: bool
    why: str
    episode: int
    called_at: int | None
    """The last call or repeat of any episode: the cooldown counts from here."""
    episode_called_at: int | None
    """The last call or repeat of this episode: the next repeat counts from here."""
    repeats: int
    owed: Owed | None

    def shifted(self, by: int) -> "AlarmRecord":
        """Return the record with every instant moved: for another boot's clock."""
        moved = [None if at is None else at + by for at in (self.called_at, self.episode_called_at)]
        return AlarmRecord(
            self.alarm, self.instance, self.state, self.since + by, self.holds, self.why,
            self.episode, moved[0], moved[1], self.repeats, self.owed,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Changes:
    """What one batch of readings led to: to be written in one transaction."""

    events: tuple[Event, ...]
    records: tuple[AlarmRecord, ...]

    def __bool__(self) -> bool:
        return bool(self.events or self.records)
