"""`edge-agent alarms`: every alarm, its state, and what people did to it."""

import contextlib
from collections.abc import Iterable, Mapping
from typing import Any

import click

from edge_agent.cli import CliError, echo_json, load_config
from edge_agent.cli.local import request, table
from edge_agent.cli.status import remarks
from edge_agent.cli.words import named, when


@click.command("alarms", epilog="Example: edge-agent alarms")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: the `alarms` of status --json.")
@click.pass_context
def command(ctx: click.Context, *, as_json: bool) -> None:
    """Show the alarms of the running agent: state, acknowledged, shelved, and calls that are held back."""
    config = load_config(ctx, secrets=False)
    alarms = request(config, "GET", "/api/v1/alarms")
    if as_json:
        echo_json(alarms)
        return
    owed: list[dict[str, Any]] = []
    with contextlib.suppress(CliError):  # the engine is busy: the table is worth more than this column
        owed = request(config, "GET", "/api/v1/owed")["owed"]
    if not alarms:
        click.echo("There is no alarm, or none has seen a reading yet.")
        return
    click.echo("\n".join(table(("alarm", "state", "since", ""), rows(alarms, owed))))


def rows(alarms: Iterable[Mapping[str, Any]], owed: Iterable[Mapping[str, Any]]) -> list[list[str]]:
    """Return the cells of the table."""
    owing = {(each["alarm"], each["instance"]): each for each in owed}
    return [
        [
            named(alarm["alarm"], alarm["instance"]),
            alarm["state"],
            when(alarm["since"]),
            "; ".join(filter(None, (remarks(alarm), _owes(owing.get((alarm["alarm"], alarm["instance"])))))),
        ]
        for alarm in alarms
    ]


def _owes(owed: Mapping[str, Any] | None) -> str:
    if owed is None:
        return ""
    why = f" ({owed['held_back'][0]})" if owed["held_back"] else ""
    return f"owes a call to {', '.join(owed['rules'])}{why}"
