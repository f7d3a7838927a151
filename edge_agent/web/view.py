"""What the web room may know of the agent: read-only views and the commands that people give."""

from dataclasses import dataclass, field
from typing import Any, Protocol

from edge_agent.core.reading import Value
from edge_agent.core.times import DELAY_BUCKETS_S


class Refused(Exception):  # noqa: N818 - what is raised says what happened
    """A command that cannot be carried out; `status` is 400 (wrong), 404 (no such thing) or 409 (not now)."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Counters:
    """The numbers behind /metrics, taken at one moment."""

    readings: dict[str, tuple[int, int]] = field(default_factory=dict)
    """{source: (good, bad)}"""
    online: dict[str, bool] = field(default_factory=dict)
    alarms: list[tuple[str, str | None, str]] = field(default_factory=list)
    """[(alarm, instance, state)]"""
    calls: dict[str, int] = field(default_factory=dict)
    """{outbox state: rows}, every state"""
    attempts: dict[str, int] = field(default_factory=dict)
    """{result: attempts since start}, every result"""
    delay_buckets: tuple[int, ...] = (0,) * (len(DELAY_BUCKETS_S) + 1)
    """Calls placed within each of DELAY_BUCKETS_S, not cumulated; the last is beyond all of them."""
    delay_sum_s: float = 0.0
    queue_depth: int = 0


class View(Protocol):
    """A running agent, as the web room sees it. Every method may be called from any thread."""

    name: str

    def status(self) -> dict[str, Any]:
        """Return what `status --json` prints."""

    def outbox(self, state: str | None, limit: int | None) -> list[dict[str, Any]]:
        """Return the rows of `outbox list --json`, oldest first; with `limit` the newest so many."""

    def events(self, before: int | None, limit: int) -> tuple[list[dict[str, Any]], int | None]:
        """Return events newest first, with ids below `before`, and the next cursor (None at the end)."""

    def unhealthy(self) -> list[str]:
        """Return the names of threads that do not beat; [] when all is well."""

    def counters(self) -> Counters:
        """Return the numbers for /metrics."""

    def inject(self, point: str, value: Value | None) -> int:
        """Put a reading into the engine (None: bad quality); return 1. Raises Refused (404: no such point)."""

    def call(self, rule: str) -> dict[str, Any]:
        """Trigger a rule now, one attempt: {"result", "message", "id"}. Raises Refused."""

    def retry(self, row: int) -> int:
        """Make a waiting, failed or expired call due now; return how many rows changed. Raises Refused."""

    def cancel(self, row: int) -> int:
        """Withdraw a waiting call; return how many rows changed. Raises Refused."""
