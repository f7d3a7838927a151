"""The models of `[iotcall]` and `[iotcall.rules.NAME]`."""

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Annotated, ClassVar, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from edge_agent.core.fields import DURATION_SCHEMA, SECOND, Name, PositiveDuration, Settings, parse_positive_duration

HOUR = 3600 * SECOND
URL_KEY_PATTERN = r"^[A-Za-z0-9_-]+$"
_BASE_URL_FORM = "write it like https://sys.iotcall.jp, without user, query or fragment"
_PROXY_FORM = 'write it like "http://host:port"'


def _expires(value: object) -> object:
    return None if value == "never" else parse_positive_duration(value)


Expires = Annotated[
    int | None,
    BeforeValidator(_expires),
    WithJsonSchema({"anyOf": [{"const": "never"}, *DURATION_SCHEMA["anyOf"]]}, mode="validation"),
]
"""Microseconds; None: never."""


def _split_url(value: str, form: str) -> SplitResult:
    """Split a URL, refusing what `urlsplit` would silently drop or what only shows later; values are not repeated."""
    try:
        if any(not "!" <= c <= "~" for c in value):
            raise ValueError  # noqa: TRY301 - one message for all that is no URL
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError(f"is no http or https URL; {form}")
    if "@" in parts.netloc or "?" in value or "#" in value:
        raise ValueError(f"holds more than an address; {form}")
    return parts


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _base_url(value: str) -> str:
    parts = _split_url(value, _BASE_URL_FORM)
    if parts.scheme == "http" and not _loopback(parts.hostname or ""):
        raise ValueError("http:// would send the AuthCode unencrypted; write https:// (http:// is for loopback only)")
    return value


def _proxy(value: str) -> str:
    parts = _split_url(value, _PROXY_FORM)
    if parts.scheme != "http" or parts.port is None or parts.path not in ("", "/"):
        raise ValueError(f"is no proxy's address; {_PROXY_FORM}")
    return value


class RuleSettings(Settings):
    """One IoTCall rule: what is triggered, how long a call stays worth making, and its budget."""

    later: ClassVar[frozenset[str]] = frozenset(
        {
            "rule_id",
            "verify_within",
            "on_unanswered",
            "verify_after",
            "verify_every",
            "settle",
            "speak_min",
            "next_digit",
            "escalate_cleared",
            "check_log_for",
            "manage_numbers",
            "numbers_every",
            "shifts",
        }
    )

    later_values: ClassVar[Mapping[str, tuple[object, ...]]] = {
        "verify": ("answered", "acknowledged"),
        "on_ambiguous": ("check_log",),
    }

    url_key: Annotated[str, Field(pattern=URL_KEY_PATTERN, max_length=128)]
    expires: Expires = 24 * HOUR
    max_calls: Annotated[int, Field(ge=0)] = 10
    """At most this many triggers in any window of `per`; 0: no limit."""
    per: PositiveDuration = HOUR
    coalesce: bool = True
    verify: Literal["off"] = "off"
    on_ambiguous: Literal["call_again"] = "call_again"


class IotcallSettings(Settings):
    """Where the service is, and the secret's file."""

    base_url: Annotated[str, AfterValidator(_base_url)] = "https://sys.iotcall.jp"
    auth_code_file: Annotated[str, Field(min_length=1)] | None = None
    timeout: PositiveDuration = 15 * SECOND
    """One whole attempt, connect to last byte, in microseconds."""
    ca_file: Annotated[str, Field(min_length=1)] | None = None
    proxy: Annotated[str, AfterValidator(_proxy)] | None = None
    rules: dict[Name, RuleSettings] = Field(default_factory=dict)
