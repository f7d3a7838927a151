"""`edge-agent check`: everything that is wrong with the configuration, at once. It writes nothing and opens no port."""

import contextlib
import sqlite3
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
    Alarms that were raised again and again in the last week are named on stderr, with what would calm them.
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
        _tell_chatter(config)


def _summary(config: Config) -> str:
    counts = (("source", config.sources), ("alarm", config.alarms), ("IoTCall rule", config.iotcall.rules))
    return ", ".join(f"{len(tables)} {word}{'' if len(tables) == 1 else 's'}" for word, tables in counts)


def _tell_chatter(config: Config) -> None:
    """Name alarms that chattered, as far as the agent's database can be read: there may be none."""
    from edge_agent.cli.words import named, when
    from edge_agent.delivery.disk import DATABASE, connect_readonly, connect_unseen
    from edge_agent.delivery.history import History
    from edge_agent.delivery.statedir import agent_runs
    from edge_agent.delivery.store import ReadOnlyStore
    from edge_agent.system.clock import wall_now

    path = config.state_dir / DATABASE
    with contextlib.suppress(sqlite3.Error, OSError):
        if not path.is_file():
            return
        store = ReadOnlyStore(path, connect_readonly if agent_runs(config.state_dir) else connect_unseen)
        with contextlib.closing(store):
            chatter = [each.as_json(config.zone()) for each in History(store).chatter(wall_now())]
        for each in chatter:
            if each["alarm"] in config.alarms:
                who = named(each["alarm"], each["instance"])
                seen = f"{each['raises']} raises in a week, the last at {when(each['last_at'])}"
                click.echo(clean(f"{who} chatters ({seen}): {each['suggestion']}"), err=True)
