"""What is known of the line to IoTCall, and when it is tried. Time and chance are arguments."""

import threading
from enum import Enum

from edge_agent.core.fields import SECOND
from edge_agent.delivery.policy import LINE
from edge_agent.iotcall.outcome import Result

_TRY_EVERY_S = (3.5, 4.5)
"""From one try of an unreachable line to the next: never two agents in step, never later than 5 s."""


class Turn(Enum):
    """What an outcome says about the line."""

    NOTHING = 0
    UP = 1
    """What waits for the line is due."""
    DOWN = 2


class LineState:
    """Whether IoTCall can be reached. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._up_at = 0
        self._try_at = 0
        self.reachable: bool | None = None
        """Whether the last attempt reached IoTCall; None before the first."""

    def observe(self, result: Result, begun_at: int, now: int) -> Turn:
        """Take an outcome of an attempt that was begun at an instant; return what it changes."""
        with self._lock:
            before = self.reachable
            if result.reached:
                self.reachable = True
                if before is not True:
                    self._up_at = now
                    return Turn.UP
            elif self._is_stale(result, begun_at):
                return Turn.UP
            elif result in LINE:
                self.reachable = False
                if before is not False:
                    return Turn.DOWN
            return Turn.NOTHING

    def is_stale(self, result: Result, begun_at: int) -> bool:
        """Return whether a failure says nothing any more: the line came back after the attempt was begun."""
        with self._lock:
            return self._is_stale(result, begun_at)

    def _is_stale(self, result: Result, begun_at: int) -> bool:
        return result in LINE and self.reachable is True and begun_at < self._up_at

    def tried(self, now: int, chance: float) -> None:
        """Note that an attempt was begun: the next try of the line counts from here."""
        low, high = _TRY_EVERY_S
        with self._lock:
            self._try_at = now + round((low + (high - low) * chance) * SECOND)

    def try_at(self) -> int | None:
        """Return when to try the line; None: it is up."""
        with self._lock:
            return None if self.reachable is True else self._try_at
