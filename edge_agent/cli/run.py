"""`edge-agent run`: the daemon, in the foreground, logging to stderr."""

import logging
import os
import sqlite3
import sys

import click

from edge_agent.cli import CliError, config_path, load_config
from edge_agent.config.words import clean


@click.command(name="run", epilog="Example: edge-agent --config /etc/edge-agent/config.toml run")
@click.pass_context
def command(ctx: click.Context) -> None:
    """Watch the sensors and call: the daemon. SIGTERM ends it, SIGHUP reads the configuration again."""
    from edge_agent.agent import Agent
    from edge_agent.config.loader import load
    from edge_agent.delivery.statedir import StateError

    config = load_config(ctx, secrets=True)
    start_log(config.agent.log_level)
    path = config_path(ctx).absolute()
    try:
        agent = Agent(config, lambda: load(path, secrets=True))
    except StateError as error:
        raise CliError(str(error), error.hint) from error
    except (sqlite3.Error, OSError) as error:
        raise CliError(f"the outbox in {config.state_dir} cannot be opened: {error}", "see its permissions") from error
    agent.run()


def start_log(level: str) -> None:
    """Log to stderr: with journald's level prefix under systemd, with the time elsewhere."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Line())
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("edge_agent").setLevel(level.upper())


class _Line(logging.Formatter):
    """One line for each record."""

    def __init__(self) -> None:
        # journald reads the level from the prefix <N>, and adds the time itself
        self._journal = _is_journal()
        super().__init__(
            "%(message)s" if self._journal else "%(asctime)s %(levelname)-7s %(message)s", "%Y-%m-%dT%H:%M:%S%z"
        )

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the base class named it
        """Return the message on one line, whatever a sensor or broker put into it."""
        record.message = clean(record.message)
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as a line; a traceback, which only a bug has, follows on lines of its own."""
        text = super().format(record)
        if not self._journal:
            return text
        level = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3}.get(record.levelname, 2)
        return "\n".join(f"<{level}>{line}" for line in text.splitlines())


def _is_journal() -> bool:
    """Return whether stderr goes to journald: it is what JOURNAL_STREAM says, not a terminal that inherited that."""
    try:
        status = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):  # ValueError: closed, or no file
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"
