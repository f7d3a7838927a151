"""What one table says of another: alarms' inputs and IoTCall rules, sources' brokers, pins that are used twice."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from edge_agent.config.errors import Problems
from edge_agent.config.words import did_you_mean, either, near_miss, quote
from edge_agent.core.reading import point_name, split_point
from edge_agent.sources.base import NumericSettings, SourceSettings

ONLINE = "online"
"""The field that every source has of itself."""
AGENT = "agent"
"""The name under which the agent's own points stand."""
_NUMERIC_TESTS = ("above", "below", "outside", "inside")
_J8 = {
    3: 2, 5: 3, 7: 4, 8: 14, 10: 15, 11: 17, 12: 18, 13: 27, 15: 22, 16: 23, 18: 24, 19: 10, 21: 9, 22: 25, 23: 11,
    24: 8, 26: 7, 27: 0, 28: 1, 29: 5, 31: 6, 32: 12, 33: 13, 35: 19, 36: 16, 37: 26, 38: 20, 40: 21,
}  # fmt: skip
"""{pin of the 40-pin header: BCM number}, the same on every Raspberry Pi that has it."""
_BCM_PIN = re.compile(r"(?:GPIO|BCM)?([0-9]{1,2})")
_HEADER_PIN = re.compile(r"(?:BOARD|J8:)([0-9]{1,2})")

Tables = Mapping[str, Any]
"""{name: table}, as they stand in the file: a reference is right as soon as the table is there."""


def check_call(problems: Problems, alarm: str, call: object, rules: Tables) -> None:
    """Report names of IoTCall rules that there are not."""
    names = call if isinstance(call, list) else [call]
    for index, name in enumerate(names):
        if isinstance(name, str) and name not in rules:
            path = ("alarms", alarm, "call", *((index,) if isinstance(call, list) else ()))
            problems.add(path, f"there is no IoTCall rule {quote(name)}", _choose(name, rules, "[iotcall.rules.NAME]"))


def check_input(problems: Problems, alarm: str, table: Tables, raw: Tables, sources: Mapping[str, Any]) -> None:
    """Report an input that is no point of any source, and a numeric test on what is never a number."""
    point = table.get("input")
    if not isinstance(point, str):
        return
    path = ("alarms", alarm, "input")
    name, instance, field = split_point(point)
    if name == AGENT:
        problems.add_later(path, "points of the agent itself come later; use a source's")
    elif name not in raw:
        meant = near_miss(name, raw)
        hint = _choose(name, raw, "[sources.NAME]")
        if meant is not None:
            hint = f"did you mean {quote(meant + point[len(name) :])}?"
        problems.add(path, f"there is no source {quote(name)}", hint)
    elif isinstance(sources.get(name), SourceSettings):
        wrong = _wrong_point(name, instance, field, sources[name])
        if wrong is not None:
            problems.add(path, *wrong)
        elif _never_a_number(field, sources[name]):
            _check_test(problems, alarm, table, point)
            if field == ONLINE or sources[name].type == "gpio" or getattr(sources[name], "format", None) == "boolean":
                _check_words(problems, alarm, table, point)


def _wrong_point(name: str, instance: str | None, field: str | None, source: SourceSettings) -> tuple[str, str] | None:
    """Return what is wrong with a point of a known source, and what would be right; None: nothing."""
    if field == ONLINE:
        return None if instance is None else ("online is the whole source's", f"write {quote(f'{name}.{ONLINE}')}")
    if instance is not None and not source.has_instances():
        return f"{name} has no instances", f"write {quote(point_name(name, field))}"
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


def _never_a_number(field: str | None, source: SourceSettings) -> bool:
    words = getattr(source, "format", None) in ("boolean", "text")
    return field == ONLINE or not isinstance(source, NumericSettings) or words


def _check_test(problems: Problems, alarm: str, table: Tables, point: str) -> None:
    for test in _NUMERIC_TESTS:
        if test in table:
            path = ("alarms", alarm, test)
            problems.add(path, f"{point} is never a number", "test it by is or is_not, for example is = true")


def _check_words(problems: Problems, alarm: str, table: Tables, point: str) -> None:
    """Report `is` and `is_not` of what a point that is always true or false can never be equal to."""
    for test in ("is", "is_not"):
        if test in table and not isinstance(table[test], bool):
            problems.add(
                ("alarms", alarm, test), f"{point} is only ever true or false", f"write {test} = true, or false"
            )


def check_fields(problems: Problems, name: str, source: SourceSettings) -> None:
    """Report a field whose name the source itself needs."""
    if ONLINE in (source.field_names() or ()):
        problems.add(("sources", name), "has a field named online, which every source has of itself", "rename it")


def check_broker(problems: Problems, name: str, broker: object, brokers: Tables) -> str | None:
    """Return the name of a source's broker, which may be left out with exactly one; report one that there is not."""
    path = ("sources", name, "broker")
    if broker is None and len(brokers) == 1:
        return next(iter(brokers))
    if broker is None and brokers:
        problems.add(path, "is missing, as there are several brokers", f"name one: {either(map(quote, brokers))}")
    elif broker is None:
        problems.add(path, "there is no broker", "add a table [mqtt.NAME] with its host")
    elif isinstance(broker, str) and broker not in brokers:
        problems.add(path, f"there is no broker {quote(broker)}", _choose(broker, brokers, "[mqtt.NAME]"))
    return broker if isinstance(broker, str) else None


def check_pins(problems: Problems, sources: Tables) -> None:
    """Report a pin that two sources read: only one of them could open it."""
    used: dict[object, str] = {}
    for name, table in sources.items():
        pin = table.get("pin") if isinstance(table, dict) and table.get("type") == "gpio" else None
        if pin is None:
            continue
        other = used.setdefault(_pin(pin), name)
        if other != name:
            message = f"{quote(pin)} is the pin of sources.{other} too"
            problems.add(("sources", name, "pin"), message, "give each source a pin of its own")


def _pin(pin: object) -> object:
    """Return one spelling for what means the same pin: 17, "17", "GPIO17", "BCM17", "BOARD11" and "J8:11"."""
    text = str(pin).strip().upper()
    bcm, header = _BCM_PIN.fullmatch(text), _HEADER_PIN.fullmatch(text)
    if bcm:
        return int(bcm.group(1))
    return _J8.get(int(header.group(1)), text) if header else text


def _choose(name: str, known: Iterable[str], table: str) -> str:
    known = list(known)
    return did_you_mean(name, known, f"there is {either(map(quote, known))}" if known else f"add a table {table}")
