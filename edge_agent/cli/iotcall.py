"""`edge-agent iotcall`: IoTCall by hand."""

import sqlite3
import sys
from typing import TYPE_CHECKING, Any

import click

from edge_agent.cli import CliError, echo_json, load_config

if TYPE_CHECKING:
    from edge_agent.config.settings import Config


@click.group(name="iotcall", epilog="Example: edge-agent iotcall call freezer")
def command() -> None:
    """Use IoTCall by hand."""


@command.command(name="call", epilog="Example: edge-agent iotcall call freezer --yes")
@click.argument("rule")
@click.option("--yes", is_flag=True, help="Do not ask: people are really phoned.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def call(ctx: click.Context, rule: str, *, yes: bool, as_json: bool) -> None:
    """Trigger an IoTCall rule now: one attempt. People are really phoned."""
    if not yes and not sys.stdin.isatty():
        raise click.UsageError("this really phones people; without a terminal to ask on it needs --yes")
    config = load_config(ctx, secrets=True)
    if rule not in config.iotcall.rules:
        known = ", ".join(config.iotcall.rules) or "none is configured"
        raise CliError(f"no IoTCall rule is called {rule!r}", f"known: {known}")
    if not yes and not click.confirm(f"Really trigger {rule}? People will be phoned.", err=True):
        raise CliError("nothing was done")
    answer = _through_agent(config, rule) or _under_lock(config, rule)
    if as_json:
        echo_json(answer)
    elif answer["result"] == "placed":
        click.echo(f"Placed (call {answer['id']}): {answer['message']}")
    if answer["result"] != "placed":
        if as_json:
            ctx.exit(1)
        raise CliError(f"not placed (call {answer['id']}): {answer['message']}")


def _through_agent(config: "Config", rule: str) -> dict[str, Any] | None:
    """Let the running agent do it; None where none runs."""
    from edge_agent.cli.local import request
    from edge_agent.delivery.statedir import StateError, StateLock

    try:
        StateLock(config.state_dir).release()
    except StateError:
        answer: dict[str, Any] = request(config, "POST", "/api/v1/call", {"rule": rule}, timeout_s=_patience_s(config))
        return answer
    return None


def _patience_s(config: "Config") -> float:
    from edge_agent.core.fields import SECOND

    return config.iotcall.timeout / SECOND + 10


def _under_lock(config: "Config", rule: str) -> dict[str, Any]:
    """Do it here, as the one agent on the state folder."""
    from edge_agent.delivery.outbox import Outbox
    from edge_agent.delivery.sender import Sender
    from edge_agent.delivery.statedir import StateError, StateLock
    from edge_agent.delivery.store import open_or_set_aside
    from edge_agent.iotcall.client import Client
    from edge_agent.system.clock import Clock

    code = config.auth_code.reveal() if config.auth_code else ""
    clock = Clock()
    try:
        lock = StateLock(config.state_dir)
        store, _ = open_or_set_aside(config.state_dir)
    except StateError as error:
        raise CliError(str(error), error.hint) from error
    except (sqlite3.Error, OSError) as error:
        raise CliError(f"the outbox in {config.state_dir} cannot be opened: {error}", "see who may write it") from error
    outbox = Outbox(store, clock)
    sender = Sender(outbox, lambda: Client(config.iotcall, lambda: code), config.iotcall.rules, clock, _uncounted)
    try:
        row, outcome = sender.call_by_hand(rule)
    finally:
        outbox.close()
        lock.release()
    return {"result": str(outcome.result), "message": outcome.message, "id": row}


def _uncounted(_rule: str, _at: int) -> None:
    """No engine runs here; the next one counts the row."""
