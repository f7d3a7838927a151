"""What is in a picture, without saying how it looks: points with their limits, and under each its alarms."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import tzinfo

from edge_agent.core.events import EventKind
from edge_agent.tools.replay.plot_data import Lane, Track


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit of an alarm on a point of numbers."""

    value: float
    label: str
    deadband: tuple[float, float] | None = None
    """Where a raised alarm stays raised."""


@dataclass(frozen=True, slots=True)
class Strip:
    """An alarm instance, to be drawn as a band of its states."""

    label: str
    about: str
    """Its condition and delay, in words."""
    lane: Lane


@dataclass(frozen=True, slots=True)
class Block:
    """A point and the alarms that look at it alone; without a track only alarms."""

    title: str
    unit: str
    track: Track | None
    limits: tuple[Limit, ...]
    wanted: tuple[float, ...]
    """Of a switch or a text: the levels that an alarm is about."""
    strips: tuple[Strip, ...]
    left_out: int = 0
    """Further alarms that are not shown."""

    @property
    def weight(self) -> int:
        """Return how much it is worth showing."""
        return max((strip.lane.weight for strip in self.strips), default=0)


@dataclass(frozen=True, slots=True)
class Picture:
    """All of it. Instants are Unix microseconds."""

    title: str
    begin: int
    end: int
    zone: tzinfo
    counts: Mapping[EventKind, int]
    """How often what happened, in the alarms that are not shown too."""
    blocks: tuple[Block, ...]
    notes: tuple[str, ...]
