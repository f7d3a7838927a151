"""GPIO pins by gpiozero on lgpio: a contact's level as a boolean. Debouncing is the engine's own."""

import contextlib
import importlib
import os
import re
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from gpiozero import Device, GPIOZeroError
from pydantic import BeforeValidator

from edge_agent.core.fields import Duration
from edge_agent.sources.base import Driver, DriverContext, Intake, SourceError, SourceSettings, SourceType

_PIN_NAME = re.compile(r"(?:GPIO|BCM|WPI|BOARD)?[0-9]{1,3}|[A-Z][A-Z0-9]*:[0-9]{1,3}")
_MAX_BCM = 53
_REREAD_S = 1.0
_WITHOUT_CHIP = "run on a Raspberry Pi with /dev/gpiochip0; the user must be in the group gpio"


def _pin(value: object) -> object:
    """Refuse what can be no pin; that the board has it is known only when it is opened."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return value
    known = 0 <= value <= _MAX_BCM if isinstance(value, int) else _PIN_NAME.fullmatch(value) is not None
    if not known:
        raise ValueError(f'{value!r} is no pin; write the BCM number (17), "GPIO17", "BOARD11" or "J8:11"')
    return value


class GpioSettings(SourceSettings):
    """A pin whose level is read as a boolean."""

    type: Literal["gpio"]
    pin: Annotated[int | str, BeforeValidator(_pin)]
    pull: Literal["up", "down", "none"] = "up"
    active: Literal["high", "low"] | None = None
    debounce: Duration = 0

    @property
    def active_level(self) -> bool:
        """Return the level that reads as true: low with a pull-up unless said otherwise."""
        return self.pull != "up" if self.active is None else self.active == "high"


_import_lock = threading.Lock()
_work_dirs: list[tempfile.TemporaryDirectory[str]] = []
"""Kept until the process ends: lgpio's pipe lies in it."""


def import_lgpio() -> Any:
    """Import lgpio, its pipe in a private directory; the process stays in its working directory.

    At import lgpio makes a pipe (`.lgd-nfy0`) in `$LG_WD`, else in the working directory, and moves the process there.

    Raises:
        SourceError: it is not installed, or only PyPI's stub, or it cannot make its pipe.
    """
    with _import_lock:
        here = Path.cwd()
        if "LG_WD" not in os.environ:
            runtime = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
            if not runtime:
                _work_dirs.append(tempfile.TemporaryDirectory(prefix="edge-agent-lgpio-"))
                runtime = _work_dirs[-1].name
            os.environ["LG_WD"] = runtime
        try:
            lgpio = importlib.import_module("lgpio")
        except ImportError as error:
            raise SourceError(
                f"the library lgpio cannot be imported: {error}", "install Debian's python3-lgpio, or edge-agent[gpio]"
            ) from error
        except OSError as error:
            raise SourceError(
                f"lgpio cannot make its pipe in {os.environ['LG_WD']}: {error}", "make LG_WD a writable directory"
            ) from error
        finally:
            os.chdir(here)
    if not hasattr(lgpio, "gpiochip_open"):
        raise SourceError("lgpio is PyPI's empty stub", "remove it (pip uninstall lgpio) and install python3-lgpio")
    return lgpio


_factory_lock = threading.Lock()
_factories: dict[str, Any] = {}
_in_use: dict[tuple[int, str], str] = {}
"""Which source holds which pin of which factory: a second one would take the edges of the first."""


def _pin_factory() -> tuple[Any, tuple[type[Exception], ...]]:
    """Return gpiozero's factory of pins and what its pins may raise; a mock only where the environment asks for it."""
    with _factory_lock:
        if os.environ.get("GPIOZERO_PIN_FACTORY") == "mock":
            mock = importlib.import_module("gpiozero.pins.mock")
            if not isinstance(Device.pin_factory, mock.MockFactory):
                Device.pin_factory = mock.MockFactory()
            return Device.pin_factory, (GPIOZeroError,)
        lgpio = import_lgpio()
        failures = (GPIOZeroError, lgpio.error, OSError)
        if "lgpio" not in _factories:
            try:
                _factories["lgpio"] = importlib.import_module("gpiozero.pins.lgpio").LGPIOFactory()
            except failures as error:
                raise SourceError(f"the GPIO chip cannot be opened: {error}", _WITHOUT_CHIP) from error
        return _factories["lgpio"], failures


