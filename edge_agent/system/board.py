"""What the machine tells of itself: its temperature, whether its power supply holds, how much room a folder has left.

All of it is read, nothing is ever written; each answer is None where this machine does not tell.
"""

import os
from pathlib import Path

_THERMAL = "class/thermal"
_HWMON = "class/hwmon"
_RPI_VOLT = "rpi_volt"
_THROTTLED = "devices/platform/soc/soc:firmware/get_throttled"
_UNDERVOLTAGE = 0x10001
"""Bit 0: just now; bit 16: since the kernel looked last, every 2 s."""
_ZONES = ("cpu", "x86_pkg", "soc", "core")
"""What the zone of the processor is called on boards and PCs, in order of preference."""
_COLDEST, _HOTTEST = -100.0, 200.0
"""A thermal zone without a sensor says such things as -274."""


class Board:
    """The readings of one machine. `sys` may lie elsewhere, for tests."""

    def __init__(self, sys: Path = Path("/sys")) -> None:
        self._sys = sys
        self._zones: tuple[Path, ...] = ()
        self._alarm: Path | None = None

    def cpu_temperature(self) -> float | None:
        """Return the processor's temperature in degrees Celsius; of several zones the hottest."""
        if not self._zones:
            self._zones = tuple(_processor_zones(self._sys / _THERMAL))
        found = [celsius for celsius in map(_celsius, self._zones) if celsius is not None]
        if not found:
            self._zones = ()  # a driver that was loaded anew has other numbers
            return None
        return max(found)

    def undervoltage(self) -> bool | None:
        """Return whether the supply's voltage is, or within the last seconds was, too low (Raspberry Pi only).

        The kernel's hwmon is asked first: newer kernels complain of who reads get_throttled.
        """
        if self._alarm is None:
            self._alarm = _low_voltage_alarm(self._sys / _HWMON)
        if self._alarm is not None:
            flag = _number(self._alarm, 10)
            if flag is not None:
                return flag != 0
            self._alarm = None
        flags = _number(self._sys / _THROTTLED, 16)
        return None if flags is None else flags & _UNDERVOLTAGE != 0


def disk_free_percent(folder: Path) -> float | None:
    """Return how much of a folder's disk is free for users, in percent, as `df` counts: reserved blocks are neither."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return None
    usable = disk.f_blocks - disk.f_bfree + disk.f_bavail
    return round(100.0 * disk.f_bavail / usable, 2) if usable > 0 else None


def _processor_zones(thermal: Path) -> list[Path]:
    """Return the files of the processor's thermal zones; where none is called so, that of the first zone."""
    zones = [(_text(zone / "type").lower(), zone / "temp") for zone in _folders(thermal, "thermal_zone")]
    zones = [(kind, file) for kind, file in zones if _celsius(file) is not None]
    for word in _ZONES:
        found = [file for kind, file in zones if word in kind]
        if found:
            return found
    return [file for _, file in zones[:1]]


def _low_voltage_alarm(hwmon: Path) -> Path | None:
    for folder in _folders(hwmon, "hwmon"):
        if _text(folder / "name") == _RPI_VOLT:
            return next(iter(sorted(folder.glob("in*_lcrit_alarm"))), None)
    return None


def _folders(parent: Path, prefix: str) -> list[Path]:
    """Return the numbered folders of a class of devices, in order of their numbers."""
    try:
        folders = [each for each in parent.iterdir() if each.name.removeprefix(prefix).isdecimal()]
    except OSError:
        return []
    return sorted(folders, key=lambda each: int(each.name.removeprefix(prefix)))


def _celsius(file: Path) -> float | None:
    thousandths = _number(file, 10)
    if thousandths is None or not _COLDEST <= thousandths / 1000 <= _HOTTEST:
        return None
    return thousandths / 1000


def _number(file: Path, base: int) -> int | None:
    try:
        return int(_text(file), base)
    except ValueError:
        return None


def _text(file: Path) -> str:
    """Return what a file of the kernel says; "" where it is missing or cannot be read (a sensor that is asleep)."""
    try:
        return file.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
