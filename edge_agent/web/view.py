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

    def events(
        self, before: int | None, limit: int, alarm: str | None = None, instance: str | None = None
    ) -> tuple[list[dict[str, Any]], int | None]:
        """Return events newest first, with ids below `before`, and the next cursor (None at the end).

        With `alarm` only those of it, with `instance` only those of that instance.
        """

    def owed(self) -> list[dict[str, Any]]:
        """Return the calls that are held back now: [{"alarm", "instance", "rules", "held_back"}]. Raises Refused."""

    def chatter(self) -> list[dict[str, Any]]:
        """Return who chattered in the last week: [{"alarm", "instance", "raises", "last_at", "suggestion"}]."""

    def explain(self, alarm: str, instance: str | None, at: str | None) -> dict[str, Any]:
        """Return why an alarm did, or did not, call, now or at a time: {"alarm", "instances", "explained"}.

        Raises Refused (404: no such alarm or instance).
        """

    def readings(self, after: str | None) -> dict[str, Any]:
        """Return what was read, and what people did, since a cursor (None: begin): {"entries", "next", "lost", "at"}.

        Raises Refused (409: not now).
        """

    def unhealthy(self) -> list[str]:
        """Return the names of threads that do not beat; [] when all is well."""

    def counters(self) -> Counters:
        """Return the numbers for /metrics."""

    def inject(self, point: str, value: Value | None) -> int:
        """Put a reading into the engine (None: bad quality); return 1. Raises Refused (404: no such point)."""

    def call(self, rule: str) -> dict[str, Any]:
        """Trigger a rule now, one attempt: {"result", "message", "id"}. Raises Refused."""

    def acknowledge(self, alarm: str, instance: str | None) -> int:
        """Acknowledge an alarm (None: all its instances); return how many that changed, once it is on disk.

        Raises Refused (404: no such alarm or instance; 409: not now), as the two commands that follow.
        """

    def shelve(self, alarm: str, instance: str | None, lasts: object, until: object) -> int:
        """Hold an alarm's calls back: for a duration, or, where `lasts` is None, until a time; as `acknowledge`.

        Raises Refused (400: what is wrong with the time).
        """

    def unshelve(self, alarm: str, instance: str | None) -> int:
        """End the shelving of an alarm; as `acknowledge`."""

    def reload(self) -> list[str]:
        """Have the configuration read again; return what changed, in words. Raises Refused (400: why not)."""

    def retry(self, row: int) -> int:
        """Make a waiting, failed or expired call due now; return how many rows changed. Raises Refused."""

    def cancel(self, row: int) -> int:
        """Withdraw a waiting call; return how many rows changed. Raises Refused."""
