"""Right values for hints: `is missing; add input = "freezer"`. Read only once something is wrong."""

import tomllib
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

_EXAMPLES = r"""
[agent]
name = "pump-house-3"
state_dir = "/var/lib/edge-agent"
max_shelve = "24h"
timezone = "Asia/Tokyo"
language = "en"
clock = "auto"
keep_rows = "90d"
keep_events = "90d"
max_events = 100000
log_level = "info"
history_file = false

[iotcall]
base_url = "https://sys.iotcall.jp"
auth_code_file = "/etc/edge-agent/auth-code"
timeout = "15s"
ca_file = "/etc/edge-agent/ca.pem"
proxy = "http://proxy.example.org:3128"

[rule]
url_key = "15XXXXXXXXXX28b89"
expires = "6h"
max_calls = 6
per = "1h"
coalesce = true
verify = "off"
on_ambiguous = "call_again"

[mqtt]
host = "localhost"
port = 1883
username = "agent"
password_file = "/etc/edge-agent/mqtt-password"
tls = true
ca_file = "/etc/edge-agent/ca.pem"
cert_file = "/etc/edge-agent/cert.pem"
key_file = "/etc/edge-agent/key.pem"
version = "5"
client_id = "edge-pump-house-3"

[alarm]
input = "freezer"
above = -15.0
below = 2.0
outside = [2.0, 8.0]
inside = [2.0, 8.0]
is = true
is_not = "ok"
matches = "error|fault"
rises_by = 5.0
falls_by = 5.0
silent_for = "10m"
changes = true
trips = 3
within = "10m"
deadband = 2.0
all = [{ input = "freezer", above = -15.0 }, { input = "door", is = true }]
any = [{ input = "freezer", above = -15.0 }, { input = "door", is = true }]
on_delay = "5m"
off_delay = "1m"
call = "pump"
repeat = "30m"
max_repeats = 3
cooldown = "10m"
latching = true
priority = "high"
schedule = "night"
inhibited_by = ["power-fail"]
cancel_on_clear = true
on_bad = "hold"
enabled = true
description = "Freezer above -15 °C for 5 minutes"

[numeric]
reject = [85.0, -127.0]
scale = 0.1
offset = 0.0
min = -60.0
max = 60.0
smooth = { median = 5 }

[schedule]
days = ["mon-fri"]
from = "18:00"
to = "08:00"
holidays = "JP"

[web]
listen = "127.0.0.1:8790"
hosts = ["pump-house.example.org"]
"""

Example = Callable[[], Mapping[str, Any]]
"""Gives a table in which every value is right."""


@cache
def _tables() -> dict[str, Any]:
    return tomllib.loads(_EXAMPLES)


def example_of(kind: str) -> Example:
    """Return the example of a kind of table: agent, iotcall, rule, mqtt, alarm, schedule, web."""
    return lambda: dict(_tables()[kind])


def source_example(text: str) -> Example:
    """Return the example that a source type brings along (a `[sources.NAME]` table), and what numeric ones share."""

    def table() -> Mapping[str, Any]:
        sources: dict[str, dict[str, Any]] = tomllib.loads(text).get("sources", {})
        return {**_tables()["numeric"], **next(iter(sources.values()), {})}

    return table
