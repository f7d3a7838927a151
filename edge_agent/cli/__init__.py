"""The command line: a module for each command, imported when it is called; errors are lines, never tracebacks."""

import errno
import importlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_agent import __version__

if TYPE_CHECKING:
    from edge_agent.config.settings import Config

CONFIG_VARIABLE = "EDGE_AGENT_CONFIG"
DEFAULT_CONFIG = "/etc/edge-agent/config.toml"
EXIT_CONFIG = 78
"""sysexits.h: EX_CONFIG."""
_CONFIG_KEY = "edge_agent.config"

COMMANDS = {
    "run": "Watch the sensors and call: the daemon.",
    "check": "Say what is wrong with the configuration.",
    "schema": "Print the JSON Schema of the configuration.",
    "sandbox": "Play IoTCall: a simulator of the service.",
    "demo": "Show the whole path, without hardware or account.",
    "status": "Show what the running agent sees and does.",
    "alarms": "Show the alarms and their states.",
    "ack": "Acknowledge a raised alarm.",
    "shelve": "Hold an alarm's calls back for a while.",
    "unshelve": "End the shelving of an alarm.",
    "explain": "Say why an alarm did, or did not, call.",
    "outbox": "See and operate waiting calls.",
    "inject": "Put a reading into the running agent.",
    "iotcall": "Use IoTCall by hand.",
    "record": "Write the running agent's readings to a file.",
    "simulate": "Play a file of readings through the alarms.",
    "test": "Run unit tests of your own alarms.",
    "reload": "Have the running agent read its configuration again.",
}
"""{command: what it does}; each is `command` in a module of this package named like it."""


class CliError(click.ClickException):
    """What could not be done and why, in one line on stderr; exit status 1."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(" ".join((f"{message}; {hint}" if hint else message).split()))

    def show(self, file: Any = None) -> None:
        """Print the line."""
        click.echo(f"edge-agent: {self.message}", err=file is None, file=file)


class LazyGroup(click.Group):
    """Knows its commands by name and imports them one by one; gives each of them `--config`."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Return all names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, imported just now."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"edge_agent.cli.{cmd_name}").command
        _accept_config(command)
        return command

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what foreseeably fails becomes lines on stderr and an exit status."""
        import logging

        logging.getLogger("edge_agent").addHandler(logging.NullHandler())  # only `run` has a log
        from edge_agent.config.errors import ConfigError

        try:
            return super().invoke(ctx)
        except ConfigError as error:
            click.echo("\n".join(map(str, error.problems)), err=True)
            ctx.exit(EXIT_CONFIG)
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise  # click ends quietly
            raise CliError(str(error)) from error


def _remember_config(ctx: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.meta[_CONFIG_KEY] = value


def _config_option() -> click.Option:
    return click.Option(
        ["--config", "config_path"],
        metavar="PATH",
        expose_value=False,
        callback=_remember_config,
        help=f"The configuration; else ${CONFIG_VARIABLE}, else {DEFAULT_CONFIG}.",
    )


def _accept_config(command: click.Command) -> None:
    """Let `--config` stand behind the command (and behind its subcommands) too."""
    if not any(parameter.name == "config_path" for parameter in command.params):
        command.params.append(_config_option())
    if isinstance(command, click.Group):
        for subcommand in command.commands.values():
            _accept_config(subcommand)


def config_path(ctx: click.Context) -> Path:
    """Return the configuration's path: --config, else $EDGE_AGENT_CONFIG, else the default."""
    return Path(ctx.meta.get(_CONFIG_KEY) or os.environ.get(CONFIG_VARIABLE) or DEFAULT_CONFIG)


def load_config(ctx: click.Context, *, secrets: bool) -> "Config":
    """Return the configuration that the command line names. Raises ConfigError, which ends in exit status 78."""
    from edge_agent.config.loader import load

    return load(config_path(ctx), secrets=secrets)


def echo_json(value: object) -> None:
    """Print a value as JSON, as every `--json` does."""
    click.echo(json.dumps(value, indent=2))  # ASCII: what a sensor said must not reach the terminal as it is


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    params=[_config_option()],
    epilog="Example: edge-agent --config ./config.toml check",
)
@click.version_option(__version__, prog_name="edge-agent")
def main() -> None:
    """Watch contacts, serial sensors and MQTT topics, and have IoTCall phone people when one trips."""
