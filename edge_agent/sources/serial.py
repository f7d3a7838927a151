"""Serial ports by pyserial: frames of text that hold one value or several fields. One thread touches the port."""

import contextlib
import errno
import re
import termios
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import serial
from pydantic import BeforeValidator, Field, model_validator

from edge_agent.core.fields import NAME_PATTERN, Name, PositiveDuration, Settings
from edge_agent.core.fields import SECOND as SECOND_US
from edge_agent.sources._frames import FrameDecoder, Splitter, frame_decoder
from edge_agent.sources.base import Driver, DriverContext, Intake, NumericSettings, SourceError, SourceType
from edge_agent.sources.decode import Bad, Decoded, WordList, check_words, path, words

_MAX_NAME = 64
_MAX_FIELDS = 200
"""Fields that may be learned from what a port says: garbage must not fill the memory with points."""
_READ_TIMEOUT_S = 0.2
_WRITE_TIMEOUT_S = 2.0
_CHUNK = 65536
_LOST = (OSError, termios.error, ValueError)
"""What pyserial raises when a port is missing, busy or gone; SerialException is an OSError, termios.error is not."""


def _latin_1(value: object) -> object:
    if isinstance(value, str):
        try:
            value.encode("latin-1")
        except UnicodeEncodeError:
            raise ValueError('may hold only characters up to U+00FF, each one byte; for example "\\r\\n"') from None
        if not value:
            raise ValueError('must not be empty; for example "\\n"')
    return value


Wire = Annotated[str, BeforeValidator(_latin_1)]
"""Bytes as TOML can write them: each character up to U+00FF is one byte."""


def _pattern(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        groups = re.compile(value).groupindex
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"is no regular expression: {error}; write it as in 'T=(?P<temperature>[-+\\d.]+)'") from None
    if not groups:
        raise ValueError("has no named groups, which are the fields; write (?P<temperature>[-+\\d.]+)")
    _usable_fields(tuple(groups))
    return value


def _usable_fields(fields: tuple[str, ...]) -> None:
    for field in fields:
        if re.fullmatch(NAME_PATTERN, field) is None or len(field) > _MAX_NAME:
            raise ValueError(f"{field!r} is no field name; use letters, digits, _ and -, beginning with a letter or _")


def _columns(value: object) -> object:
    if not isinstance(value, list | tuple) or not all(isinstance(column, str) for column in value):
        return value
    named = [column for column in value if column]
    _usable_fields(tuple(named))
    if len(set(named)) != len(named):
        raise ValueError("names the same column twice; name each once")
    if not named:
        raise ValueError('names no column; for example ["temperature", "", "pressure"] ("" is skipped)')
    return value


def _stop_bits(value: object) -> object:
    if isinstance(value, bool) or value not in (1, 1.5, 2):
        raise ValueError("must be 1, 1.5 or 2")
    return value


class PollSettings(Settings):
    """Ask, and read the answer."""

    send: Wire
    every: PositiveDuration


_KEYS_OF_FORMAT = {"pattern": ("regex",), "columns": ("csv",), "fields": ("json", "keyvalue")}


