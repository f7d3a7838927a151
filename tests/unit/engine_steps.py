"""What a script of engine tests is made of, and what is compared: readings, people's commands, events."""

from dataclasses import dataclass
from typing import NamedTuple

from edge_agent.core.reading import Reading


@dataclass(frozen=True, slots=True)
class Ack:
    """Somebody acknowledges an alarm; instance None: all that there are."""

    alarm: str
    instance: str | None
    at: int


@dataclass(frozen=True, slots=True)
class Shelve:
    """Somebody shelves an alarm until an instant."""

    alarm: str
    instance: str | None
    until: int
    at: int


@dataclass(frozen=True, slots=True)
class Unshelve:
    """Somebody takes an alarm from the shelf."""

    alarm: str
    instance: str | None
    at: int


@dataclass(frozen=True, slots=True)
class Trigger:
    """A rule was triggered by something else: it counts in the budget."""

    rule: str
    at: int


@dataclass(frozen=True, slots=True)
class Clock:
    """The wall clock jumps, or gets or loses its synchronisation."""

    skew: int
    synced: bool
    at: int


@dataclass(frozen=True, slots=True)
class Restart:
    """The agent ends and begins again at once, with what the database knows."""

    at: int


Step = Reading | Ack | Shelve | Unshelve | Trigger | Clock | Restart


class Happening(NamedTuple):
    """An event, as far as the semantics fix it: `why` is the first word of the reason of what is held back."""

    at: int
    word: str
    alarm: str
    instance: str | None
    rule: str | None = None
    why: str = ""
