"""`edge-agent status`: the running agent at a glance."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import click

from edge_agent.cli import echo_json, load_config
from edge_agent.cli.local import request, table
from edge_agent.cli.words import named, when
from edge_agent.config.words import clean

_WHY = {
    None: "not tried yet",
    "refused": "IoTCall refused it",
    "not_iotcall": "something else than IoTCall answers (a captive portal, a proxy)",
    "auth": "IoTCall does not accept the AuthCode",
    "rule": "IoTCall does not know the rule",
    "busy": "IoTCall is busy",
    "offline": "IoTCall cannot be reached",
    "ambiguous": "the last attempt's answer was lost",
}
_MAX_VALUE = 60
CHATTER_HEADER = ("alarm", "raises in a week", "last", "what would calm it")
_SECONDS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


@click.command("status", epilog="Example: edge-agent status")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.pass_context
def command(ctx: click.Context, *, as_json: bool) -> None:
    """Show the running agent: faults, connection, alarms, calls, sources and points."""
    config = load_config(ctx, secrets=False)
    status = request(config, "GET", "/api/v1/status")
    if as_json:
        echo_json(status)
        return
    waiting = request(config, "GET", "/api/v1/outbox?state=waiting") if status["outbox"].get("waiting") else []
    chatter = request(config, "GET", "/api/v1/chatter")["chatter"]
    click.echo("\n".join(render(status, waiting, chatter)))


def render(
    status: Mapping[str, Any], waiting: Iterable[Mapping[str, Any]], chatter: Iterable[Mapping[str, Any]]
) -> Iterator[str]:
    """Yield the lines for people, from what the API answers."""
    yield clean(f"{status['agent']}: edge-agent {status['version']}, up for {_duration(status['uptime_s'])}")
    yield f"IoTCall: {_connection(status['iotcall'])}"
    sections = (
        ("Faults", ("since", "what", "what to do"), _faults(status)),
        ("Alarms", ("alarm", "state", "since", ""), _alarms(status)),
        ("Chattering", CHATTER_HEADER, chatter_rows(chatter)),
        ("Calls", ("state", "calls"), [[state, str(count)] for state, count in status["outbox"].items()]),
        ("Waiting calls", ("rule", "calls", "why", "next attempt"), _waiting(waiting)),
        ("Sources", ("source", "type", "", "readings", "bad", "last reading", ""), _sources(status)),
        ("Points", ("point", "value", "at"), _points(status)),
    )
    for title, header, rows in sections:
        if rows:
            yield from ("", title)
            yield from table(header, rows)


def _connection(iotcall: Mapping[str, Any]) -> str:
    reachable = {True: "reachable", False: "NOT reachable", None: "not tried yet"}[iotcall["reachable"]]
    auth = {True: "", False: ", the AuthCode is NOT accepted", None: ""}[iotcall["auth_ok"]]
    last = iotcall["last_success_at"]
    return f"{reachable}{auth}, last success {when(last)}" if last else f"{reachable}{auth}, no success yet"


def _faults(status: Mapping[str, Any]) -> list[list[str]]:
    return [[when(fault["since"]), fault["what"], fault["hint"] or ""] for fault in status["faults"]]


def _alarms(status: Mapping[str, Any]) -> list[list[str]]:
    return [
        [named(alarm["alarm"], alarm["instance"]), alarm["state"], when(alarm["since"]), remarks(alarm)]
        for alarm in status["alarms"]
    ]


def chatter_rows(chatter: Iterable[Mapping[str, Any]]) -> list[list[str]]:
    """Return the cells of the table of those that were raised again and again, and what would calm them."""
    return [
        [named(each["alarm"], each["instance"]), str(each["raises"]), when(each["last_at"]), each["suggestion"]]
        for each in chatter
    ]


def remarks(alarm: Mapping[str, Any]) -> str:
    """Return what people have done to an alarm."""
    shelved = alarm["shelved_until"]
    acknowledged = ["acknowledged"] if alarm["acknowledged"] else []
    return ", ".join([*acknowledged, *([f"shelved until {when(shelved)}"] if shelved else [])])


def _waiting(rows: Iterable[Mapping[str, Any]]) -> list[list[str]]:
    """Return one line for each rule and reason, with the earliest next attempt."""
    counts: Counter[tuple[str, str]] = Counter()
    next_at: dict[tuple[str, str], str] = {}
    for row in rows:
        key = (row["rule"], row["reason"] or _WHY.get(row["last_result"], str(row["last_result"])))
        counts[key] += 1
        if row["next_attempt_at"]:
            next_at[key] = min(next_at.get(key, row["next_attempt_at"]), row["next_attempt_at"])
    return [[rule, str(count), why, when(next_at.get((rule, why)))] for (rule, why), count in counts.items()]


def _sources(status: Mapping[str, Any]) -> list[list[str]]:
    return [
        [
            name,
            source["type"],
            "online" if source["online"] else "OFFLINE",
            str(source["readings"]),
            str(source["bad_readings"]),
            when(source["last_reading_at"]),
            source["error"] or "",
        ]
        for name, source in status["sources"].items()
    ]


def _points(status: Mapping[str, Any]) -> list[list[str]]:
    return [[name, _value(point), when(point["at"])] for name, point in status["points"].items()]


def _value(point: Mapping[str, Any]) -> str:
    value = point["value"]
    text = {True: "true", False: "false"}[value] if isinstance(value, bool) else "-" if value is None else str(value)
    if isinstance(value, str):
        text = f'"{text}"'  # "-10" is a text, and above no limit
    text = text if len(text) <= _MAX_VALUE else f"{text[: _MAX_VALUE - 1]}…"
    return text if point["quality"] == "good" else f"{text} ({point['quality']})"


def _duration(seconds: float) -> str:
    """Return the two largest units: `3 d 4 h`."""
    parts: list[str] = []
    rest = int(seconds)
    for unit, length in _SECONDS:
        if rest >= length or (unit == "s" and not parts):
            parts.append(f"{rest // length} {unit}")
        rest %= length
    return " ".join(parts[:2])
