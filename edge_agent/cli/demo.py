"""`edge-agent demo`: the whole path on this machine, simulated."""

import sys

import click

from edge_agent.cli import CliError


@click.command("demo", epilog="Example: edge-agent demo")
@click.option("--keep", is_flag=True, help="Keep its folder (configuration, logs, database) and print the path.")
@click.option(
    "--broker",
    type=click.Choice(["mosquitto", "embedded"]),
    envvar="EDGE_AGENT_DEMO_BROKER",
    help="Default: mosquitto where it is installed, else the embedded one.",
)
@click.pass_context
def command(ctx: click.Context, broker: str | None, *, keep: bool) -> None:
    """Show the whole path, without hardware or account: half a minute, exit status 0 when all happened as told."""
    from edge_agent.tools.demo import BrokerKind, DemoError, show

    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a terminal that has no "°" is no reason to stop
    try:
        status = show(None if broker is None else BrokerKind(broker), keep=keep)
    except DemoError as error:
        for line in error.log:
            click.echo(f"  | {line}", err=True)
        raise CliError(str(error), "the lines above are the end of its log" if error.log else "") from error
    ctx.exit(status)
