"""What one table says of another: alarms' IoTCall rules, schedules, inhibitors; sources' brokers, pins used twice."""

import re
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

from edge_agent.config.errors import Problems
from edge_agent.config.inputs import ONLINE
from edge_agent.config.lines import Path
from edge_agent.config.words import choose, either, quote
from edge_agent.sources.base import SourceSettings

_J8 = {
    3: 2, 5: 3, 7: 4, 8: 14, 10: 15, 11: 17, 12: 18, 13: 27, 15: 22, 16: 23, 18: 24, 19: 10, 21: 9, 22: 25, 23: 11,
    24: 8, 26: 7, 27: 0, 28: 1, 29: 5, 31: 6, 32: 12, 33: 13, 35: 19, 36: 16, 37: 26, 38: 20, 40: 21,
}  # fmt: skip
"""{pin of the 40-pin header: BCM number}, the same on every Raspberry Pi that has it."""
_BCM_PIN = re.compile(r"(?:GPIO|BCM)?([0-9]{1,2})")
_HEADER_PIN = re.compile(r"(?:BOARD|J8:)([0-9]{1,2})")
_MAX_LOOPS = 20
"""More are not told at once."""

Tables = Mapping[str, Any]
"""{name: table}, as they stand in the file: a reference is right as soon as the table is there."""


def _names(path: Path, value: object) -> Iterator[tuple[Path, str]]:
    """Yield the names that stand at a key, alone or in a list, each with its path."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, list):
        yield from (((*path, index), name) for index, name in enumerate(value) if isinstance(name, str))


def check_call(problems: Problems, alarm: str, call: object, rules: Tables) -> None:
    """Report names of IoTCall rules that there are not."""
    for path, name in _names(("alarms", alarm, "call"), call):
        if name not in rules:
            problems.add(path, f"there is no IoTCall rule {quote(name)}", choose(name, rules, "[iotcall.rules.NAME]"))


def check_schedule(problems: Problems, alarm: str, schedule: object, schedules: Tables) -> None:
    """Report the name of a schedule that there is not."""
    if isinstance(schedule, str) and schedule not in schedules:
        hint = choose(schedule, schedules, "[schedules.NAME]")
        problems.add(("alarms", alarm, "schedule"), f"there is no schedule {quote(schedule)}", hint)


def check_inhibitors(problems: Problems, alarms: Tables) -> None:
    """Report alarms that are inhibited by one that there is not, by themselves, or by each other in a loop."""
    inhibitors: dict[str, list[str]] = {}
    for alarm, table in alarms.items():
        inhibitors[alarm] = []
        found = table.get("inhibited_by") if isinstance(table, dict) else None
        for path, name in _names(("alarms", alarm, "inhibited_by"), found):
            if name not in alarms:
                others = [other for other in alarms if other != alarm]
                problems.add(path, f"there is no alarm {quote(name)}", choose(name, others, "[alarms.NAME]"))
            elif name == alarm:
                problems.add(path, "an alarm cannot be inhibited by itself", "name another one, or remove it")
            elif name not in inhibitors[alarm]:
                inhibitors[alarm].append(name)
    _check_loops(problems, inhibitors)


def _check_loops(problems: Problems, inhibitors: dict[str, list[str]]) -> None:
    order = {alarm: place for place, alarm in enumerate(inhibitors)}
    for _ in range(_MAX_LOOPS):
        loop = _loop(inhibitors)
        if loop is None:
            return
        first = loop.index(min(loop, key=order.__getitem__))
        loop = [*loop[first:], *loop[: first + 1]]
        path = ("alarms", loop[0], "inhibited_by")
        problems.add(path, f"is a loop: {' → '.join(loop)}", "take one of them out")
        inhibitors[loop[0]].remove(loop[1])


def _loop(inhibitors: Mapping[str, Iterable[str]]) -> list[str] | None:
    """Return alarms of which each is inhibited by the next, and the last by the first; None: there are none."""
    try:
        TopologicalSorter(inhibitors).prepare()
    except CycleError as error:
        alarms: list[str] = error.args[1]
        return alarms[:0:-1]
    return None


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
        problems.add(path, f"there is no broker {quote(broker)}", choose(broker, brokers, "[mqtt.NAME]"))
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