class GpioDriver:
    """One pin. Edges come in lgpio's thread; the level is also read again every second, as an edge can be lost."""

    def __init__(self, source: str, settings: GpioSettings) -> None:
        self.name = source
        self.sources: tuple[str, ...] = (source,)
        self._settings = settings
        self._pin: Any = None
        self._key: tuple[int, str] | None = None
        self._failures: tuple[type[Exception], ...] = (GPIOZeroError,)
        self._intake: Intake | None = None
        self._level: bool | None = None
        self._level_lock = threading.Lock()
        self._read_at = 0.0
        self._never = threading.Event()

    def open(self, intake: Intake) -> None:
        """Set the pin up as an input; the level that it has now is a reading."""
        factory, self._failures = _pin_factory()
        try:
            pin = factory.pin(self._settings.pin)
            self._claim((id(factory), pin.info.name))
            self._set_up(pin)
            self._pin, self._intake = pin, intake
            self._level = None
            pin.when_changed = self._on_edge
            self._read_level()
        except self._failures as error:
            raise SourceError(
                f"pin {self._settings.pin} cannot be opened: {error}", "see `pinout` for names"
            ) from error
        intake.online(self.name)

    def serve(self, timeout_s: float) -> None:
        """Wait, and read the level again when a second has passed."""
        self._never.wait(min(timeout_s, max(0.0, self._read_at + _REREAD_S - time.monotonic())))
        if time.monotonic() >= self._read_at + _REREAD_S:
            try:
                self._read_level()
            except self._failures as error:
                raise SourceError(f"pin {self._settings.pin} cannot be read: {error}", _WITHOUT_CHIP) from error

    def close(self) -> None:
        """Stop listening. The line stays an input, so that nothing on it changes."""
        pin, self._pin = self._pin, None
        if pin is not None:
            with contextlib.suppress(*self._failures):  # the chip is gone: there is nothing left to stop
                pin.when_changed = None
        if self._key is not None:
            with _factory_lock:
                _in_use.pop(self._key, None)
            self._key = None

    def returned(self) -> bool:
        """Return False: nothing announces that a chip came back."""
        return False

    def _claim(self, key: tuple[int, str]) -> None:
        with _factory_lock:
            holder = _in_use.setdefault(key, self.name)
        if holder != self.name:
            raise SourceError(f"{key[1]} is already read by source {holder}", "give each source a pin of its own")
        self._key = key

    def _set_up(self, pin: Any) -> None:
        """Set only what differs: setting it again would make a glitch on the line."""
        pull = "floating" if self._settings.pull == "none" else self._settings.pull
        if pin.function != "input":
            pin.function = "input"
        if pin.pull != pull:
            pin.pull = pull
        if pin.bounce is not None:
            pin.bounce = None  # lgpio's own debouncing loses edges
        pin.edges = "both"

    def _on_edge(self, _ticks: int, state: int) -> None:
        try:
            with self._level_lock:
                self._take(bool(state))
        except Exception:  # noqa: BLE001,S110 - the top of lgpio's only thread: an exception would end it silently
            pass

    def _read_level(self) -> None:
        with self._level_lock:  # held while reading, so that an edge of meanwhile is passed on after it
            self._take(bool(self._pin.state))
        self._read_at = time.monotonic()

    def _take(self, level: bool) -> None:  # noqa: FBT001 - the level itself
        if level != self._level and self._intake is not None:
            self._level = level
            self._intake.reading(self.name, level == self._settings.active_level)


def _drivers(sources: Mapping[str, Any], _context: DriverContext) -> list[Driver]:
    return [GpioDriver(name, settings) for name, settings in sources.items()]


SOURCE_TYPE = SourceType(
    name="gpio",
    settings=GpioSettings,
    drivers=_drivers,
    example="""\
[sources.door]
type = "gpio"
pin = 17                    # BCM number; or "GPIO17", "BOARD11", "J8:11"
pull = "up"                 # a contact between the pin and ground
active = "low"              # closed reads as true
debounce = "50ms"
""",
)
