"""`edge-agent inject`: a reading put into the running agent by hand."""

import re

import click

from edge_agent.cli import echo_json, load_config
from edge_agent.cli.local import request
from edge_agent.config.words import clean
from edge_agent.core.reading import parse_value

_EPILOG = """\b
Example:
  edge-agent inject door true
  edge-agent inject "freezer[f1]" -10
"""
_NEGATIVE = re.compile(r"-(?:[0-9.].*|inf|infinity|nan)", re.IGNORECASE)


class _Command(click.Command):
    """A command whose arguments may be negative numbers, which click takes for options."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Mark such words with a character that no argument can hold, and take the mark away again."""
        rest = super().parse_args(ctx, [f"\0{word}" if _NEGATIVE.fullmatch(word) else word for word in args])
        for name in ("point", "value"):
            if ctx.params.get(name):  # None while a shell completes the line
                ctx.params[name] = ctx.params[name].removeprefix("\0")
        return rest


@click.command("inject", cls=_Command, epilog=_EPILOG)
@click.argument("point")
@click.argument("value")
@click.option("--json", "as_json", is_flag=True, help="Print what changed as JSON.")
@click.pass_context
def command(ctx: click.Context, point: str, value: str, *, as_json: bool) -> None:
    """Put a reading into the running agent, as if the sensor had said it.

    POINT is door, boiler.temperature or "freezer[f1]". VALUE is true or false, a number, or a text; empty or nan
    is a reading of bad quality. It stands until the sensor says something else, and it can make people's phones ring.
    """
    parsed = parse_value(value)
    answer = request(load_config(ctx, secrets=False), "POST", "/api/v1/inject", {"point": point, "value": parsed})
    if as_json:
        echo_json(answer)
    elif parsed is None:
        click.echo(clean(f"{point}: injected a reading of bad quality"))
    else:
        shown = str(parsed).lower() if isinstance(parsed, bool) else repr(parsed)
        click.echo(clean(f"{point}: injected {shown}"))
