"""Tells people and programs what came of tests: what was expected and what came, side by side."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import tzinfo
from typing import Any

from edge_agent.config.words import clean
from edge_agent.core.events import Event
from edge_agent.core.fields import format_duration
from edge_agent.core.times import iso
from edge_agent.tools.alarm_tests.cases import Expected
from edge_agent.tools.alarm_tests.runner import Fault, Line, Result

_HEAD = ("", "at", "expected", "came")
_MAX_LINES = 40


def report(results: Sequence[Result]) -> Iterator[str]:
    """Yield what came of tests in lines: one for each that passed, a table for each that failed, and the sum."""
    for result in results:
        name = clean(result.test.name)
        if result.passed:
            yield f"ok    {name}"
        else:
            yield f"FAIL  {name}: {_faults(result)}"
            yield f"      {clean(result.test.file)}:{result.test.line}"
            yield from (f"      {line}".rstrip() for line in _table(result))
    failed = sum(not result.passed for result in results)
    yield f"{len(results)} test{'' if len(results) == 1 else 's'}, {failed or 'none'} failed"


def _faults(result: Result) -> str:
    counts = ((fault, result.count(fault)) for fault in (Fault.MISSING, Fault.UNEXPECTED))
    return ", ".join(f"{count} {fault}" for fault, count in counts if count)


def _table(result: Result) -> list[str]:
    """Return all that concerns the alarms of which something was expected, or came without being expected."""
    concerned = {expected.alarm for expected in result.test.expected}
    concerned |= {line.came.alarm for line in result.lines if line.came and line.came.alarm and line.fault}
    lines = [line for line in result.lines if line.came is None or line.came.alarm in concerned]
    shown, left_out = _around_faults(lines)
    rows = [_HEAD, *map(_row, shown)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return [*table, f"({left_out} further lines are not shown)"] if left_out else table


def _around_faults(lines: list[Line]) -> tuple[list[Line], int]:
    """Return at most so many lines, beginning shortly before the first that is wrong."""
    first = next(index for index, line in enumerate(lines) if line.fault)
    begin = max(0, min(first - _MAX_LINES // 4, len(lines) - _MAX_LINES))
    shown = lines[begin : begin + _MAX_LINES]
    return shown, len(lines) - len(shown)


def _row(line: Line) -> tuple[str, str, str, str]:
    expected = "" if line.expected is None else _expected(line.expected)
    if line.came is not None:
        came = _came(line.came)
    else:
        came = "nothing" if line.instead_at is None else f"nothing; it came at {_at(line.instead_at)}"
    mark = "!" if line.fault else ""
    return mark, _at(line.at), expected, f"{came} ({line.fault})" if line.fault is Fault.UNEXPECTED else came


def _at(micros: int) -> str:
    return format_duration(micros) if micros else "0s"


def _words(alarm: str | None, instance: str | None, event: str, rule: str | None) -> str:
    where = f"{alarm}[{instance}]" if instance is not None else f"{alarm}"
    return clean(" ".join(filter(None, (where, event, rule))))


def _expected(expected: Expected) -> str:
    return _words(expected.alarm, expected.instance, expected.event, expected.rule)


def _came(event: Event) -> str:
    words = _words(event.alarm, event.instance, event.kind, event.rule)
    return f"{words}: {clean(event.reason)}" if event.reason else words


def as_json(results: Iterable[Result], zone: tzinfo) -> list[dict[str, Any]]:
    """Return what came of tests as JSON can hold it."""
    return [_result_json(result, zone) for result in results]


def _result_json(result: Result, zone: tzinfo) -> dict[str, Any]:
    test = result.test
    missing = [line for line in result.lines if line.fault is Fault.MISSING]
    return {
        "test": test.name,
        "file": test.file,
        "line": test.line,
        "passed": result.passed,
        "missing": [_expected_json(line.expected) for line in missing if line.expected],
        "unexpected": _events_json(result, zone, (Fault.UNEXPECTED,)),
        "events": _events_json(result, zone, (Fault.UNEXPECTED, Fault.NONE)),
    }


def _expected_json(expected: Expected) -> dict[str, Any]:
    return {
        "at": _at(expected.at),
        "event": expected.event,
        "alarm": expected.alarm,
        "instance": expected.instance,
        "rule": expected.rule,
        "line": expected.line,
    }


def _events_json(result: Result, zone: tzinfo, faults: tuple[Fault, ...]) -> list[dict[str, Any]]:
    return [
        {
            "at": _at(line.at),
            "time": iso(line.came.at, zone),
            "event": line.came.kind,
            "alarm": line.came.alarm,
            "instance": line.came.instance,
            "rule": line.came.rule,
            "reason": line.came.reason,
        }
        for line in result.lines
        if line.came is not None and line.fault in faults
    ]
