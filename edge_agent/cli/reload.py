"""`edge-agent reload`: the running agent reads its configuration again, and says what changed."""

import os
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from edge_agent.cli import CliError, config_path, echo_json, load_config
from edge_agent.cli.local import RefusedError, request
from edge_agent.config.document import read_document
from edge_agent.config.errors import ConfigError
from edge_agent.config.settings import AgentSettings, Config, default_state_dir
from edge_agent.config.words import clean
from edge_agent.iotcall.settings import IotcallSettings
from edge_agent.web.settings import WebSettings

_TIMEOUT_S = 60.0
_HINT = "where web.listen has just changed, send it SIGHUP instead: systemctl reload edge-agent"


@click.command("reload", epilog="Example: edge-agent reload")
@click.option("--json", "as_json", is_flag=True, help="Print what changed as JSON.")
@click.pass_context
def command(ctx: click.Context, *, as_json: bool) -> None:
    """Have the running agent read its configuration again, and say what changed.

    All of the new configuration comes into force, or, where anything is wrong with it, nothing: then every error is
    printed, exit status 1, and the agent goes on with the one that it has. Alarms that did not change keep their
    state and their running delays; only sources that changed are opened anew. SIGHUP does the same.
    """
    config = _config(ctx)
    try:
        answer = request(config, "POST", "/api/v1/reload", {}, timeout_s=_TIMEOUT_S)
    except RefusedError as refused:
        click.echo("\n".join(clean(line) for line in refused.reason.splitlines()), err=True)
        ctx.exit(1)
    except CliError as error:
        raise CliError(error.message, _HINT) from None
    if as_json:
        echo_json(answer)
        return
    for line in answer["what"] or ["nothing changed"]:
        click.echo(clean(line))


def _config(ctx: click.Context) -> Config:
    """Return the configuration; of one that is wrong, what leads to the agent, which is to say what is wrong."""
    try:
        return load_config(ctx, secrets=False)
    except ConfigError as error:
        path = Path(os.path.abspath(config_path(ctx)))  # noqa: PTH100 - as the loader: links are not followed
        try:
            return _way(path, read_document(path)[0])
        except (ConfigError, ValidationError, TypeError, RuntimeError, AttributeError):
            raise error from None


def _way(path: Path, document: dict[str, Any]) -> Config:
    """Return as much of a configuration as is needed to reach the agent that runs with it."""
    web = WebSettings.model_validate(document.get("web", {}))
    state_dir = document.get("agent", {}).get("state_dir")
    folder = default_state_dir(path, os.environ) if state_dir is None else path.parent / state_dir
    return Config(path, folder, AgentSettings(), IotcallSettings(), {}, {}, {}, {}, web)
