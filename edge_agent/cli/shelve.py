"""`edge-agent shelve`: an alarm's calls are held back for a while, and always come back."""

from datetime import datetime

import click

from edge_agent.cli import echo_json, load_config
from edge_agent.cli.local import request
from edge_agent.cli.words import alarm_of, named, next_time, when
from edge_agent.config.words import clean
from edge_agent.core.fields import format_duration, parse_positive_duration
from edge_agent.core.times import MILLION, iso

_EPILOG = """\b
Example:
  edge-agent shelve door-open --for 2h
  edge-agent shelve freezer-warm f1 --until 18:00
"""


@click.command("shelve", epilog=_EPILOG)
@click.argument("alarm")
@click.argument("instance", required=False)
@click.option("--for", "lasts", metavar="DURATION", help='How long: "30m", "2h", "1h30m".')
@click.option("--until", metavar="TIME", help="Until when: 18:00 (the next one), 2026-01-31T18:00, or Unix seconds.")
@click.option("--json", "as_json", is_flag=True, help="Print what changed as JSON.")
@click.pass_context
def command(
    ctx: click.Context, alarm: str, instance: str | None, lasts: str | None, until: str | None, *, as_json: bool
) -> None:
    """Hold an alarm's calls back for a while: somebody works on it.

    Its state goes on. When the time is over, a call that was held back is made if the alarm is still raised. It can
    last agent.max_shelve at most (24h unless configured). Without INSTANCE all instances are shelved.
    """
    if (lasts is None) is (until is None):
        raise click.UsageError("give --for or --until: one of the two")
    alarm, instance = alarm_of(alarm, instance)
    config = load_config(ctx, secrets=False)
    if lasts is not None:
        what, words = _for(lasts)
    else:
        end = next_time(str(until), datetime.now(config.zone()))
        what, words = {"until": end / MILLION}, f"until {when(iso(end, config.zone()))}"
    answer = request(config, "POST", f"/api/v1/alarms/{alarm}/shelve", {"instance": instance, **what})
    if as_json:
        echo_json(answer)
    elif answer["changed"]:
        more = f" ({answer['changed']} instances)" if answer["changed"] > 1 else ""
        click.echo(clean(f"{named(alarm, instance)}: shelved {words}{more}; its calls are held back."))
    else:
        click.echo(clean(f"{named(alarm, instance)}: nothing changed; no instance of it was seen yet, or it was so."))


def _for(lasts: str) -> tuple[dict[str, object], str]:
    """Return what the API is told, and the words for people."""
    try:
        micros = parse_positive_duration(float(lasts) if lasts.replace(".", "", 1).isdecimal() else lasts)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--for") from None
    return {"for": micros / MILLION}, f"for {format_duration(micros)}"
