"""`edge-agent iotcall`: IoTCall by hand."""

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
    config = load_config(ctx, secrets=False)
    if rule not in config.iotcall.rules:
        known = ", ".join(config.iotcall.rules) or "none is configured"
        raise CliError(f"no IoTCall rule is called {rule!r}", f"known: {known}")
    if not yes and not click.confirm(f"Really trigger {rule}? People will be phoned.", err=True):
        raise CliError("nothing was done")
    answer = _trigger(ctx, config, rule)
    if as_json:
        echo_json(answer)
    elif answer["result"] == "placed":
        click.echo(f"Placed (call {answer['id']}): {answer['message']}")
    if answer["result"] != "placed":
        if as_json:
            ctx.exit(1)
        raise CliError(f"not placed (call {answer['id']}): {answer['message']}")


def _trigger(ctx: click.Context, config: "Config", rule: str) -> dict[str, Any]:
    """Let the running agent do it, which has the AuthCode; where none runs, be the one agent on the state folder."""
    from edge_agent.cli.local import request
    from edge_agent.delivery.statedir import StateError, StateLock, agent_runs

    try:
        lock = StateLock(config.state_dir)
    except StateError as error:
        if not agent_runs(config.state_dir):
            raise CliError(str(error), error.hint) from error
        answer: dict[str, Any] = request(config, "POST", "/api/v1/call", {"rule": rule}, timeout_s=_patience_s(config))
        return answer
    try:
        return _trigger_here(load_config(ctx, secrets=True), rule)
    finally:
        lock.release()


def _patience_s(config: "Config") -> float:
    from edge_agent.core.fields import SECOND

    return config.iotcall.timeout / SECOND + 10


def _trigger_here(config: "Config", rule: str) -> dict[str, Any]:
    from edge_agent.delivery.outbox import Outbox
    from edge_agent.delivery.sender import Sender
    from edge_agent.delivery.store import open_store
    from edge_agent.iotcall.client import Client
    from edge_agent.system.clock import Clock

    code = config.auth_code.reveal() if config.auth_code else ""
    clock = Clock()
    store = open_store(config.state_dir)
    for trouble in filter(None, (store.set_aside, store.trouble and f"it is in no outbox: {store.trouble}")):
        click.echo(f"edge-agent: {trouble}", err=True)
    outbox = Outbox(store, clock)
    outbox.enter_boot()
    sender = Sender(outbox, lambda: Client(config.iotcall, lambda: code), config.iotcall.rules, clock, _uncounted)
    try:
        row, outcome = sender.call_by_hand(rule)
    finally:
        outbox.close()
    return {"result": str(outcome.result), "message": outcome.message, "id": row}


def _uncounted(_rule: str, _at: int) -> None:
    """No engine runs here; the next one counts the row."""
