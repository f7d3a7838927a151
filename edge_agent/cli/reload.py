"""`edge-agent reload`: the running agent reads its configuration again, and says what changed."""

import click

from edge_agent.cli import CliError, echo_json, load_config
from edge_agent.cli.local import RefusedError, request
from edge_agent.config.words import clean

_TIMEOUT_S = 60.0
_HINT = "where web.listen has just changed, send it SIGHUP instead: systemctl reload edge-agent"


@click.command("reload", epilog="Example: edge-agent reload")
@click.option("--json", "as_json", is_flag=True, help="Print what changed as JSON.")
@click.pass_context
def command(ctx: click.Context, *, as_json: bool) -> None:
    """Have the running agent read its configuration again, and say what changed.

    All of the new configuration comes into force, or, where anything is wrong with it, nothing: then every error is
    printed, exit status 78 (1 where the agent itself refuses it), and it goes on with the one that it has. Alarms that
    did not change keep their state and running delays; only sources that changed are opened anew. SIGHUP does the same.
    """
    config = load_config(ctx, secrets=False)
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
