"""What an alarm's inputs say of the sources: points that there are not, and tests that a point can never pass."""

from collections.abc import Mapping
from typing import Any

from edge_agent.config.errors import Problems
from edge_agent.config.lines import Path
from edge_agent.config.words import choose, either, near_miss, quote
from edge_agent.core.own import OWN_FIELDS, OWN_SOURCE
from edge_agent.core.reading import point_name, split_point
from edge_agent.core.settings import NUMERIC_TESTS
from edge_agent.sources.base import NumericSettings, SourceSettings

ONLINE = "online"
"""The field that every source has of itself."""
_NUMBER = frozenset({"a number"})
_TEXT = frozenset({"a text"})
_BOOLEAN = frozenset({"true or false"})
_ANY = _NUMBER | _TEXT | _BOOLEAN
_FORMAT_KINDS = {"number": _NUMBER, "text": _TEXT, "boolean": _BOOLEAN}
_OWN_NUMBERS = ("outbox_waiting", "cpu_temperature", "disk_free_percent")
_OWN_KINDS = {field: _NUMBER if field in _OWN_NUMBERS else _BOOLEAN for field in OWN_FIELDS}
_JUDGED = {**dict.fromkeys(NUMERIC_TESTS, "a number"), "matches": "a text", "trips": "true or false"}
"""{test: the only kind of value that can pass it}"""
_VALUE_KINDS = {bool: "true or false", int: "a number", float: "a number", str: "a text"}
_HINTS = {
    _NUMBER: "test it by above, below, outside or inside, for example above = 5",
    _TEXT: 'test it by is, is_not or matches, for example is = "ok"',
    _BOOLEAN: "test it by is, is_not or trips, for example is = true",
}

Tables = Mapping[str, Any]


def check_inputs(problems: Problems, alarm: str, table: Tables, raw: Tables, sources: Mapping[str, Any]) -> None:
    """Report inputs, also of conditions in `all` and `any`, that are no points, and tests that they can never pass."""
    path = ("alarms", alarm)
    _check_input(problems, path, table, raw, sources)
    for group in ("all", "any"):
        conditions = table.get(group)
        for index, condition in enumerate(conditions if isinstance(conditions, list) else ()):
            if isinstance(condition, dict):
                _check_input(problems, (*path, group, index), condition, raw, sources)


def _check_input(problems: Problems, path: Path, table: Tables, raw: Tables, sources: Mapping[str, Any]) -> None:
    point = table.get("input")
    if not isinstance(point, str):
        return
    name, instance, field = split_point(point)
    source = sources.get(name)
    if name == OWN_SOURCE:
        wrong = _wrong_own_point(point, instance, field)
        kinds = _OWN_KINDS.get(field or "", _ANY)
    elif name not in raw:
        meant = near_miss(name, [*raw, OWN_SOURCE])
        hint = choose(name, raw, "[sources.NAME]")
        if meant is not None:
            hint = f"did you mean {quote(meant + point[len(name) :])}?"
        wrong = f"there is no source {quote(name)}", hint
        kinds = _ANY
    elif isinstance(source, SourceSettings):
        wrong = _wrong_point(name, instance, field, source)
        kinds = _kinds(field, source)
    else:
        return  # it is reported itself
    if wrong is not None:
        problems.add((*path, "input"), *wrong)
    else:
        _check_tests(problems, path, table, point, kinds)


def _wrong_own_point(point: str, instance: str | None, field: str | None) -> tuple[str, str] | None:
    """Return what is wrong with a point of the agent itself, and what would be right; None: nothing."""
    points = [point_name(OWN_SOURCE, known) for known in OWN_FIELDS]
    if instance is None and field in OWN_FIELDS:
        return None
    near = near_miss(field or "", OWN_FIELDS)
    hint = f"write {either(map(quote, points))}"
    if near is not None:
        hint = f"did you mean {quote(point_name(OWN_SOURCE, near))}?"
    return f"the agent has no point {quote(point)} of its own", hint


def _wrong_point(name: str, instance: str | None, field: str | None, source: SourceSettings) -> tuple[str, str] | None:
    """Return what is wrong with a point of a known source, and what would be right; None: nothing."""
    if field == ONLINE:
        return None if instance is None else ("online is the whole source's", f"write {quote(f'{name}.{ONLINE}')}")
    if instance is not None and not source.has_instances():
        return f"{name} has no instances", f"write {quote(point_name(name, field))}"
    topic = getattr(source, "topic", "")
    if instance is not None and topic and not _can_match(topic, instance):
        return f"{quote(topic)} has no instance {quote(instance)}", "write what + and # stand for, joined by /"
    fields = source.field_names()
    if fields is None:
        example = point_name(name, "FIELD", instance)
        return None if field else (f"{name} has several fields", f"name one of them, {quote(example)}")
    points = [point_name(name, known, instance) for known in fields]
    if field is None:
        return (f"{name} has several fields", f"write {either(map(quote, points))}") if fields else None
    if not fields:
        return f"{name} has one value and no fields", f"write {quote(point_name(name, None, instance))}"
    if field in fields:
        return None
    meant = near_miss(field, fields)
    hint = f"write {either(map(quote, points))}"
    if meant is not None:
        hint = f"did you mean {quote(point_name(name, meant, instance))}?"
    return f"{name} has no field {quote(field)}", hint


def _can_match(topic: str, instance: str) -> bool:
    """Return whether a topic filter's wildcards can stand for an instance: each + for one level, # for any number."""
    levels = topic.split("/")
    fewest = levels.count("+") + levels.count("#")
    found = instance.count("/") + 1
    return found == fewest or ("#" in levels and found > fewest)


def _kinds(field: str | None, source: SourceSettings) -> frozenset[str]:
    """Return what the readings of a known source's point can be."""
    if field == ONLINE or source.type == "gpio":
        return _BOOLEAN
    form = getattr(source, "format", None)
    if isinstance(form, str) and form in _FORMAT_KINDS:
        return _FORMAT_KINDS[form]
    return _ANY if isinstance(source, NumericSettings) else _BOOLEAN | _TEXT


def _check_tests(problems: Problems, path: Path, table: Tables, point: str, kinds: frozenset[str]) -> None:
    """Report tests of what a point's readings can never be."""
    for test, kind in _JUDGED.items():
        if test in table and kind not in kinds:
            problems.add((*path, test), f"{point} is never {kind}", _HINTS.get(kinds, "test it by is or is_not"))
    known = kinds == _BOOLEAN or split_point(point)[0] == OWN_SOURCE
    for test in ("is", "is_not"):
        kind = _VALUE_KINDS.get(type(table.get(test)), "")
        if known and kind and kind not in kinds:
            right = "true, or false" if kinds == _BOOLEAN else "1"
            problems.add((*path, test), f"{point} is only ever {next(iter(kinds))}", f"write {test} = {right}")
