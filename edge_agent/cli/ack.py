"""`edge-agent ack`: somebody has seen the alarm, and takes care of it."""

import click

from edge_agent.cli import echo_json, load_config
from edge_agent.cli.local import request
from edge_agent.cli.words import alarm_of, named
from edge_agent.config.words import clean

_EPILOG = """\b
Example:
  edge-agent ack door-open
  edge-agent ack freezer-warm f1
"""


@click.command("ack", epilog=_EPILOG)
@click.argument("alarm")
@click.argument("instance", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print what changed as JSON.")
@click.pass_context
def command(ctx: click.Context, alarm: str, instance: str | None, *, as_json: bool) -> None:
    """Acknowledge a raised alarm: no more repeats, and a call that is held back lapses.

    It covers this episode: when the alarm clears and is raised again, it calls again. Without INSTANCE all raised
    instances are acknowledged.
    """
    alarm, instance = alarm_of(alarm, instance)
    config = load_config(ctx, secrets=False)
    answer = request(config, "POST", f"/api/v1/alarms/{alarm}/ack", {"instance": instance})
    if as_json:
        echo_json(answer)
    elif answer["changed"]:
        more = f" ({answer['changed']} instances)" if answer["changed"] > 1 else ""
        click.echo(clean(f"{named(alarm, instance)}: acknowledged{more}; it makes no more calls in this episode."))
    else:
        click.echo(clean(f"{named(alarm, instance)}: is not raised, or was acknowledged already; nothing changed."))
