"""Counts of attempts and of the time from alarm to placed, for metrics. Safe from any thread."""

import bisect
import threading

from edge_agent.core.fields import SECOND
from edge_agent.core.times import DELAY_BUCKETS_S
from edge_agent.iotcall.outcome import Result


class Tally:
    """What the sender has done since it started."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.attempts = {str(result): 0 for result in Result}
        self.delays = [0] * (len(DELAY_BUCKETS_S) + 1)
        self.delay_sum_s = 0.0

    def attempt(self, result: Result) -> None:
        """Count an attempt by its result."""
        with self._lock:
            self.attempts[result] += 1

    def placed(self, delay: int) -> None:
        """Count a call placed so many microseconds after its alarm."""
        with self._lock:
            self.delays[bisect.bisect_left(DELAY_BUCKETS_S, delay / SECOND)] += 1
            self.delay_sum_s += delay / SECOND
