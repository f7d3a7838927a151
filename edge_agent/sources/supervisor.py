"""The supervisor: a thread per driver that opens it, serves it, and opens it again after a pause when it is lost."""

import logging
import threading
import time
from collections.abc import Callable, Container, Iterable, Sequence

from edge_agent.core.fields import SECOND
from edge_agent.sources.base import Driver, Intake, SourceError

_log = logging.getLogger("edge_agent.sources")
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 30.0
_GOOD_STRETCH_S = 10.0
"""A driver that served this long begins again with the shortest pause."""
_SERVE_S = 0.5
_LOOK_S = 1.0
_STOP_S = 2.0
_LET_GO_S = 15.0
"""For so long a driver that was ended may still hold what its successor needs."""
_ITSELF = "sources"


class Restarts:
    """When a thread that died is started again: 1 s after its start at the soonest, doubling to 30 s if it dies again.

    Instants are microseconds.
    """

    def __init__(self, now: int) -> None:
        """Begin with a thread that is started now."""
        self._pause = SECOND
        self._started_at = now
        self._died_at: int | None = None

    def due(self, now: int) -> bool:
        """Return whether the thread, which is dead, is to be started now; it then counts as started."""
        if self._died_at is None:
            self._died_at = now
        if now - self._started_at < self._pause:
            return False
        longest = int(_LONGEST_PAUSE_S * SECOND)
        lived = self._died_at - self._started_at
        self._pause = SECOND if lived >= longest else min(2 * self._pause, longest)
        self._started_at, self._died_at = now, None
        return True


class Supervisor:
    """Keeps drivers open, each under its name. Safe from any thread."""

    def __init__(self, drivers: Sequence[Driver], intake: Intake, now: Callable[[], int]) -> None:
        self._first = drivers
        self._intake = intake
        self._now = now
        self._keepers: dict[str, _Keeper] = {}
        self._leaving: dict[str, threading.Thread] = {}
        """Threads of drivers that were ended, the newest of each name."""
        self._changing = threading.Lock()
        self._stopping = threading.Event()
        self._stop_by = 0.0
        self._watcher: threading.Thread | None = None
        self._beat_at = now()

    def start(self) -> None:
        """Tell that each source is offline as yet, and start the threads."""
        self.begin(self._first)
        self._beat_at = self._now()
        self._watcher = threading.Thread(target=self._watch, name=_ITSELF, daemon=True)
        self._watcher.start()

    def begin(self, drivers: Iterable[Driver], online: Container[str] = ()) -> None:
        """Start the threads of drivers, unless all was stopped.

        Their sources are offline as yet, but for those of `online`, which stay so until their driver says otherwise:
        that a connection is made anew on purpose is no outage.
        """
        with self._changing:
            if self._stopping.is_set():
                return
            keepers = [
                _Keeper(driver, self._intake, self._now, self._leaving.pop(driver.name, None)) for driver in drivers
            ]
            for keeper in keepers:
                self._keepers[keeper.driver.name] = keeper
                keeper.announce(online)
            for keeper in keepers:
                keeper.start()

    def end_all_but(self, names: Container[str]) -> list[Driver]:
        """End the other drivers, within 2 s, and return them; one that hangs is left behind, and not heard any more.

        Their sources are not said to be offline: whoever ends them forgets them, or begins other drivers for them.
        """
        with self._changing:
            ending = {name: keeper for name, keeper in self._keepers.items() if name not in names}
            for keeper in ending.values():
                keeper.end()
            end = time.monotonic() + _STOP_S
            for name, keeper in ending.items():
                keeper.mute_when_ended(end)
                self._leaving[name] = keeper.thread
                del self._keepers[name]
            self._leaving = {name: thread for name, thread in self._leaving.items() if thread.is_alive()}
            return [keeper.driver for keeper in ending.values()]

    def stop(self) -> None:
        """End all threads and close all drivers, within 2 s; one that hangs is left behind. May be called twice."""
        if not self._stopping.is_set():
            self._stop_by = time.monotonic() + _STOP_S
        self._stopping.set()
        keepers = list(self._keepers.values())
        for keeper in keepers:
            keeper.end()
        threads = [keeper.thread for keeper in keepers] + ([] if self._watcher is None else [self._watcher])
        for thread in threads:
            thread.join(max(0.0, self._stop_by - time.monotonic()))

    def beats(self) -> dict[str, int]:
        """Return the instant at which each thread last showed that it does not hang.

        Opening may take up to 15 s (a name look-up, two addresses, TLS), in which it does not beat.
        """
        beats = {keeper.name: keeper.beat_at for keeper in list(self._keepers.values())}
        return {**beats, _ITSELF: self._beat_at}

    def _watch(self) -> None:
        while not self._stopping.wait(_LOOK_S):
            self._beat_at = self._now()
            for keeper in list(self._keepers.values()):
                keeper.revive()


