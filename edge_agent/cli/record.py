"""`edge-agent record`: what the running agent reads, written to a file that `simulate` can play."""

import contextlib
import signal
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from edge_agent.cli import CliError, echo_json, load_config
from edge_agent.cli.local import request
from edge_agent.config.settings import Config
from edge_agent.config.words import clean
from edge_agent.core.fields import parse_positive_duration
from edge_agent.core.times import iso
from edge_agent.tools.replay.recording import Format, LineFile, Recording, UnavailableError, format_of

_EPILOG = """\b
Examples:
  edge-agent record january.csv
  edge-agent record --for 10m --format jsonl pump.jsonl
  edge-agent record | edge-agent simulate -
"""
_POLL_S = 0.5
_STDOUT = "-"


def _duration(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> int | None:
    try:
        return None if value is None else parse_positive_duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command("record", epilog=_EPILOG)
@click.argument("file", default=_STDOUT)
@click.option("--for", "duration", metavar="DURATION", callback=_duration, help='How long, like "10m"; else to Ctrl-C.')
@click.option("--format", "form", type=click.Choice(["csv", "jsonl"]), help="Else by FILE's name; CSV on stdout.")
@click.option("--force", is_flag=True, help="Write over a file that holds something.")
@click.option("--json", "as_json", is_flag=True, help="Print what was written to FILE as JSON; on stdout: JSONL.")
@click.pass_context
def command(
    ctx: click.Context, file: str, duration: int | None, form: Format | None, *, force: bool, as_json: bool
) -> None:
    """Write the readings of the running agent to FILE, for edge-agent simulate; "-" or none is stdout.

    Values are as they were decoded, before reject, scale and the like. It begins with the last value of each point;
    what people did (ack, shelve, unshelve) is recorded too. Ctrl-C ends it. Each line is written at once.
    """
    config = load_config(ctx, secrets=False)
    form = form or ("jsonl" if as_json and file == _STDOUT else format_of(file))
    answers = iter([_ask(config, None)])  # before the file is touched: there may be nothing to record
    with contextlib.ExitStack() as stack:
        write = _echo if file == _STDOUT else stack.enter_context(_opened(Path(file), force=force)).write
        recording = Recording(
            lambda cursor: next(answers, None) or _ask(config, cursor), write, form, config.zone(), _tell, duration
        )
        _run(recording)
    summary = _summary(recording, config)
    if as_json and file != _STDOUT:
        echo_json({"file": file, **summary})
    else:
        _tell("recorded " + ", ".join(f"{key} {value}" for key, value in summary.items()))


def _run(recording: Recording) -> None:
    """Record until it is long enough, or somebody ends it; what was read until then is in the file."""
    stop = threading.Event()

    def end(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)  # a second one ends it at once
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    recording.begin()
    while not stop.wait(_POLL_S) and recording.poll():
        pass
    recording.finish()


def _ask(config: Config, cursor: str | None) -> Mapping[str, Any]:
    """Return an answer of the running agent; the first question must be answered."""
    path = "/api/v1/readings" + ("" if cursor is None else f"?after={quote(cursor)}")
    try:
        answer: Mapping[str, Any] = request(config, "GET", path)
    except CliError as error:
        if cursor is None:
            raise
        raise UnavailableError(error.message) from None
    return answer


def _opened(path: Path, *, force: bool) -> LineFile:
    try:
        if not force and path.is_file() and path.stat().st_size:
            raise CliError(f"{clean(str(path))} holds something already", "take another name, or --force")
        return LineFile(path)
    except OSError as error:
        raise CliError(f"{clean(str(path))} cannot be written: {error.strerror or error}") from None


def _echo(line: str) -> None:
    sys.stdout.buffer.write(line.encode() + b"\n")
    sys.stdout.buffer.flush()


def _summary(recording: Recording, config: Config) -> dict[str, Any]:
    zone = config.zone()
    return {
        "from": iso(recording.began_at, zone),
        "to": iso(recording.complete_at, zone),
        "readings": recording.readings,
        "commands": recording.commands,
        "lost": recording.lost,
    }


def _tell(message: str) -> None:
    click.echo(f"edge-agent: {message}", err=True)
