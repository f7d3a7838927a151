"""`edge-agent test`: unit tests of a user's own alarms."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_agent.cli import CliError, echo_json, load_config
from edge_agent.config.errors import ConfigError, Problem

if TYPE_CHECKING:
    from edge_agent.config.settings import Config
    from edge_agent.tools.alarm_tests.cases import AlarmTest

_EPILOG = """\b
Example:
  edge-agent --config config.example.toml test config.example.test.toml

\b
A test file:
  [[test]]
  name = "a warm freezer calls"
  interval = "1m"
  readings = { "freezer[f1]" = "-18x10 -14x6" }
  [[test.expect]]
  at = "15m"
  alarm = "freezer-warm"
  event = "raised"
"""


@click.command("test", epilog=_EPILOG)
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
@click.pass_context
def command(ctx: click.Context, files: tuple[Path, ...], *, as_json: bool) -> None:
    """Run unit tests of your own alarms: readings in, expected events out.

    Everything happens in virtual time, and nobody is called. Exit status 0 if all pass; 1 if one fails, with what was
    expected and what came side by side, or if a file cannot be used.
    """
    from edge_agent.tools.alarm_tests import report
    from edge_agent.tools.alarm_tests.runner import run_test

    config = load_config(ctx, secrets=False)
    tests = _read(ctx, files, config)
    results = [run_test(test, config) for test in tests]
    if as_json:
        echo_json(report.as_json(results, config.zone()))
    else:
        click.echo("\n".join(report.report(results)))
    ctx.exit(0 if all(result.passed for result in results) else 1)


def _read(ctx: click.Context, files: tuple[Path, ...], config: "Config") -> "list[AlarmTest]":
    """Return the tests of all files; what is wrong with any of them is told before one is run."""
    from edge_agent.tools.alarm_tests.names import Names
    from edge_agent.tools.alarm_tests.reader import read_tests

    names = Names(config)
    tests: list[AlarmTest] = []
    problems: list[Problem] = []
    for file in files:
        if not file.exists():
            raise CliError(f"there is no file {file}", "give the path of a test file")
        try:
            tests += read_tests(file, names, config.zone())
        except ConfigError as error:
            problems += error.problems
    if problems:
        click.echo("\n".join(map(str, problems)), err=True)
        ctx.exit(1)
    return tests
