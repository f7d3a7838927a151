"""`edge-agent explain`: why an alarm did, or did not, call; from the running agent, else from its database."""

import sqlite3
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import click

from edge_agent.cli import CliError, echo_json, load_config
from edge_agent.cli.local import RefusedError, request, table
from edge_agent.cli.words import alarm_of, last_time, named, when
from edge_agent.config.words import clean, did_you_mean
from edge_agent.core.times import MILLION

if TYPE_CHECKING:
    from edge_agent.config.settings import Config
    from edge_agent.delivery.history import History
    from edge_agent.system.clock import Clock

_MOST_EVENTS = 20
_MOST_INSTANCES = 20
_EPILOG = """\b
Example:
  edge-agent explain freezer-warm
  edge-agent explain freezer-warm f1 --at 03:12
"""


@click.command("explain", epilog=_EPILOG)
@click.argument("alarm")
@click.argument("instance", required=False)
@click.option("--at", metavar="TIME", help="Of then: 03:12 (the last one), 2026-01-31T03:12, or Unix seconds.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(ctx: click.Context, alarm: str, instance: str | None, at: str | None, *, as_json: bool) -> None:
    """Say why an alarm did, or did not, call: from the reading to the answer of IoTCall.

    It tells the last episode, or the one around a time. Of an alarm with instances those that are not normal are told,
    unless one is named. While the agent is down the story is told from its database.
    """
    alarm, instance = alarm_of(alarm, instance)
    config = load_config(ctx, secrets=False)
    wall = None if at is None else last_time(at, datetime.now(config.zone()))
    answer = _explained(config, alarm, instance, wall)
    if as_json:
        echo_json(answer)
    else:
        click.echo("\n".join(render(answer)))


def render(answer: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines for people."""
    for each in answer["explained"]:
        yield clean(named(each["alarm"], each["instance"]))
        yield from (f"  {clean(sentence)}" for sentence in each["answer"])
        events = each["events"][-_MOST_EVENTS:]
        if events:
            cells = [[when(event["time"]), event["event"], event["rule"] or "", event["reason"]] for event in events]
            yield from ("", *(f"  {line}" for line in table(("time", "event", "rule", "reason"), cells)))
        yield ""
    if not answer["explained"]:
        asked = "now" if answer["at"] is None else f"at {when(answer['at'])}"
        yield clean(f"{answer['alarm']}: all instances are normal {asked}; name one to have it explained")
    if answer["instances"] and len(answer["explained"]) < len(answer["instances"]):
        more = ", …" if len(answer["instances"]) > _MOST_INSTANCES else ""
        yield clean(f"Instances: {', '.join(answer['instances'][:_MOST_INSTANCES])}{more}")
    if answer["note"] is not None:
        yield clean(f"Note: {answer['note']}")


def _explained(config: "Config", alarm: str, instance: str | None, wall: int | None) -> dict[str, Any]:
    """Return what the running agent says; where none can be asked, what its database says."""
    from edge_agent.delivery.statedir import agent_runs

    if not agent_runs(config.state_dir):
        return {**_from_disk(config, alarm, instance, wall), "note": _without("edge-agent does not run")}
    wanted = {"instance": instance, "at": None if wall is None else repr(wall / MILLION)}
    query = urlencode({name: value for name, value in wanted.items() if value is not None})
    try:
        answer = request(config, "GET", f"/api/v1/alarms/{alarm}/explain?{query}")
    except RefusedError:
        raise
    except CliError as error:
        return {**_from_disk(config, alarm, instance, wall), "note": _without(error.message)}
    return {**answer, "note": None}


def _without(why: str) -> str:
    return f"{why}: this is from the database alone; what the alarm is now is missing"


def _from_disk(config: "Config", alarm: str, instance: str | None, wall: int | None) -> dict[str, Any]:
    from edge_agent.delivery.history import History
    from edge_agent.delivery.store import DATABASE, ReadOnlyStore
    from edge_agent.system.clock import Clock

    path = config.state_dir / DATABASE
    try:
        if not path.exists():
            raise CliError("nothing is known yet", "no agent has run with this configuration")
        store = ReadOnlyStore(path)
        try:
            return _tell(config, History(store), Clock(), (alarm, instance, wall))
        finally:
            store.close()
    except (sqlite3.Error, OSError) as error:
        raise CliError(f"the database {path} cannot be read: {error}", "see who may read it") from error


def _tell(
    config: "Config", history: "History", clock: "Clock", asked: tuple[str, str | None, int | None]
) -> dict[str, Any]:
    from edge_agent.core.times import iso
    from edge_agent.explain import Case, explain

    alarm, instance, wall = asked
    settings = config.alarms.get(alarm)
    known = history.instances(alarm)
    if settings is None and not known:
        raise CliError(clean(f"no alarm is called {alarm!r}"), did_you_mean(alarm, config.alarms))
    names = [name for name in known if name is not None]
    chosen = [instance] if instance is not None else known[:_MOST_INSTANCES] or [None]
    if instance is not None and settings is not None and known == [None]:
        raise CliError(f"{alarm} has no instances")
    told = []
    for each in chosen:
        story = history.story(alarm, each, wall)
        if story.episode is None and len(chosen) > 1:
            continue
        calls = [call.as_json(clock, config.zone()) for call in story.calls]
        case = Case(
            alarm, each, settings, story.events, story.episode, calls, wall, clock.wall(), None,
            clock.wall_at(0), None, config.zone(),
        )  # fmt: skip
        told.append(explain(case))
    return {
        "alarm": alarm,
        "at": None if wall is None else iso(wall, config.zone()),
        "instances": names,
        "explained": told,
    }