class _Keeper:
    """Keeps one driver open, in a thread of its own."""

    def __init__(
        self, driver: Driver, intake: Intake, now: Callable[[], int], predecessor: threading.Thread | None
    ) -> None:
        self.driver = driver
        self.name = f"source:{driver.name}"
        self.beat_at = now()
        self._intake = _OncePerChange(intake)
        self._now = now
        self._predecessor = predecessor
        self._ending = threading.Event()
        self._restarts = Restarts(now())
        self.thread = self._new_thread()

    def _new_thread(self) -> threading.Thread:
        return threading.Thread(target=self._run, name=self.name, daemon=True)

    def announce(self, online: Container[str]) -> None:
        """Tell of the sources that are not online that they are not opened yet."""
        for source in self.driver.sources:
            if source not in online:
                self._intake.begin(source)

    def start(self) -> None:
        """Start the thread."""
        self.thread.start()

    def revive(self) -> None:
        """Start a thread that died again, after a pause."""
        if self.thread.is_alive() or self._ending.is_set() or not self._restarts.due(self._now()):
            return
        _log.error("thread=%s died and is started again", self.name)
        self.beat_at = self._now()
        self.thread = self._new_thread()
        self.thread.start()

    def end(self) -> None:
        """Have the thread close the driver and end."""
        self._ending.set()

    def mute_when_ended(self, by: float) -> None:
        """Wait for the end until an instant of time.monotonic(); then nothing that the driver says is heard."""
        self.thread.join(max(0.0, by - time.monotonic()))
        self._intake.mute()

    def _run(self) -> None:
        self._follow()
        driver, pause_s = self.driver, _FIRST_PAUSE_S
        while not self._ending.is_set():
            opened_at = None
            try:
                driver.open(self._intake)
                opened_at = time.monotonic()
                self._serve()
            except (SourceError, OSError) as error:
                self._lost(str(error), getattr(error, "hint", ""))
            except Exception as error:  # noqa: BLE001 - the top of a driver's thread: a bug must not end it
                self._lost(f"{type(error).__name__}: {error}", "a bug: please report it with the log", bug=error)
            finally:
                driver.close()
            if opened_at is not None and time.monotonic() - opened_at >= _GOOD_STRETCH_S:
                pause_s = _FIRST_PAUSE_S
            self._pause(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _follow(self) -> None:
        """Wait, beating, until the driver that had this name before has let go of its port, pin or session."""
        predecessor, self._predecessor = self._predecessor, None
        if predecessor is None:
            return
        end = time.monotonic() + _LET_GO_S
        while predecessor.is_alive() and not self._ending.is_set() and time.monotonic() < end:
            self.beat_at = self._now()
            predecessor.join(_SERVE_S)

    def _serve(self) -> None:
        now, ending, serve = self._now, self._ending, self.driver.serve
        while not ending.is_set():
            self.beat_at = now()
            serve(_SERVE_S)

    def _pause(self, pause_s: float) -> None:
        """Wait, beating; end early when the driver has reason to believe that it is worth trying."""
        end = time.monotonic() + pause_s
        while (left := end - time.monotonic()) > 0:
            self.beat_at = self._now()
            if self._ending.wait(min(left, _LOOK_S)):
                return
            if self.driver.returned():
                return

    def _lost(self, error: str, hint: str, *, bug: Exception | None = None) -> None:
        for source in self.driver.sources:
            self._intake.offline(source, error, hint, bug=bug)


def _ignore(*_: object, **__: object) -> None:
    """Hear nothing; what is not acknowledged comes again."""


class _OncePerChange:
    """An intake that logs once when a source goes down and once when it comes back, and passes changes on."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._errors: dict[str, str | None] = {}
        self._logged_down: set[str] = set()
        self._muted = False
        self.count_refused = intake.count_refused
        self.reading: Callable[..., None] = intake.reading  # no call in between: hundreds of thousands come this way

    def mute(self) -> None:
        """Pass nothing on any more."""
        self._muted = True
        self.reading = self.count_refused = _ignore

    def begin(self, source: str) -> None:
        """Tell that a source is not opened yet; that is no loss, and not logged."""
        self._errors[source] = "not opened yet"
        self._intake.offline(source, "not opened yet")

    def online(self, source: str) -> None:
        if self._errors.get(source, "") is not None and not self._muted:
            self._errors[source] = None
            self._logged_down.discard(source)
            _log.info("source=%s state=online", source)
            self._intake.online(source)

    def offline(self, source: str, error: str, hint: str = "", *, bug: Exception | None = None) -> None:
        if self._errors.get(source, "") == error or self._muted:
            return
        self._errors[source] = error
        if source not in self._logged_down:
            self._logged_down.add(source)
            _log.warning("source=%s state=offline error=%r hint=%r", source, error, hint, exc_info=bug)
        self._intake.offline(source, error, hint)
