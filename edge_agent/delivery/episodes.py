"""Episodes: the events of an alarm instance from pending, or raised, to cleared. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from edge_agent.core.fields import SECOND

Row = Mapping[str, Any]
"""An event as `History` gives it, or a call as `outbox list --json` shows it."""

BEGINS = ("pending", "raised")
ENDS = ("dropped", "cleared", "removed")
_WITHIN = ("raised", "clearing", "resumed", "call", "repeat", "suppressed", "acknowledged")
_ABOUT = 60 * SECOND
"""Who asks for 03:12 means that minute."""


@dataclass(slots=True)
class Episode:
    """From pending, or raised, to cleared: the events of one alarm instance in between."""

    events: list[Row] = field(default_factory=list)
    ended: bool = False

    @property
    def began_at(self) -> int:
        """Return the Unix microseconds of its first event."""
        return int(self.events[0]["wall"])

    @property
    def ended_at(self) -> int | None:
        """Return the Unix microseconds of its end; None: it goes on."""
        return int(self.events[-1]["wall"]) if self.ended else None

    @property
    def raised_at(self) -> int | None:
        """Return when it was raised; None: it never was."""
        return next((int(event["wall"]) for event in self.events if event["event"] in _WITHIN), None)

    def covers(self, wall: int, slack: int = 0) -> bool:
        """Return whether an instant lies in it, or so close to it."""
        ended_at = self.ended_at
        return self.began_at - slack <= wall and (ended_at is None or wall <= ended_at + slack)

    def calls(self) -> list[int]:
        """Return the rows of its calls, as far as its events name them."""
        return list(dict.fromkeys(event["call"] for event in self.events if event["call"] is not None))

    def unnamed(self) -> bool:
        """Return whether calls were made or held back whose rows the events do not name (of an early version)."""
        return any(event["call"] is None and event["rule"] is not None for event in self.events)


def episodes(events: Iterable[Row]) -> list[Episode]:
    """Return the episodes of an alarm instance, oldest first; the first may lack its beginning."""
    found: list[Episode] = []
    for event in events:
        kind = event["event"]
        current = found[-1] if found and not found[-1].ended else None
        begins = kind == "pending" or (kind == "raised" and (current is None or current.raised_at is not None))
        if begins or (current is None and kind in (*_WITHIN, *ENDS) and kind != "removed"):
            current = Episode()
            found.append(current)
        if current is not None:
            current.events.append(event)
            current.ended = kind in ENDS
    return found


def episode_at(events: Iterable[Row], at: int | None) -> Episode | None:
    """Return the episode of an instant, or one within a minute of it; None: the last one of all."""
    found = episodes(events)
    if at is None:
        return found[-1] if found else None
    for slack in (0, _ABOUT):
        covering = [episode for episode in found if episode.covers(at, slack)]
        if covering:
            return covering[-1]
    return None
