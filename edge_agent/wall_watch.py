"""How far the wall clock is from the engine's, and whether it can be believed: looked at often, and cheaply."""

from edge_agent.core.fields import SECOND
from edge_agent.delivery.rows import Clocks

_TOLERANCE = SECOND // 100
"""Two readings of two clocks are never quite simultaneous, and a clock that is being steered drifts."""
_LOOK_EVERY = SECOND


class WallWatch:
    """Notices that the wall clock was set, and that it was synchronised or no longer is. For one thread."""

    def __init__(self, clocks: Clocks) -> None:
        self._clocks = clocks
        self.skew = clocks.wall() - clocks.now()
        """Unix time minus the engine's time, in microseconds."""
        self.synced = clocks.synced()
        """Whether the wall clock is known to be right; at most a second old."""
        self._asked_at = clocks.now()

    def look(self, now: int) -> bool:
        """Look at the clocks; return whether one of the two has changed."""
        skew = self._clocks.wall() - self._clocks.now()
        jumped = abs(skew - self.skew) > _TOLERANCE
        if jumped:
            self.skew = skew
        synced = self.synced
        if jumped or now - self._asked_at >= _LOOK_EVERY:  # a file and a system call: not with each reading
            self._asked_at = now
            self.synced = self._clocks.synced()
        return jumped or self.synced is not synced
