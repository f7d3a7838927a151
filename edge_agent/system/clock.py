"""The machine's two clocks: CLOCK_BOOTTIME for durations, the wall clock for people. Nothing else reads a clock."""

import ctypes
import os
import time
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

_SYNCHRONIZED = Path("/run/systemd/timesync/synchronized")
_TIMEX_BYTES = 512  # struct timex is 208 bytes on 64-bit Linux; modes = 0 only reads
_TIME_ERROR = 5
_DATE_TOLERANCE_S = 5.0


def boot_now() -> int:
    """Return CLOCK_BOOTTIME in microseconds: it goes on during suspend and never follows the wall clock."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


def wall_now() -> int:
    """Return Unix time in microseconds, as the machine believes it."""
    return time.time_ns() // 1000


def boot_id() -> str:
    """Return the kernel's id of this boot: instants of different boots cannot be compared."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def machine_id() -> str:
    """Return the machine's id, or the host's name where there is none."""
    for name in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        try:
            text = Path(name).read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            continue
        if text:
            return text
    return os.uname().nodename


class Clock:
    """Both clocks, and whether the wall clock can be believed. One instance a process; safe from any thread."""

    def __init__(self, *, trusted: bool = False) -> None:
        self.trusted = trusted
        self._confirmed = False
        self.boot_id = boot_id()

    def now(self) -> int:
        """Return the instant for durations, in microseconds since boot."""
        return boot_now()

    def wall(self) -> int:
        """Return Unix time in microseconds."""
        return wall_now()

    def wall_at(self, at: int) -> int:
        """Return the Unix microseconds of an instant of this boot, as the wall clock sees it now."""
        return wall_now() - boot_now() + at

    def observe(self, date: datetime) -> None:
        """Take the Date header of an answer of IoTCall: one that agrees vouches for the wall clock in this boot."""
        if abs((datetime.now(UTC) - date).total_seconds()) < _DATE_TOLERANCE_S:
            self._confirmed = True

    def synced(self) -> bool:
        """Return whether the wall clock is known to be right."""
        return self.trusted or self._confirmed or _SYNCHRONIZED.exists() or _kernel_synced()


def _kernel_synced() -> bool:
    """Ask the kernel (adjtimex with modes = 0 changes nothing); where it may not be asked, it is not synced."""
    try:
        state: int = _libc().adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (OSError, AttributeError):
        return False
    return 0 <= state < _TIME_ERROR


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
