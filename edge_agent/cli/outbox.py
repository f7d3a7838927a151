"""`edge-agent outbox`: see and operate calls, through the running agent or, while it is down, in its database."""

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import click

from edge_agent.cli import CliError, echo_json, load_config
from edge_agent.cli.local import table
from edge_agent.config.words import clean

if TYPE_CHECKING:
    from edge_agent.config.settings import Config
    from edge_agent.delivery.outbox import Outbox

_PATIENCE_S = 3.0
_STATES = ("waiting", "placed", "failed", "expired", "cancelled", "suppressed")


@click.group(name="outbox", epilog="Example: edge-agent outbox list --state waiting")
def command() -> None:
    """See and operate calls: list, show, retry, cancel. Works too while the agent is down."""


@command.command(name="list", epilog="Example: edge-agent outbox list --state waiting")
@click.option("--state", type=click.Choice(_STATES), help="Only calls in this state.")
@click.option("--limit", type=click.IntRange(min=1), help="Only the newest so many.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def list_calls(ctx: click.Context, state: str | None, limit: int | None, *, as_json: bool) -> None:
    """List calls, oldest first."""
    config = load_config(ctx, secrets=False)
    rows = _rows(config, state, limit)
    if as_json:
        echo_json(rows)
        return
    if not rows:
        click.echo("The outbox is empty." if state is None else f"No call is {state}.")
        return
    heads = ("id", "created", "rule", "alarm", "state", "tries", "next try", "why")
    click.echo("\n".join(table(heads, [_cells(row) for row in rows])))


def _cells(row: dict[str, Any]) -> list[str]:
    alarm = row["alarm"] or "(by hand)"
    if row["instance"] is not None:
        alarm += f"[{row['instance']}]"
    state = row["state"] + (" (ambiguous)" if row["ambiguous"] else "")
    texts = (row["id"], row["created_at"], row["rule"], alarm, state, row["attempts"], row["next_attempt_at"])
    why = row["last_error"] or (row["reason"] if row["state"] != "placed" else None)
    return [_cell(text) for text in (*texts, why)]


def _cell(value: object) -> str:
    return "-" if value is None else clean(str(value))


@command.command(name="show", epilog="Example: edge-agent outbox show 7")
@click.argument("row", metavar="ID", type=int)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def show_call(ctx: click.Context, row: int, *, as_json: bool) -> None:
    """Show one call, whole."""
    config = load_config(ctx, secrets=False)
    shown = next((call for call in _rows(config, None, None) if call["id"] == row), None)
    if shown is None:
        raise CliError(f"there is no call {row}", "edge-agent outbox list shows them")
    if as_json:
        echo_json(shown)
        return
    for key, value in shown.items():
        click.echo(f"{key:16} {_cell(value)}")


@command.command(name="retry", epilog="Example: edge-agent outbox retry 7")
@click.argument("row", metavar="ID", type=int)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def retry_call(ctx: click.Context, row: int, *, as_json: bool) -> None:
    """Make a waiting, failed or expired call due now."""
    changed = _operate(load_config(ctx, secrets=False), row, "retry", lambda outbox: outbox.retry(row))
    _done(changed, f"Call {row} is due now.", as_json=as_json)


@command.command(name="cancel", epilog="Example: edge-agent outbox cancel 7")
@click.argument("row", metavar="ID", type=int)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def cancel_call(ctx: click.Context, row: int, *, as_json: bool) -> None:
    """Withdraw a call that waits, or a failed one that is still tried."""
    changed = _operate(load_config(ctx, secrets=False), row, "cancel", lambda outbox: outbox.cancel(row))
    _done(changed, f"Call {row} is withdrawn.", as_json=as_json)


def _done(changed: dict[str, Any], text: str, *, as_json: bool) -> None:
    if as_json:
        echo_json(changed)
    else:
        click.echo(text)


def _rows(config: "Config", state: str | None, limit: int | None) -> list[dict[str, Any]]:
    """Return rows as the running agent knows them (a full disk leaves it only its memory), else as they are on disk."""
    from edge_agent.cli.local import request
    from edge_agent.delivery.statedir import agent_runs

    if config.web.listen and agent_runs(config.state_dir):
        wanted = urlencode({name: value for name, value in (("state", state), ("limit", limit)) if value is not None})
        with contextlib.suppress(CliError):
            answer: list[dict[str, Any]] = request(config, "GET", f"/api/v1/outbox?{wanted}", timeout_s=_PATIENCE_S)
            return answer
    return _rows_on_disk(config, state, limit)


def _rows_on_disk(config: "Config", state: str | None, limit: int | None) -> list[dict[str, Any]]:
    """Look into the database, whoever runs; nothing where there is none yet."""
    from edge_agent.delivery.outbox import Outbox
    from edge_agent.delivery.store import DATABASE, ReadOnlyStore
    from edge_agent.system.clock import Clock

    path = config.state_dir / DATABASE
    clock = Clock()
    try:
        if not path.exists():
            return []
        store = ReadOnlyStore(path)
        try:
            return [call.as_json(clock, config.zone()) for call in Outbox(store, clock).rows(state, limit)]
        finally:
            store.close()
    except (sqlite3.Error, OSError) as error:
        raise CliError(
            f"the outbox {path} cannot be read: {error}",
            "see who may read it; a damaged one is set aside when the agent starts",
        ) from error


def _operate(config: "Config", row: int, verb: str, change: "Callable[[Outbox], bool]") -> dict[str, Any]:
    """Do it through the running agent; where none runs, in its database."""
    from edge_agent.cli.local import request
    from edge_agent.delivery.statedir import StateError, StateLock, agent_runs
    from edge_agent.delivery.store import DATABASE

    path = config.state_dir / DATABASE
    if not config.state_dir.is_dir():
        raise CliError(f"there is no call {row}", "the outbox is empty")
    try:
        lock = StateLock(config.state_dir)
    except StateError as error:
        if not agent_runs(config.state_dir):
            raise CliError(str(error), error.hint) from error
        answer: dict[str, Any] = request(config, "POST", f"/api/v1/outbox/{row}/{verb}")
        return answer
    try:
        if not path.exists():
            raise CliError(f"there is no call {row}", "the outbox is empty")
        if not _change_on_disk(path, change):
            raise CliError(f"call {row} is not there, or its state does not allow it", "see edge-agent outbox list")
    except (sqlite3.Error, OSError) as error:
        raise CliError(f"the outbox {path} cannot be written: {error}", "run it as the agent's user") from error
    finally:
        lock.release()
    return {"changed": 1}


def _change_on_disk(path: Path, change: "Callable[[Outbox], bool]") -> bool:
    from edge_agent.delivery.outbox import Outbox
    from edge_agent.delivery.store import Store
    from edge_agent.system.clock import Clock

    store = Store(path)
    try:
        outbox = Outbox(store, Clock())
        outbox.enter_boot()
        changed = change(outbox)
        if store.trouble is not None or store.set_aside is not None:
            raise OSError(store.trouble or store.set_aside)
        return changed
    finally:
        store.close()
