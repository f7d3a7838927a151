"""`edge-agent unshelve`: the work is done, calls go out again."""

import click

from edge_agent.cli import echo_json, load_config
from edge_agent.cli.local import request
from edge_agent.cli.words import alarm_of, named
from edge_agent.config.words import clean


@click.command("unshelve", epilog="Example: edge-agent unshelve freezer-warm f1")
@click.argument("alarm")
@click.argument("instance", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print what changed as JSON.")
@click.pass_context
def command(ctx: click.Context, alarm: str, instance: str | None, *, as_json: bool) -> None:
    """End the shelving of an alarm: a call that was held back is made now if the alarm is still raised."""
    alarm, instance = alarm_of(alarm, instance)
    config = load_config(ctx, secrets=False)
    answer = request(config, "POST", f"/api/v1/alarms/{alarm}/unshelve", {"instance": instance})
    if as_json:
        echo_json(answer)
    elif answer["changed"]:
        more = f" ({answer['changed']} instances)" if answer["changed"] > 1 else ""
        click.echo(clean(f"{named(alarm, instance)}: no longer shelved{more}; its calls go out again."))
    else:
        click.echo(clean(f"{named(alarm, instance)}: was not shelved; nothing changed."))