class SerialSettings(NumericSettings):
    """A serial port whose frames hold values."""

    type: Literal["serial"]
    port: Annotated[str, Field(min_length=1)]
    baudrate: Annotated[int, Field(ge=1)] = 9600
    bytesize: Literal[5, 6, 7, 8] = 8
    parity: Literal["none", "even", "odd", "mark", "space"] = "none"
    stopbits: Annotated[float, BeforeValidator(_stop_bits)] = 1
    xonxoff: bool = False
    rtscts: bool = False
    delimiter: Wire = "\n"
    format: Literal["number", "regex", "csv", "json", "keyvalue"] = "number"
    pattern: Annotated[str, BeforeValidator(_pattern)] | None = None
    columns: Annotated[tuple[str, ...], BeforeValidator(_columns), Field(strict=False)] | None = None
    fields: Annotated[dict[Name, Annotated[str, Field(min_length=1)]], Field(min_length=1)] | None = None
    poll: PollSettings | None = None
    true_values: WordList = ()
    false_values: WordList = ()

    def field_names(self) -> tuple[str, ...] | None:
        """Return the fields that its points have; None: the port's own words name them."""
        if self.format == "number":
            return ()
        if self.pattern is not None:
            return tuple(re.compile(self.pattern).groupindex)
        if self.columns is not None:
            return tuple(column for column in self.columns if column)
        return None if self.fields is None else tuple(self.fields)

    @model_validator(mode="after")
    def _consistent(self) -> "SerialSettings":
        for key, formats in _KEYS_OF_FORMAT.items():
            if getattr(self, key) is not None and self.format not in formats:
                wanted = " or ".join(f'"{name}"' for name in formats)
                raise ValueError(f'{key} does not go with format "{self.format}"; it needs format = {wanted}')
        if self.format == "regex" and self.pattern is None:
            raise ValueError("format \"regex\" needs pattern; for example pattern = 'T=(?P<temperature>[-+\\d.]+)'")
        if self.format == "csv" and self.columns is None:
            raise ValueError('format "csv" needs columns; for example columns = ["temperature", "pressure"]')
        if self.format == "json":
            for field, expression in (self.fields or {}).items():
                try:
                    path(expression)
                except ValueError as error:
                    raise ValueError(f"fields.{field} {error}") from None
        if self.format == "number" and (self.true_values or self.false_values):
            raise ValueError('true_values and false_values do not go with format "number"; remove them')
        check_words(self.true_values, self.false_values)
        return self

    def decoder(self) -> FrameDecoder:
        """Return the function that decodes one frame."""
        return frame_decoder(
            self.format,
            pattern=self.pattern,
            columns=self.columns,
            fields=self.fields,
            configured=words(self.true_values, self.false_values),
        )


_PARITY = {
    "none": serial.PARITY_NONE,
    "even": serial.PARITY_EVEN,
    "odd": serial.PARITY_ODD,
    "mark": serial.PARITY_MARK,
    "space": serial.PARITY_SPACE,
}


