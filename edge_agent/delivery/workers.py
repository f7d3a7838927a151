"""Daemon threads for attempts: bounded in number, never watched, never joined: an outage is no reason to hang."""

import logging
import queue
import threading
from collections.abc import Callable

_log = logging.getLogger(__name__)
_IDLE_S = 60.0


class Workers:
    """Runs jobs at once in threads of their own, as many as there are jobs, up to `most`; idle ones end."""

    def __init__(self, most: int = 64) -> None:
        self._most = most
        self._jobs: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._free = 0
        """Threads that wait for a job, less the jobs that wait for a thread."""

    def submit(self, job: Callable[[], object]) -> None:
        """Run a job; it waits only where `most` threads are busy."""
        with self._lock:
            self._free -= 1
            start = self._free < 0 and self._threads < self._most
            if start:
                self._threads += 1
                self._free += 1
        self._jobs.put(job)
        if start:
            try:
                threading.Thread(target=self._run, name="attempt", daemon=True).start()
            except RuntimeError as error:  # no more threads to be had: one of the others takes the job
                _log.error("event=no_thread error=%r", str(error))
                with self._lock:
                    self._threads -= 1
                    self._free -= 1

    def _run(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=_IDLE_S)
            except queue.Empty:
                with self._lock:
                    if self._free > 0:
                        self._free -= 1
                        self._threads -= 1
                        return
                continue
            try:
                job()
            except Exception:  # noqa: BLE001 - the top of a thread
                _log.exception("event=attempt_broke")
            with self._lock:
                self._free += 1
