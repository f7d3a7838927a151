"""What a source type is: its settings, and drivers that hold a pin, port or connection open."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, Protocol

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from edge_agent.core.fields import Name, Settings
from edge_agent.core.reading import Value, number


def _finite(value: object) -> object:
    if isinstance(value, int | float) and number(value) is None:
        raise ValueError("must be a finite number")
    return value


Number = Annotated[float, BeforeValidator(_finite)]


class SourceSettings(Settings):
    """What all `[sources.NAME]` tables have in common."""

    later: ClassVar[frozenset[str]] = frozenset({"unit", "units"})

    type: str

    def field_names(self) -> tuple[str, ...] | None:
        """Return the fields of its points; () for one value under the source's own name; None: known only live."""
        return ()

    def has_instances(self) -> bool:
        """Return whether its points come one per instance (wildcard topics)."""
        return False


_MAX_WINDOW = 10_000
_Window = Annotated[int, Field(ge=1, le=_MAX_WINDOW)]


class SmoothSettings(Settings):
    """The median or the mean of the last n good values."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    median: _Window | None = None
    mean: _Window | None = None

    @property
    def window(self) -> tuple[Literal["median", "mean"], int]:
        """Return what is made of the last values, and of how many."""
        return ("mean", self.mean or 1) if self.median is None else ("median", self.median)

    @model_validator(mode="after")
    def _one(self) -> "SmoothSettings":
        if self.median is None and self.mean is None:
            raise ValueError("has neither median nor mean; write it like smooth = { median = 5 }")
        if self.median is not None and self.mean is not None:
            raise ValueError("has both median and mean; give one of them")
        return self


_NO_NUMBERS = ("text", "boolean")
"""Formats of which no number ever comes."""


class NumericSettings(SourceSettings):
    """Keys of sources that can deliver numbers: the engine applies them, in this order, to each point."""

    reject: tuple[Number, ...] = Field(default=(), strict=False)
    scale: Number = 1.0
    offset: Number = 0.0
    min: Number | None = None
    max: Number | None = None
    smooth: SmoothSettings | None = None

    @model_validator(mode="after")
    def _numbers(self) -> "NumericSettings":
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("min is greater than max; swap them")
        form = getattr(self, "format", None)
        if self.smooth is not None and form in _NO_NUMBERS:
            raise ValueError(f'smooth does not go with format "{form}", which has no numbers; remove it')
        return self


class SourceError(Exception):
    """A source cannot be opened or was lost: what happened, and in `hint` what to do about it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class Intake(Protocol):
    """Where drivers put what they hear. Safe to call from any thread; never raises; stamps the instant itself."""

    def reading(
        self, point: str, value: Value | None, *, reason: str = "", done: Callable[[], None] | None = None
    ) -> None:
        """Take a reading (None: bad quality, with the reason). `done`: called once its effects are on disk.

        A bad reading of a source's (or instance's) whole frame is given once, under the name `source` or
        `source[instance]`; the engine makes it bad for each field.
        """

    def online(self, source: str) -> None:
        """Tell that a source is connected: a pin or port is open, a subscription was acknowledged."""

    def offline(self, source: str, error: str, hint: str = "") -> None:
        """Tell that a source is not connected, and why, in plain words."""

    def count_refused(self, source: str, reason: str) -> None:
        """Count something that is no reading (a message that can't be attributed to a point) as one bad reading."""


class Driver(Protocol):
    """One thing that is held open (a pin, a port, a broker's connection) for one or more sources.

    The supervisor runs each driver in a thread of its own: `open()`, then `serve()` again and again until it
    raises, then `close()`, a pause (1 s doubling to 30 s), and again.
    """

    name: str
    sources: tuple[str, ...]

    def open(self, intake: Intake) -> None:
        """Open it; tell `intake.online` where that is already known. Raises SourceError or OSError."""

    def serve(self, timeout_s: float) -> None:
        """Wait for input and pass it on, at most about that long. Raises SourceError or OSError when it is lost."""

    def close(self) -> None:
        """Release it; never raises; may be called twice, and after a failed open."""

    def returned(self) -> bool:
        """Return whether, during the pause, there is reason to try again at once (a port's file reappeared)."""


@dataclass(frozen=True, slots=True)
class DriverContext:
    """What drivers may need of the rest of the configuration. Secrets are in there: never log it."""

    agent_name: str
    machine_id: str
    brokers: Mapping[str, Any] = field(default_factory=dict, repr=False)
    passwords: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class SourceType:
    """A source type, as a module of `edge_agent/sources` names it in SOURCE_TYPE, or a plug-in in its entry point."""

    name: str
    settings: type[SourceSettings]
    drivers: Callable[[Mapping[str, Any], DriverContext], list[Driver]]
    """Build drivers (nothing is opened yet) from {source name: its settings}."""
    example: str
    """A `[sources.…]` table that `check` accepts, for the documentation."""


FieldNames = Annotated[tuple[Name, ...], Field(strict=False)]
