"""`edge-agent schema`: the JSON Schema of the configuration, for editors that complete and check while one types."""

import click

from edge_agent.cli import echo_json


@click.command("schema", epilog="Example: edge-agent schema > edge-agent.schema.json")
def command() -> None:
    """Print the JSON Schema (draft 2020-12) of the configuration.

    Editors with a TOML language server complete keys and mark errors with it: let the configuration's first line be
    "#:schema ./edge-agent.schema.json".
    """
    from edge_agent.config.schema import config_schema

    echo_json(config_schema())
