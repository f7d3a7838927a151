"""`edge-agent sandbox`: the IoTCall simulator by itself."""

import signal
import threading
import time
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from edge_agent.iotcall.sandbox import Fault, Person, Webhook

_EPILOG = """\b
Example:
  edge-agent sandbox --listen 127.0.0.1:8791 --auth-code secret --speed 60
  curl -X POST -H 'Authorization: secret' http://127.0.0.1:8791/pattern/15XX28b89/call
  curl -d '{"fault": "down", "seconds": 20}' http://127.0.0.1:8791/_sandbox/fault
"""


def _address(_context: click.Context, _option: click.Parameter, value: str) -> tuple[str, int]:
    host, colon, port = value.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) >= 1 << 16:
        raise click.BadParameter("write HOST:PORT, for example 127.0.0.1:8791")
    return host.strip("[]"), int(port)


def _fault(_context: click.Context, _option: click.Parameter, value: str | None) -> "Fault | None":
    from edge_agent.iotcall.sandbox import Fault

    try:
        return None if value is None else Fault.parse(value)
    except ValueError as exc:
        raise click.BadParameter(str(exc)) from exc


def _webhook(url: str | None, style: str) -> "Webhook | None":
    from edge_agent.iotcall.sandbox import Webhook, WebhookStyle

    try:
        return None if url is None else Webhook(url, WebhookStyle(style))
    except ValueError as exc:
        raise click.BadParameter(str(exc), param_hint="--webhook") from exc


def _people(entries: tuple[str, ...], answer_after: float) -> "dict[str, Person]":
    from edge_agent.iotcall.sandbox import Person

    people = {}
    for entry in entries:
        tel, _, does = entry.partition("=")
        if not tel.isdecimal():
            raise click.BadParameter("write NUMBER=WHAT, for example 08043391234=no-answer", param_hint="--person")
        try:
            people[tel] = Person.parse(does, answer_after)
        except ValueError as exc:
            raise click.BadParameter(str(exc), param_hint="--person") from exc
    return people


@click.command("sandbox", epilog=_EPILOG)
@click.option(
    "--listen", default="127.0.0.1:8791", show_default=True, callback=_address, help="HOST:PORT; 0: any port."
)
@click.option("--auth-code", required=True, help="The AuthCode that it wants to see.")
@click.option(
    "--speed", type=click.FloatRange(min=0, min_open=True), default=1.0, help="Calls and logs so much faster."
)
@click.option(
    "--lag", type=click.FloatRange(min=0), default=600.0, help="Seconds (at speed 1) that the logs are behind."
)
@click.option("--rule", "rules", multiple=True, metavar="URL_KEY", help="Only these rules exist (default: any).")
@click.option(
    "--type",
    "kind",
    type=click.Choice(["normal", "all", "all-until-one", "round-robin", "round-robin-9"]),
    default="normal",
    help="How new rules phone their numbers.",
)
@click.option("--answer-after", type=click.FloatRange(min=0), default=5.0, help="Seconds until people answer.")
@click.option(
    "--person",
    "people",
    multiple=True,
    metavar="NUMBER=WHAT",
    help="What one number does: answers, no-answer, busy, failed, or a digit that is pressed.",
)
@click.option("--webhook", metavar="URL", help="Where activation ids are sent; on this machine only.")
@click.option("--webhook-style", type=click.Choice(["get", "form", "json", "bare"]), default="form", show_default=True)
@click.option(
    "--fault", callback=_fault, metavar="NAME[=SECONDS]", help="Begin with this fault; a wrong name lists all."
)
def command(  # noqa: PLR0913 - one for each option
    *,
    listen: tuple[str, int],
    auth_code: str,
    speed: float,
    lag: float,
    rules: tuple[str, ...],
    kind: str,
    answer_after: float,
    people: tuple[str, ...],
    webhook: str | None,
    webhook_style: str,
    fault: "Fault | None",
) -> None:
    """Play IoTCall on this machine: all of its API, nobody is phoned. Ends with Ctrl-C."""
    from edge_agent.iotcall.sandbox import Person, RuleKind, Sandbox

    sandbox = Sandbox(
        auth_code,
        *listen,
        speed,
        lag_s=lag,
        keys=frozenset(rules) or None,
        kind=RuleKind(kind),
        person=Person(after_s=answer_after),
        webhook=_webhook(webhook, webhook_style),
        fault=fault,
        on_line=_say,
    )
    sandbox.people.update(_people(people, answer_after))
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: ended.set())
    try:
        sandbox.start()
    except OSError as exc:
        raise click.ClickException(f"cannot listen on {listen[0]}:{listen[1]}: {exc.strerror or exc}") from exc
    _say(f"IoTCall sandbox on {sandbox.url}")
    while not ended.wait(1.0):
        pass
    sandbox.stop()


def _say(line: str) -> None:
    click.echo(f"{time.strftime('%H:%M:%S')} {line}")  # echo flushes


if __name__ == "__main__":
    command()
