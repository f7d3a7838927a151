"""The rooms keep to themselves: who may import whom, read from the source of every module."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = "edge_agent"
ROOT = Path(__file__).parents[2] / PACKAGE

FOLDERS = frozenset({"core", "system", "iotcall", "delivery", "sources", "config", "web", "tools", "cli"})
PARTS = frozenset(
    {
        "inbox",
        "faults",
        "source_desk",
        "engine_settings",
        "engine_thread",
        "auth_watch",
        "agent_faults",
        "agent_people",
        "agent_reload",
        "agent_view",
        "explain",
        "live",
        "own_points",
        "question",
        "recorder",
        "wall_watch",
        "agent",
    }
)
ALL = FOLDERS | PARTS

# What each room (a folder, or a module beside them) may import of ours besides itself: rooms, or single modules.
MAY_IMPORT: dict[str, frozenset[str]] = {
    "core": frozenset(),
    "system": frozenset(),
    "iotcall": frozenset({"core"}),
    "delivery": frozenset({"core", "iotcall"}),
    "sources": frozenset({"core"}),
    "web": frozenset({"core"}),
    "config": frozenset(
        {"core", "system", *(f"{room}.settings" for room in FOLDERS)}
        | {"sources.registry", "sources.base", "sources.broker"}
    ),
    "tools": ALL - {"cli", "web"},
    "cli": ALL,
    # The line's joints, and parts of the agent that can be read and tested without it.
    "inbox": frozenset({"core"}),
    "faults": frozenset(),
    "source_desk": frozenset({"core", "inbox", "sources.base"}),
    "engine_settings": frozenset({"core", "config.settings", "source_desk"}),
    "question": frozenset(),
    "recorder": frozenset({"core"}),
    "wall_watch": frozenset({"core", "delivery.rows"}),
    "engine_thread": frozenset({"core", "delivery", "inbox", "question", "recorder", "wall_watch"}),
    "auth_watch": frozenset({"config"}),
    "agent_faults": frozenset({"core", "agent"}),
    "agent_reload": frozenset({"config", "engine_settings", "question", "sources", "system", "agent"}),
    "live": frozenset({"core"}),
    "explain": frozenset({"core", "delivery.episodes", "live"}),
    "agent_people": frozenset({"core", "explain", "live", "question", "web.view", "agent"}),
    "agent_view": frozenset(
        {"core", "delivery", "inbox", "web", "agent", "agent_people", "agent_reload", "config.settings"}
        | {"question", "recorder"}
    ),
    "own_points": frozenset({"core", "inbox", "delivery", "system.board", "agent"}),
    "agent": ALL - {"cli", "tools"},
    "__init__": frozenset(),
    "__main__": frozenset({"cli"}),
}

# The core is given instants and values; whatever could fetch or change something by itself is not in this list.
CORE_MAY_IMPORT = frozenset(
    {
        *("__future__", "abc", "bisect", "calendar", "collections", "contextlib", "copy", "dataclasses", "datetime"),
        *("decimal", "difflib", "enum", "fractions", "functools", "hashlib", "heapq", "itertools", "json", "keyword"),
        *("math", "numbers", "operator", "re", "statistics", "string", "struct", "textwrap", "types", "typing"),
        *("unicodedata", "zoneinfo"),
        *("annotated_types", "cronsim", "jmespath", "jpholiday", "pydantic", "pydantic_core", "typing_extensions"),
    }
)
CORE_MAY_NOT_CALL = frozenset({"open", "print", "input", "exec", "eval", "__import__"})
CLOCKS = frozenset({"now", "today", "utcnow"})  # of datetime and date


@dataclass(frozen=True, slots=True)
class Import:
    """One imported name: where it stands, and its full dotted path."""

    line: int
    path: str


def imports(tree: ast.Module, module: str, *, is_package: bool) -> Iterator[Import]:
    """Yield every import of a module, wherever it stands: at the top, in a function, under TYPE_CHECKING, relative."""
    package = module if is_package else module.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (Import(node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                base = ".".join(part for part in (*parents[: len(parents) + 1 - node.level], base) if part)
            yield from (Import(node.lineno, f"{base}.{alias.name}") for alias in node.names)


def offences(room: str, tree: ast.Module, module: str, *, is_package: bool = False) -> list[str]:
    """Return what in a module breaks the table, each with its line."""
    if room not in MAY_IMPORT:
        return [f"{module}: {room} is no known room: add it to the table, and to CONTRIBUTING.md"]
    found = []
    for item in imports(tree, module, is_package=is_package):
        top, _, ours = item.path.partition(".")
        if top == PACKAGE and not allowed(room, ours):
            found.append(f"{module}:{item.line}: {room} may not import {item.path}")
        elif top != PACKAGE and room == "core" and top not in CORE_MAY_IMPORT:
            found.append(f"{module}:{item.line}: core may not import {top}")
    return found + (core_calls(tree, module) if room == "core" else [])


def allowed(room: str, ours: str) -> bool:
    """Return whether a room may import `ours`, a path below the package."""
    if ours in {"", "__version__"}:  # the package itself holds its version, and nothing else
        return True
    parts = ours.split(".")
    return bool({room, *MAY_IMPORT[room]} & {parts[0], ".".join(parts[:2])})


def core_calls(tree: ast.Module, module: str) -> list[str]:
    """Return the calls by which a core module would read a clock or touch the world."""
    found = []
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        match call.func:
            case ast.Name(id=name) if name in CORE_MAY_NOT_CALL:
                found.append(f"{module}:{call.lineno}: core may not call {name}")
            case ast.Attribute(value=ast.Name(id="datetime" | "date"), attr=name) if name in CLOCKS:
                found.append(f"{module}:{call.lineno}: core may not read a clock ({name})")
            case _:
                pass
    return found


def _modules() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", _modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_what_its_room_may(path: Path) -> None:
    parts = path.relative_to(ROOT).with_suffix("").parts
    is_package = parts[-1] == "__init__"
    module = ".".join((PACKAGE, *(parts[:-1] if is_package else parts)))
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    assert offences(parts[0], tree, module, is_package=is_package) == []


def test_the_table_names_every_room_that_there_is() -> None:
    """A new folder or module beside the rooms must be thought about, also one that imports nothing."""
    there = {path.relative_to(ROOT).parts[0].removesuffix(".py") for path in _modules()}
    assert there <= set(MAY_IMPORT)


@pytest.mark.parametrize(
    ("module", "source", "wanted"),
    [
        ("core.engine", "from edge_agent.core.reading import Reading\nimport math, re", 0),
        ("core.engine", "from edge_agent.delivery.outbox import Outbox", 1),
        ("core.engine", "def f():\n    import edge_agent.iotcall.client", 1),
        ("core.engine", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..sources import base", 1),
        ("core.engine", "from .. import agent", 1),
        ("core.engine", "from . import reading", 0),
        ("core.engine", "import time", 1),
        ("core.engine", "from threading import Lock\nimport os.path, socket, random, logging, sqlite3, pathlib", 7),
        ("core.engine", "from datetime import datetime\nat = datetime.now()", 1),
        ("core.engine", "open('/etc/passwd')", 1),
        ("core.engine", "from edge_agent.system.clock import Clock", 1),
        ("system.clock", "from edge_agent.core.reading import Reading", 1),
        ("iotcall.client", "from edge_agent.core import reading\nimport socket", 0),
        ("iotcall.client", "import edge_agent\nfrom edge_agent import __version__", 0),
        ("iotcall.client", "from edge_agent import agent", 1),
        ("iotcall.client", "from edge_agent.delivery import outbox", 1),
        ("delivery.outbox", "from edge_agent.iotcall.outcome import Outcome", 0),
        ("delivery.outbox", "from edge_agent.sources.base import Intake", 1),
        ("sources.gpio", "from edge_agent.system.clock import boot_now", 1),
        (
            "config.loader",
            "from edge_agent.iotcall.settings import Iotcall\nfrom edge_agent.sources import registry",
            0,
        ),
        ("config.loader", "from edge_agent.sources import settings\nfrom edge_agent.delivery.settings import X", 0),
        ("config.loader", "from edge_agent.iotcall.client import Client", 1),
        ("config.loader", "from edge_agent.sources.gpio import GpioSettings", 1),
        ("config.loader", "import edge_agent.sources", 1),
        ("web.server", "from edge_agent.web.view import View", 0),
        ("web.server", "from edge_agent.agent import Agent", 1),
        ("tools.demo", "from edge_agent.agent import Agent\nfrom edge_agent.config import load", 0),
        ("tools.demo", "from edge_agent.cli import main\nfrom edge_agent.web import api", 2),
        ("cli.run", "from edge_agent.web import api\nfrom edge_agent.tools.demo import demo", 0),
        ("inbox", "from edge_agent.core.reading import Reading", 0),
        ("inbox", "from edge_agent.sources.base import Intake", 1),
        ("modbus", "import struct", 1),
    ],
)
def test_the_table_bites(module: str, source: str, wanted: int) -> None:
    assert len(offences(module.partition(".")[0], ast.parse(source), f"{PACKAGE}.{module}")) == wanted
