"""The examples of docs/alarms.md: each is a configuration and a recording, and what `simulate` prints of them.

`python -m tests.docs_alarms` writes them anew; a test fails while they are not what the page says.
"""

import re
import sys
import tomllib
from pathlib import Path

from click.testing import CliRunner

from edge_agent.cli import main

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "alarms.md"
FOLDER = ROOT / "docs" / "alarms"
_EXAMPLE = re.compile(
    r"<!-- example: (?P<words>[a-z -]+) -->\n(?P<blocks>(?:\n```(?:toml|console)\n.*?\n```\n)*)", re.DOTALL
)
_TABLE = re.compile(r"^\[+(?P<name>[a-z]+)(?:\.(?P<next>[a-z]+))?[^\n]*\n(?:(?!\[[a-z\[]).*\n)*", re.MULTILINE)


def examples() -> list[str]:
    """Return the names of the page's examples."""
    return [match["words"].split()[0] for match in _EXAMPLE.finditer(PAGE.read_text(encoding="utf-8"))]


def written(page: str) -> str:
    """Return the page as it should be."""
    return _EXAMPLE.sub(lambda match: _blocks(*match["words"].split()), page)


def _blocks(name: str, *more: str) -> str:
    command = ["--config", f"docs/alarms/{name}.toml", "simulate", f"docs/alarms/{name}.csv", "--timeline"]
    done = CliRunner().invoke(main, command)
    if done.exit_code or done.stderr:
        raise RuntimeError(f"{name}: {done.output}")
    tables = _tables((FOLDER / f"{name}.toml").read_text(encoding="utf-8"), {"alarms", "schedules", *more})
    console = f"$ edge-agent {' '.join(command)}\n{done.stdout}"
    head = f"<!-- example: {' '.join((name, *more))} -->\n"
    return f"{head}\n```toml\n{tables}```\n\n```console\n{console}```\n"


def _tables(text: str, wanted: set[str]) -> str:
    """Return those tables of a configuration that a reader must see."""
    tomllib.loads(text)
    found = [match[0] for match in _TABLE.finditer(text) if wanted & {match["name"], match["next"]}]
    return "\n".join(table.rstrip() + "\n" for table in found)


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(f"{PAGE}: {len(examples())} examples\n")
