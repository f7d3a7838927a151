"""Chattering: an alarm instance that is raised again and again within a minute, and what would calm it."""

import math

from edge_agent.core.fields import SECOND, format_duration

WINDOW = 60 * SECOND
RAISES = 3
_MARGIN = 1.01
"""A value just at the end of the deadband would end the episode."""
_NICE = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0, 10.0)


class Chatter:
    """Counts raises: from the third within a minute until a minute after the last one the alarm chatters.

    While it does, it notes how far and for how long the condition had gone between two episodes: a deadband or an
    off_delay of that much would have made them one. These are not kept over a restart.
    """

    __slots__ = ("_began_at", "_cleared_at", "_depth", "_depth_now", "_gap", "_gaps", "count", "raised_at", "until")

    def __init__(self, raised_at: tuple[int, ...] = (), until: int | None = None, count: int = 0) -> None:
        self.raised_at = raised_at
        """The last raises, oldest first: as many as tell whether the next one is one too many."""
        self.until = until
        """It chatters until then; None: it does not."""
        self.count = count
        """Raises since it began to chatter, the first ones included."""
        self._began_at: int | None = None
        self._cleared_at: int | None = None
        self._gap = 0
        self._gaps: tuple[int, ...] = ()
        """The last ones, before it is known that it chatters."""
        self._depth: float | None = None
        self._depth_now: float | None = None

    def note_raise(self, at: int) -> bool:
        """Take note of a raise; return whether chattering begins with it."""
        self.raised_at = (*self.raised_at, at)[-RAISES:]
        self._end_gap(at)
        if self.until is not None:
            self.until = at + WINDOW
            self.count += 1
            return False
        if len(self.raised_at) < RAISES or at - self.raised_at[0] >= WINDOW:
            return False
        self.until = at + WINDOW
        self.count = RAISES
        self._began_at = self.raised_at[0]
        self._gap = max(self._gaps, default=0)
        return True

    def note_clear(self, at: int) -> None:
        """Take note that the condition has ended its episode."""
        self._cleared_at = at

    def note_retreat(self, depth: float) -> None:
        """Take note of how far a value is from raising the alarm again."""
        self._depth_now = depth if self._depth_now is None else max(depth, self._depth_now)

    def _end_gap(self, at: int) -> None:
        if self._cleared_at is not None:
            self._gaps = (*self._gaps, at - self._cleared_at)[1 - RAISES :]
        if self.until is not None:
            self._gap = max(self._gap, *self._gaps[-1:], 0)
            if self._depth_now is not None:
                self._depth = self._depth_now if self._depth is None else max(self._depth, self._depth_now)
        self._cleared_at = self._depth_now = None

    def settle(self) -> str:
        """End it; return what was seen, and what would have calmed it."""
        lasted = self.raised_at[-1] - self._began_at if self._began_at is not None else None
        seen = f"raised {self.count} times" + (f" in {format_duration(lasted)}" if lasted else "")
        advice = self.advice()
        self.until, self.count = None, 0
        self._began_at, self._gap, self._depth = None, 0, None
        return f"{seen}; {advice}" if advice else seen

    def advice(self) -> str:
        """Return what would have calmed it so far, from what was seen; "" where that is not known."""
        ways = []
        if self._depth is not None and self._depth > 0:
            ways.append(f"deadband = {nicely_up(self._depth * _MARGIN):g}")
        if self._gap > 0:
            ways.append(f'off_delay = "{format_duration(round(nicely_up(self._gap / SECOND * _MARGIN) * SECOND))}"')
        return f"one episode with {' or '.join(ways)}" if ways else ""


def nicely_up(value: float) -> float:
    """Return the next number that people like: 0.83 is 1, 3.2 is 5."""
    magnitude = 10.0 ** math.floor(math.log10(value))
    step = next(nice for nice in _NICE if nice * magnitude >= value * (1 - 1e-12))
    return float(f"{step * magnitude:.6g}")
