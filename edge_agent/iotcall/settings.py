"""The models of `[iotcall]` and `[iotcall.rules.NAME]`."""

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from edge_agent.core.fields import SECOND, Name, PositiveDuration, Settings, parse_positive_duration

HOUR = 3600 * SECOND


def _expires(value: object) -> object:
    return None if value == "never" else parse_positive_duration(value)


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

    url_key: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$", max_length=128)]
    expires: Annotated[int | None, BeforeValidator(_expires)] = 24 * HOUR
    """Microseconds; None: never."""
    max_calls: Annotated[int, Field(ge=0)] = 10
    """At most this many triggers in any window of `per`; 0: no limit."""
    per: PositiveDuration = HOUR
    coalesce: bool = True
    verify: Literal["off"] = "off"
    on_ambiguous: Literal["call_again"] = "call_again"


class IotcallSettings(Settings):
    """Where the service is, and the secret's file."""

    base_url: str = "https://sys.iotcall.jp"
    auth_code_file: str | None = None
    timeout: PositiveDuration = 15 * SECOND
    """One whole attempt, connect to last byte, in microseconds."""
    ca_file: str | None = None
    proxy: str | None = None
    rules: dict[Name, RuleSettings] = Field(default_factory=dict)
