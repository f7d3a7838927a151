"""The faults that the agent knows of itself: what, since when, and what to do. Logged once up, once down."""

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that keeps the agent from doing its whole job. Its `since` is CLOCK_BOOTTIME in microseconds."""

    what: str
    since: int
    hint: str


class FaultBook:
    """Owns the list of faults; safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._faults: dict[str, Fault] = {}
        self._mirrored: set[str] = set()

    def set(self, what: str, now: int, hint: str = "") -> None:
        """Note that a fault is there; its beginning and its first log line stay. `what` begins with its subject."""
        subject = _subject(what)
        with self._lock:
            known = self._faults.get(subject)
            self._faults[subject] = Fault(what, known.since if known else now, hint)
        if known is None:
            _log.error("event=fault what=%r hint=%r", what, hint)

    def clear(self, subject: str) -> None:
        """Note that a fault is over."""
        with self._lock:
            gone = self._faults.pop(subject, None)
        if gone is not None:
            _log.info("event=fault_over what=%r", gone.what)

    def mirror_all(self, current: Mapping[str, tuple[str, str]], now: int) -> None:
        """Make those of the faults that are seen by looking the ones of `current`: {subject: (what, hint)}."""
        with self._lock:
            for subject in self._mirrored - current.keys():
                self.clear(subject)
            self._mirrored = set(current)
            for what, hint in current.values():
                self.set(what, now, hint)

    def all(self) -> list[Fault]:
        """Return the faults, oldest first."""
        with self._lock:
            return sorted(self._faults.values(), key=lambda fault: fault.since)


def _subject(what: str) -> str:
    """Return what identifies a fault: `source door: no chip` is about `source door`."""
    return what.partition(":")[0]
