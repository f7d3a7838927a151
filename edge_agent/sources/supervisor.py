"""The supervisor: a thread per driver that opens it, serves it, and opens it again after a pause when it is lost."""

import logging
import threading
import time
from collections.abc import Callable, Sequence

from edge_agent.sources.base import Driver, Intake, SourceError

_log = logging.getLogger("edge_agent.sources")
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 30.0
_GOOD_STRETCH_S = 10.0
"""A driver that served this long begins again with the shortest pause."""
_SERVE_S = 0.5
_LOOK_S = 1.0
_STOP_S = 2.0
_ITSELF = "sources"


class Supervisor:
    """Keeps drivers open. `start` and `stop` are called by one thread; the rest is safe from any."""

    def __init__(self, drivers: Sequence[Driver], intake: Intake, now: Callable[[], int]) -> None:
        self._drivers = {f"source:{driver.name}": driver for driver in drivers}
        self._intake = _OncePerChange(intake)
        self._now = now
        self._stopping = threading.Event()
        self._stop_by = 0.0
        self._threads: dict[str, threading.Thread] = {}
        self._beats: dict[str, int] = {}
        self._watcher: threading.Thread | None = None

    def start(self) -> None:
        """Tell that each source is offline as yet, and start the threads."""
        for driver in self._drivers.values():
            for source in driver.sources:
                self._intake.begin(source)
        for name in self._drivers:
            self._start_thread(name)
        self._beats[_ITSELF] = self._now()
        self._watcher = threading.Thread(target=self._watch, name=_ITSELF, daemon=True)
        self._watcher.start()

    def stop(self) -> None:
        """End all threads and close all drivers, within 2 s; one that hangs is left behind. May be called twice."""
        if not self._stopping.is_set():
            self._stop_by = time.monotonic() + _STOP_S
        self._stopping.set()
        for thread in (self._watcher, *self._threads.values()):
            if thread is not None:
                thread.join(max(0.0, self._stop_by - time.monotonic()))

    def beats(self) -> dict[str, int]:
        """Return the instant at which each thread last showed that it does not hang.

        Opening may take up to 15 s (a name look-up, two addresses, TLS), in which it does not beat.
        """
        return dict(self._beats)

    def _start_thread(self, name: str) -> None:
        self._beats[name] = self._now()
        thread = threading.Thread(target=self._run, args=(name, self._drivers[name]), name=name, daemon=True)
        self._threads[name] = thread
        thread.start()

    def _watch(self) -> None:
        while not self._stopping.wait(_LOOK_S):
            self._beats[_ITSELF] = self._now()
            for name, thread in list(self._threads.items()):
                if not thread.is_alive() and not self._stopping.is_set():
                    _log.error("thread=%s died and is started again", name)
                    self._start_thread(name)

    def _run(self, name: str, driver: Driver) -> None:
        pause_s = _FIRST_PAUSE_S
        while not self._stopping.is_set():
            opened_at = None
            try:
                driver.open(self._intake)
                opened_at = time.monotonic()
                self._serve(name, driver)
            except (SourceError, OSError) as error:
                self._lost(driver, str(error), getattr(error, "hint", ""))
            except Exception as error:  # noqa: BLE001 - the top of a driver's thread: a bug must not end it
                self._lost(
                    driver, f"{type(error).__name__}: {error}", "a bug: please report it with the log", bug=error
                )
            finally:
                driver.close()
            if opened_at is not None and time.monotonic() - opened_at >= _GOOD_STRETCH_S:
                pause_s = _FIRST_PAUSE_S
            self._pause(name, driver, pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _serve(self, name: str, driver: Driver) -> None:
        beats, now, stopping, serve = self._beats, self._now, self._stopping, driver.serve
        while not stopping.is_set():
            beats[name] = now()
            serve(_SERVE_S)

    def _pause(self, name: str, driver: Driver, pause_s: float) -> None:
        """Wait, beating; end early when the driver has reason to believe that it is worth trying."""
        end = time.monotonic() + pause_s
        while (left := end - time.monotonic()) > 0:
            self._beats[name] = self._now()
            if self._stopping.wait(min(left, _LOOK_S)):
                return
            if driver.returned():
                return

    def _lost(self, driver: Driver, error: str, hint: str, *, bug: Exception | None = None) -> None:
        for source in driver.sources:
            self._intake.offline(source, error, hint, bug=bug)


class _OncePerChange:
    """An intake that logs once when a source goes down and once when it comes back, and passes changes on."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._errors: dict[str, str | None] = {}
        self._logged_down: set[str] = set()
        self.count_refused = intake.count_refused
        self.reading: Callable[..., None] = intake.reading  # no call in between: hundreds of thousands come this way

    def begin(self, source: str) -> None:
        """Tell that a source is not opened yet; that is no loss, and not logged."""
        self._errors[source] = "not opened yet"
        self._intake.offline(source, "not opened yet")

    def online(self, source: str) -> None:
        if self._errors.get(source, "") is not None:
            self._errors[source] = None
            self._logged_down.discard(source)
            _log.info("source=%s state=online", source)
            self._intake.online(source)

    def offline(self, source: str, error: str, hint: str = "", *, bug: Exception | None = None) -> None:
        if self._errors.get(source, "") == error:
            return
        self._errors[source] = error
        if source not in self._logged_down:
            self._logged_down.add(source)
            _log.warning("source=%s state=offline error=%r hint=%r", source, error, hint, exc_info=bug)
        self._intake.offline(source, error, hint)
