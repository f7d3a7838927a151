"""The model of `[agent]`, and the whole configuration as the rest of the program gets it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from edge_agent.config.secrets import Secret
from edge_agent.config.words import did_you_mean
from edge_agent.core.fields import SECOND, PositiveDuration, Settings
from edge_agent.core.settings import AlarmSettings, ScheduleSettings
from edge_agent.iotcall.settings import IotcallSettings
from edge_agent.sources.base import SourceSettings
from edge_agent.sources.broker import BrokerSettings
from edge_agent.web.settings import WebSettings

_DAY = 86_400 * SECOND
_LOCALTIME = Path("/etc/localtime")
_ZONEINFO = "/zoneinfo/"
_MAX_NAME = 100
SYSTEM_CONFIG = Path("/etc/edge-agent")
SYSTEM_STATE = Path("/var/lib/edge-agent")


def host_name() -> str:
    """Return the machine's name, without its domain."""
    return os.uname().nodename.partition(".")[0] or "edge-agent"


def _agent_name(value: str) -> str:
    if not value.strip() or len(value) > _MAX_NAME or not value.isprintable() or set("+#") & set(value):
        raise ValueError(f"is no name; use 1 to {_MAX_NAME} characters without +, # and control characters")
    return value


def _folder(value: str) -> str:
    if "\0" in value:
        raise ValueError("is no path")
    return value


def _timezone(value: str) -> str:
    import zoneinfo  # noqa: PLC0415 - only where a zone is named: start-up counts on a small board

    try:
        zoneinfo.ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        hint = did_you_mean(value, zoneinfo.available_timezones(), 'write it like "Asia/Tokyo"')
        raise ValueError(f"is no time zone; {hint}") from None
    return value


class AgentSettings(Settings):
    """What belongs to the agent as a whole."""

    later_values: ClassVar[Mapping[str, tuple[object, ...]]] = {"language": ("ja",), "history_file": (True, str)}

    name: Annotated[str, AfterValidator(_agent_name)] = Field(default_factory=host_name)
    state_dir: Annotated[str, Field(min_length=1), AfterValidator(_folder)] | None = None
    timezone: Annotated[str, AfterValidator(_timezone)] | None = None
    """A name like "Asia/Tokyo"; None: the system's."""
    language: Literal["en"] = "en"
    clock: Literal["auto", "trusted"] = "auto"
    max_shelve: PositiveDuration = _DAY
    """How long an alarm can be shelved at most."""
    keep_rows: PositiveDuration = 90 * _DAY
    keep_events: PositiveDuration = 90 * _DAY
    max_events: Annotated[int, Field(ge=1)] = 100_000
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    history_file: Literal[False] = False


@dataclass(frozen=True, slots=True)
class Config:
    """A configuration without a known error: references point to something, files' paths are absolute."""

    path: Path
    state_dir: Path
    agent: AgentSettings
    iotcall: IotcallSettings
    mqtt: Mapping[str, BrokerSettings]
    sources: Mapping[str, SourceSettings]
    """Those of type mqtt name their broker, also where the file leaves it out."""
    alarms: Mapping[str, AlarmSettings]
    schedules: Mapping[str, ScheduleSettings]
    web: WebSettings
    auth_code: Secret | None = None
    """None: not read, or not needed as there is no IoTCall rule."""
    passwords: Mapping[str, Secret] = field(default_factory=dict)
    """{broker: its password}, of those that have one; empty where secrets were not read."""

    def zone(self) -> tzinfo:
        """Return the time zone of schedules and of what people read."""
        return time_zone(self.agent.timezone)


def time_zone(name: str | None) -> tzinfo:
    """Return the zone of that name; None: the system's, by TZ or /etc/localtime, else UTC."""
    import zoneinfo  # noqa: PLC0415 - see above

    name = name or os.environ.get("TZ", "").removeprefix(":") or None
    if name is None and _LOCALTIME.is_symlink():
        name = str(_LOCALTIME.resolve()).partition(_ZONEINFO)[2] or None
    try:
        if name is not None:
            return zoneinfo.ZoneInfo(name)
        with _LOCALTIME.open("rb") as file:
            return zoneinfo.ZoneInfo.from_file(file, key="localtime")
    except (KeyError, ValueError, OSError):
        return UTC


def default_state_dir(config: Path, env: Mapping[str, str]) -> Path:
    """Return where the state lies if the configuration does not say: as systemd says, or by where the file lies.

    Raises:
        RuntimeError: the user's home directory is unknown.
    """
    given = env.get("STATE_DIRECTORY", "").partition(":")[0]
    if given:
        return Path(given)
    if SYSTEM_CONFIG in config.parents:
        return SYSTEM_STATE
    base = Path(env.get("XDG_STATE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".local" / "state") / "edge-agent"
