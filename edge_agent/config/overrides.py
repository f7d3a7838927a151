"""Settings given on the command line, as by `--set PATH=VALUE`: put into the document of the file before its check."""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from edge_agent.config.errors import Problems
from edge_agent.config.lines import Path
from edge_agent.config.words import key_path, kind

_MAX_DEPTH = 8
_WRITTEN_AS_TOML = ('"', "'", "[", "{")
"""What begins so is no bare word."""


@dataclass(frozen=True, slots=True)
class Override:
    """One setting."""

    path: tuple[str, ...]
    value: Any
    text: str
    """As it was given, with its option."""


def parse_override(text: str, option: str = "--set") -> Override:
    """Return what `alarms.freezer-warm.above=-12` sets: a dotted key of TOML, and a value of TOML or a bare word.

    Raises:
        ValueError: with what is wrong.
    """
    key, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"{text!r} has no =; write it like alarms.freezer-warm.above=-12")
    try:
        path = _path(tomllib.loads(f"{key} = 0")) if "\n" not in key else ()
    except (ValueError, RecursionError):
        path = ()
    if not 0 < len(path) <= _MAX_DEPTH:
        raise ValueError(f"{key!r} is no key; write it like alarms.freezer-warm.above")
    return Override(path, _value(value.strip()), f"{option} {text}")


def apply_overrides(problems: Problems, document: dict[str, Any], overrides: Iterable[Override]) -> None:
    """Put settings into a document, later ones over earlier ones. What is wrong with them is told by their text."""
    for override in overrides:
        _apply(problems, document, override)


def _path(found: object) -> tuple[str, ...]:
    path: tuple[str, ...] = ()
    while isinstance(found, dict):
        ((key, found),) = found.items()
        path = (*path, key)
    return path


def _value(text: str) -> Any:
    try:
        found = tomllib.loads(f"value = {text}") if "\n" not in text else {}
    except (ValueError, RecursionError):
        found = {}
    if "value" in found:
        return found["value"]
    if text.startswith(_WRITTEN_AS_TOML):
        raise ValueError(f"{text!r} is no value of TOML")
    return text


def _apply(problems: Problems, document: dict[str, Any], override: Override) -> None:
    table: Any = document
    at: Path = ()
    for part in override.path[:-1]:
        at, missing = _step(table, at, part)
        if missing and isinstance(table, dict):
            table[part] = {}
            problems.set_by(at, override.text)
        table = _member(table, at[-1])
        if not isinstance(table, dict | list):
            problems.set_by((*at, override.path[-1]), override.text)
            hint = "only a table has keys" if table is not None else "there is no such entry"
            problems.add((*at, override.path[-1]), f"{key_path(at)} is {_kind(table)}", hint)
            return
    at, missing = _step(table, at, override.path[-1])
    problems.set_by(at, override.text)
    if isinstance(table, list) and missing:
        problems.add(at, "there is no such entry", f"the list has {len(table)}, counted from 0")
    else:
        table[at[-1]] = override.value


def _step(table: dict[str, Any] | list[Any], at: Path, part: str) -> tuple[Path, bool]:
    """Return a member's path (an entry of a list is named by its number), and whether it is not there yet."""
    if isinstance(table, dict):
        return (*at, part), part not in table
    index = int(part) if part.isdecimal() and len(part) <= 4 else -1  # noqa: PLR2004 - no list is that long
    return (*at, index if index >= 0 else part), not 0 <= index < len(table)


def _member(table: dict[str, Any] | list[Any], key: str | int) -> Any:
    if isinstance(table, dict):
        return table.get(str(key))
    return table[key] if isinstance(key, int) and key < len(table) else None


def _kind(value: object) -> str:
    return "not there" if value is None else kind(value)
