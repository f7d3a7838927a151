"""Counts of attempts and of the time from alarm to placed, for metrics. Safe from any thread."""

import bisect
import threading

from edge_agent.core.fields import SECOND
from edge_agent.iotcall.outcome import Result

BUCKETS_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0, 86400.0)
"""Upper bounds of the histogram from alarm to placed."""


class Tally:
    """What the sender has done since it started."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.attempts = {str(result): 0 for result in Result}
        self.delays = [0] * (len(BUCKETS_S) + 1)
        self.delay_sum_s = 0.0

    def attempt(self, result: Result) -> None:
        """Count an attempt by its result."""
        with self._lock:
            self.attempts[result] += 1

    def placed(self, delay: int) -> None:
        """Count a call placed so many microseconds after its alarm."""
        with self._lock:
            self.delays[bisect.bisect_left(BUCKETS_S, delay / SECOND)] += 1
            self.delay_sum_s += delay / SECOND
