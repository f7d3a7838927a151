"""Where sources report: stamps readings into the inbox, and knows which source is connected, and why not."""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from edge_agent.core.engine import ONLINE
from edge_agent.core.fields import SECOND
from edge_agent.core.points import SourceSpec
from edge_agent.core.reading import Reading, Value, point_name
from edge_agent.inbox import Inbox
from edge_agent.sources.base import SmoothSettings, SourceSettings

_log = logging.getLogger(__name__)
_QUIET = 3600 * SECOND


@dataclass(frozen=True, slots=True)
class Link:
    """Whether a source is connected; `since` is CLOCK_BOOTTIME in microseconds."""

    online: bool
    since: int
    error: str | None = None
    hint: str = ""


class SourceDesk:
    """The intake of all sources. `now` is CLOCK_BOOTTIME in microseconds. Safe from any thread; never raises."""

    def __init__(self, inbox: Inbox, now: Callable[[], int]) -> None:
        self._put = inbox.put
        self._now = now
        self._lock = threading.Lock()
        self._links: dict[str, Link] = {}
        self.refused: dict[str, int] = {}
        """Messages that could not even be attributed to a point, by source."""

    def reading(
        self, point: str, value: Value | None, *, reason: str = "", done: Callable[[], None] | None = None
    ) -> None:
        """Take a reading."""
        self._put(Reading(point, value, self._now(), reason, done))

    def online(self, source: str) -> None:
        """Take note that a source is connected."""
        self._note(source, Link(online=True, since=self._now()))

    def offline(self, source: str, error: str, hint: str = "") -> None:
        """Take note that a source is not connected."""
        self._note(source, Link(online=False, since=self._now(), error=error, hint=hint))

    def _note(self, source: str, link: Link) -> None:
        with self._lock:
            before = self._links.get(source)
            if before is not None and before.online is link.online:
                link = Link(link.online, before.since, link.error, link.hint)
            self._links[source] = link
            if before is None or before.online is not link.online:
                self._put(Reading(point_name(source, ONLINE), link.online, self._now()))

    def count_refused(self, source: str, reason: str) -> None:  # noqa: ARG002 - the source has logged it
        """Count a message of no point."""
        with self._lock:
            self.refused[source] = self.refused.get(source, 0) + 1

    def links(self) -> dict[str, Link]:
        """Return the state of every source's connection."""
        with self._lock:
            return dict(self._links)

    def keep(self, sources: Iterable[str]) -> None:
        """Forget the sources that the configuration no longer has."""
        wanted = set(sources)
        with self._lock:
            self._links = {name: link for name, link in self._links.items() if name in wanted}
            self.refused = {name: count for name, count in self.refused.items() if name in wanted}


class BadReadings:
    """Logs a source's bad readings once, and again only after an hour without any."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, int]] = {}
        """{source: (bad readings so far, when the last ones were seen)}"""

    def look(self, bad: Mapping[str, int], now: int, reason: Callable[[str], str]) -> None:
        """Compare with what was known; `reason` tells why a source's last bad reading was bad."""
        for gone in self._known.keys() - bad.keys():
            del self._known[gone]
        for source, count in bad.items():
            before, seen_at = self._known.get(source, (0, now - _QUIET))
            if count <= before:
                continue
            self._known[source] = (count, now)
            if now - seen_at >= _QUIET:
                _log.warning("event=bad_readings source=%s count=%d reason=%r", source, count - before, reason(source))


def source_spec(settings: SourceSettings) -> SourceSpec:
    """Return what the engine must know of a source."""
    own = {
        name: getattr(settings, name)
        for name in ("max_instances", "reject", "scale", "offset", "min", "max", "debounce")
        if hasattr(settings, name)
    }
    smooth: SmoothSettings | None = getattr(settings, "smooth", None)
    return SourceSpec(
        fields=settings.field_names(),
        instances=settings.has_instances(),
        smooth=None if smooth is None else smooth.window,
        **own,
    )