class SerialDriver:
    """One port. It is open from `open` to the first failure; a port whose file reappears is opened again at once."""

    def __init__(self, source: str, settings: SerialSettings) -> None:
        self.name = source
        self.sources: tuple[str, ...] = (source,)
        self._settings = settings
        self._decode = settings.decoder()
        self._splitter = Splitter(settings.delimiter.encode("latin-1"))
        self._port: Any = None
        self._intake: Intake | None = None
        self._is_url = "://" in settings.port
        self._is_socket = settings.port.lower().startswith("socket://")
        self._file = self._identity()
        self._poll_at = 0.0
        every = _READ_TIMEOUT_S if settings.poll is None else settings.poll.every / SECOND_US / 4
        self._timeout_s = min(_READ_TIMEOUT_S, every)
        self._learned: set[str] = set()

    def open(self, intake: Intake) -> None:
        """Open the port."""
        settings = self._settings
        self._file = self._identity()
        self._splitter.reset()
        options = {} if self._is_url else {"exclusive": True}
        try:
            self._port = serial.serial_for_url(
                settings.port,
                baudrate=settings.baudrate,
                bytesize=settings.bytesize,
                parity=_PARITY[settings.parity],
                stopbits=settings.stopbits,
                xonxoff=settings.xonxoff,
                rtscts=settings.rtscts,
                timeout=self._timeout_s,
                write_timeout=_WRITE_TIMEOUT_S,
                **options,
            )
        except _LOST as error:
            raise SourceError(f"{settings.port} cannot be opened: {_words(error)}", self._hint(error)) from error
        self._poll_at = time.monotonic()
        self._intake = intake
        intake.online(self.name)

    def serve(self, timeout_s: float) -> None:  # noqa: ARG002 - the port's own time-out is shorter
        """Ask if it is time, read what came, pass on the frames that are complete."""
        try:
            self._ask()
            chunk = self._read()
        except _LOST as error:
            raise SourceError(f"{self._settings.port} was lost: {_words(error)}", "is it plugged in?") from error
        if chunk:
            for frame in self._splitter.feed(chunk):
                self._pass_on(frame)

    def close(self) -> None:
        """Close the port; one that is gone already is no error."""
        port, self._port = self._port, None
        if port is not None:
            with contextlib.suppress(*_LOST):
                port.close()

    def returned(self) -> bool:
        """Return whether the port's file appeared, or became another one, since it was last tried."""
        file = self._identity()
        if file is None:
            self._file = None
        return file is not None and file != self._file

    def _identity(self) -> tuple[int, ...] | None:
        if self._is_url:
            return None
        try:
            found = Path(self._settings.port).stat()
        except OSError:
            return None
        return (found.st_dev, found.st_ino, found.st_rdev, found.st_ctime_ns)

    def _ask(self) -> None:
        poll = self._settings.poll
        now = time.monotonic()
        if poll is not None and now >= self._poll_at:
            self._poll_at = max(self._poll_at + poll.every / SECOND_US, now)
            self._port.write(poll.send.encode("latin-1"))

    def _read(self) -> bytes:
        """Read what is there; wait for the first byte, at most the port's time-out."""
        port = self._port
        chunk: bytes = port.read(max(1, min(port.in_waiting, _CHUNK)))
        if chunk and self._is_socket:  # its in_waiting only tells whether there is anything
            port.timeout = 0
            chunk += port.read(_CHUNK)
            port.timeout = self._timeout_s
        return chunk

    def _pass_on(self, frame: bytes | Bad) -> None:
        intake = self._intake
        if intake is None:
            return
        decoded = frame if isinstance(frame, Bad) else self._decode(frame)
        if decoded is None:
            return
        if isinstance(decoded, Bad):
            intake.reading(self.name, None, reason=decoded.reason)
        elif isinstance(decoded, list):
            for field, value in decoded:
                self._pass_on_field(intake, field, value)
        else:
            intake.reading(self.name, decoded)

    def _pass_on_field(self, intake: Intake, field: str, value: Decoded) -> None:
        if field not in self._learned:
            if len(self._learned) >= _MAX_FIELDS:
                intake.count_refused(self.name, f"more than {_MAX_FIELDS} fields; name those that matter in fields")
                return
            self._learned.add(field)
        if isinstance(value, Bad):
            intake.reading(f"{self.name}.{field}", None, reason=value.reason)
        else:
            intake.reading(f"{self.name}.{field}", value)

    def _hint(self, error: BaseException) -> str:
        number = getattr(error, "errno", None)
        if number == errno.EACCES:
            return "the user must be in the group dialout"
        if number == errno.ENOENT:
            return "is it plugged in? `ls /dev/serial/by-id` shows what is there"
        if number in (errno.EAGAIN, errno.EBUSY) or "exclusively lock" in str(error):
            return "another program reads it; stop that"
        return "check port and its settings" if isinstance(error, ValueError) else ""


def _words(error: BaseException) -> str:
    """Return an exception's words in one line."""
    if isinstance(error, termios.error) and len(error.args) > 1:
        return str(error.args[1])
    return " ".join(str(error).split())


def _drivers(sources: Mapping[str, Any], _context: DriverContext) -> list[Driver]:
    return [SerialDriver(name, settings) for name, settings in sources.items()]


SOURCE_TYPE = SourceType(
    name="serial",
    settings=SerialSettings,
    drivers=_drivers,
    example="""\
[sources.boiler]
type = "serial"
port = "/dev/ttyUSB0"       # better: a name under /dev/serial/by-id, which stays the same
baudrate = 9600
format = "keyvalue"         # "T=21.5 P=1.8"
fields = { temperature = "T", pressure = "P" }
""",
)
