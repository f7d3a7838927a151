"""What the engine reports: events in order, and what an alarm must remember over a restart."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

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
    ACKNOWLEDGED = "acknowledged"
    SHELVED = "shelved"
    UNSHELVED = "unshelved"
    CHATTERING = "chattering"
    """Raised for the third time within a minute: first calls are held back from now on."""
    SETTLED = "settled"
    """A minute without another raise: chattering is over."""
    REMOVED = "removed"
    """The configuration has it no longer."""
    CLOCK = "clock"
    """Whether the wall clock is synchronised, which opens every schedule where it is not. Of no alarm."""


@dataclass(frozen=True, slots=True)
class Event:
    """One change of an alarm instance, or one call that it makes or holds back."""

    at: int
    """CLOCK_BOOTTIME in microseconds: exactly the instant at which it was due."""
    kind: EventKind
    alarm: str | None
    """None: it is about the agent as a whole."""
    instance: str | None
    rule: str | None
    """The IoTCall rule of call, repeat and suppressed; None for the others."""
    reason: str
    episode: int
    priority: Priority
    withdraws: bool = False
    """What of this episode's calls still waits is withdrawn (cancel_on_clear)."""


@dataclass(frozen=True, slots=True)
class Owed:
    """A call that was held back and is made, once, when nothing holds it back any more."""

    kind: EventKind
    rules: tuple[str, ...]


class TermMemory(NamedTuple):
    """What one condition of an alarm instance must remember over a restart."""

    holds: bool
    strict: bool
    """Whether it would hold without the deadband: what counts once the alarm is over."""
    met: bool
    """Its point was seen: silence counts from the start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmRecord:
    """All that an alarm instance must remember over a restart. Instants are of one boot's CLOCK_BOOTTIME, in µs.

    Everything but what was there from the first version has a default: a database of an earlier version lacks it.
    """

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
    terms: tuple[TermMemory, ...] = ()
    ended_at: int | None = None
    """When the condition ended that a raised or clearing alarm had: off_delay counts from here."""
    acknowledged: bool = False
    shelved_until: int | None = None
    raised_at: tuple[int, ...] = ()
    """The last raises, oldest first: as many as tell chattering."""
    chattering_until: int | None = None
    chatter: int = 0
    """How often it was raised since it began to chatter."""

    def shifted(self, by: int) -> "AlarmRecord":
        """Return the record with every instant moved: for another boot's clock."""

        def moved(at: int | None) -> int | None:
            return None if at is None else at + by

        return replace(
            self,
            since=self.since + by,
            called_at=moved(self.called_at),
            episode_called_at=moved(self.episode_called_at),
            ended_at=moved(self.ended_at),
            shelved_until=moved(self.shelved_until),
            raised_at=tuple(at + by for at in self.raised_at),
            chattering_until=moved(self.chattering_until),
        )


@dataclass(frozen=True, slots=True)
class Changes:
    """What one batch of readings led to: to be written in one transaction."""

    events: tuple[Event, ...]
    records: tuple[AlarmRecord, ...]

    def __bool__(self) -> bool:
        return bool(self.events or self.records)
