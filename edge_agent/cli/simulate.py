"""`edge-agent simulate`: readings from a file through the alarms, in virtual time."""

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import tzinfo
from pathlib import Path
from typing import Any

import click

from edge_agent.cli import CliError, config_path
from edge_agent.config.loader import load
from edge_agent.config.overrides import Override, parse_override
from edge_agent.config.settings import Config
from edge_agent.config.words import clean
from edge_agent.core.events import Event
from edge_agent.core.instants import parse_instant
from edge_agent.tools.replay.compare import SIDES, Difference, Duel
from edge_agent.tools.replay.entries import Entry
from edge_agent.tools.replay.files import STDIN, ReadingsError, read
from edge_agent.tools.replay.lines import event_json, event_line
from edge_agent.tools.replay.player import Player
from edge_agent.tools.replay.summary import Summary

_EPILOG = """\b
Examples:
  edge-agent simulate january.csv
  edge-agent simulate january.csv --set alarms.freezer-warm.above=-12
  edge-agent simulate january.csv --compare alarms.freezer-warm.on_delay=10m
  edge-agent record - | edge-agent simulate - --json
"""
_LONG_FILE = 8 * 1024 * 1024
_ERASE_LINE = "\r\x1b[2K"
_Watch = Callable[[Iterator[Entry]], Iterator[Entry]]
_See = Callable[[Event], object]


def _look_away(_event: Event) -> None:
    """See nothing."""


