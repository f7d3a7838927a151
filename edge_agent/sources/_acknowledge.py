"""MQTT acknowledgements: given by the engine's thread once a reading is on disk, sent by the driver's."""

import collections
import os
import threading


class Acknowledgements:
    """What is to be acknowledged on one connection. `add` is cheap, safe from any thread, harmless once it is over."""

    def __init__(self) -> None:
        self._mids: collections.deque[int] = collections.deque()
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._waiting = False
        self._woken = False
        self._lock = threading.Lock()

    def add(self, mid: int) -> None:
        """Have a message acknowledged; a system call is made only while the driver's thread sleeps."""
        self._mids.append(mid)
        if self._waiting:
            with self._lock:
                if self._waiting:
                    self._waiting = False
                    self._woken = True
                    os.eventfd_write(self._wake_fd, 1)

    def fileno(self) -> int:
        """Return what becomes readable when something was added while waiting."""
        return self._wake_fd

    def wait_begins(self) -> bool:
        """Say that the thread goes to sleep; return False if there is something to do first."""
        self._waiting = True
        return not self._mids

    def wait_ended(self) -> None:
        """Say that the thread is awake."""
        with self._lock:
            self._waiting = False
            if self._woken:
                self._woken = False
                os.eventfd_read(self._wake_fd)

    def take(self) -> list[int]:
        """Return what was added."""
        mids = self._mids
        return [mids.popleft() for _ in range(len(mids))]

    def close(self) -> None:
        """Be over: what is added later goes nowhere."""
        with self._lock:
            self._waiting = False
            if self._wake_fd >= 0:
                os.close(self._wake_fd)
                self._wake_fd = -1
