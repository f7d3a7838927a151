"""`edge-agent check`: everything that is wrong with the configuration, at once. It opens and writes nothing."""

from dataclasses import asdict

import click

from edge_agent.cli import EXIT_CONFIG, config_path, echo_json, load_config
from edge_agent.config.errors import ConfigError
from edge_agent.config.settings import Config
from edge_agent.config.words import clean


@click.command("check", epilog="Example: edge-agent check --config ./config.toml")
@click.option("--json", "as_json", is_flag=True, help="Print the errors as JSON; [] where there is none.")
@click.pass_context
def command(ctx: click.Context, *, as_json: bool) -> None:
    """Say what is wrong with the configuration.

    Prints every error as FILE:LINE: KEY: what is wrong; what would be right. Exit status 78 if there is one, else 0.
    """
    try:
        config = load_config(ctx, secrets=True)
    except ConfigError as error:
        if not as_json:
            raise
        echo_json([asdict(problem) for problem in error.problems])
        ctx.exit(EXIT_CONFIG)
    if as_json:
        echo_json([])
    else:
        click.echo(f"{clean(str(config_path(ctx)))}: ok, {_summary(config)}")


def _summary(config: Config) -> str:
    counts = (("source", config.sources), ("alarm", config.alarms), ("IoTCall rule", config.iotcall.rules))
    return ", ".join(f"{len(tables)} {word}{'' if len(tables) == 1 else 's'}" for word, tables in counts)