def _overrides(_ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[Override, ...]:
    try:
        return tuple(parse_override(value, parameter.opts[0]) for value in values)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _setting(name: str, variable: str, text: str) -> Callable[[Any], Any]:
    return click.option(name, variable, metavar="PATH=VALUE", multiple=True, callback=_overrides, help=text)


@click.command("simulate", epilog=_EPILOG)
@click.argument("file")
@click.option("--until", metavar="TIME", help="Where to end: go on without readings, or leave out those after it.")
@_setting("--set", "settings", "Try another setting. May be repeated.")
@_setting("--compare", "compare", "Compare with this other setting. May be repeated.")
@click.option("--compare-config", metavar="PATH", help="Compare with another configuration.")
@click.option("--plot", metavar="FILE.png", help="Draw a picture; .svg and .pdf too. Needs matplotlib.")
@click.option("--timeline", is_flag=True, help="Print a timing picture of characters, and nothing else.")
@click.option("--json", "as_json", is_flag=True, help="Print events as JSON, one a line; the summary goes to stderr.")
@click.pass_context
def command(  # noqa: PLR0913 - each is an option
    ctx: click.Context,
    file: str,
    until: str | None,
    settings: tuple[Override, ...],
    compare: tuple[Override, ...],
    compare_config: str | None,
    plot: str | None,
    *,
    timeline: bool,
    as_json: bool,
) -> None:
    """Play the readings of FILE through the alarms, and say what would have been called.

    FILE is CSV with the header time,point,value, or JSONL, gzipped or not; "-" is the standard input. Nobody is
    phoned, nothing is opened or written. VALUE is written as in the configuration; a bare word is a text.
    With --compare only the raises and calls that one of the two settings has and the other has not are printed:
    episodes of an alarm that overlap are one case, in which a call at another instant is no difference.
    """
    config = load(config_path(ctx), secrets=False, overrides=settings)
    other = None
    if compare or compare_config is not None:
        other = load(compare_config or config_path(ctx), secrets=False, overrides=(*settings, *compare))
    if other is not None and (plot is not None or timeline):
        raise click.UsageError(f"--{'plot' if plot else 'timeline'} draws one setting; leave --compare out")
    if timeline and (as_json or plot is not None):
        raise click.UsageError("--timeline does not go with --json or --plot")
    run = _Run(file, config, until=_until(until, config.zone()), as_json=as_json)
    try:
        if plot is not None:
            _draw(run, Path(plot))
        elif timeline:
            run.timeline()
        elif other is None:
            run.simulate()
        else:
            run.compare(other)
    except ReadingsError as error:
        sys.stdout.flush()
        raise CliError(str(error)) from None


def _until(text: str | None, zone: tzinfo) -> int | None:
    try:
        return None if text is None else parse_instant(text, zone)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--until") from None


def _draw(run: "_Run", path: Path) -> None:
    from edge_agent.tools.replay.plot import Plot, PlotError, check_plot

    try:
        check_plot(path)
        plot = Plot(run.player, run.name)
        run.simulate(plot.watch, plot.see)
        plot.save(path)
    except PlotError as error:
        raise CliError(str(error), error.hint) from None


class _Run:
    """One run of the command."""

    def __init__(self, file: str, config: Config, *, until: int | None, as_json: bool) -> None:
        self._file = file
        self.name = "standard input" if file == STDIN else Path(file).name
        self.player = Player(config, self._warn)
        self._zone = config.zone()
        self._until = until
        self._as_json = as_json
        self._warned: set[str] = set()
        self._erase = ""
        self._printed = False

    def simulate(self, watch: _Watch = iter, see: _See = _look_away) -> None:
        """Print all events, then the summary. `watch` stands between the file and the player, `see` hears events."""
        summary = Summary(self._zone)
        line = event_json if self._as_json else event_line
        for event in self._events(watch):
            summary.add(event)
            self._print(line(event, self._zone))
            see(event)
        self._summarise(lambda: summary.report(self.player.began_at, self.player.now))

    def timeline(self) -> None:
        """Print a picture of characters."""
        from edge_agent.tools.replay.observer import Observer
        from edge_agent.tools.replay.timeline import timeline

        player, observer = self.player, Observer(self.player)
        for event in self._events(observer.watch):
            observer.see(event)
        self._summarise(
            lambda: timeline((player.began_at, player.now), self._zone, observer.tracks(), observer.lanes)
        )  # fmt: skip

    def _events(self, watch: _Watch) -> Iterator[Event]:
        with self._entries() as entries:
            yield from self.player.run(watch(entries), self._until)

    def compare(self, other: Config) -> None:
        """Print what only one of the two settings has, then both totals side by side."""
        duel = Duel(self.player, Player(other, self._warn))
        with self._entries() as entries:
            for found in duel.run(entries, self._until):
                self._print(self._difference(found))
        self._summarise(duel.report)

    def _difference(self, found: Difference) -> str:
        side = SIDES[found.side]
        if self._as_json:
            return event_json(found.event, self._zone, only=side)
        return f"only {side:<5}  {event_line(found.event, self._zone)}"

    def _summarise(self, report: Callable[[], Iterable[str]]) -> None:
        if self._printed and not self._as_json:
            self._print("")
        sys.stdout.flush()
        for line in report() if self.player.begun else (self._nothing(),):
            click.echo(line, err=self._as_json)

    def _nothing(self) -> str:
        return "There are no readings." if self._until is None else "There are no readings up to --until."

    def _print(self, line: str) -> None:
        sys.stdout.write(f"{self._erase}{line}\n")
        self._printed = True
        if self._file == STDIN:
            sys.stdout.flush()  # who pipes a live recording in wants to see it

    def _warn(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            click.echo(f"{self._erase}edge-agent: {clean(message)}", err=True)

    @contextlib.contextmanager
    def _entries(self) -> Iterator[Iterator[Entry]]:
        """Give the file's entries; a long file that is watched has a progress bar."""
        size = 0 if self._file == STDIN else _size(self._file)
        if size < _LONG_FILE or not sys.stderr.isatty():
            yield read(self._file, self._zone, self._warn)
            return
        with click.progressbar(length=size, file=sys.stderr) as bar:
            self._erase = _ERASE_LINE if sys.stdout.isatty() else ""
            yield read(self._file, self._zone, self._warn, bar.update)
        self._erase = ""


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:
        return 0  # `read` says what is wrong with it
