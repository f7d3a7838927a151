"""Reads test files: every error at once, each with its line and a remedy, as those of the configuration."""

from collections.abc import Iterator
from datetime import tzinfo
from pathlib import Path
from typing import Any

from edge_agent.config.document import read_document
from edge_agent.config.errors import Problems
from edge_agent.config.lines import Path as KeyPath
from edge_agent.config.tables import check_table
from edge_agent.config.words import did_you_mean, either, kind, quote, split
from edge_agent.core.events import EventKind
from edge_agent.tools.alarm_tests.cases import AlarmTest, Expected
from edge_agent.tools.alarm_tests.names import Names
from edge_agent.tools.alarm_tests.series import Series, parse_series
from edge_agent.tools.alarm_tests.tables import (
    CALL_EVENTS,
    EVENTS,
    ExpectTable,
    TestTable,
    expect_example,
    test_example,
    unix_micros,
)

_TOP = "test"


def read_tests(path: Path, names: Names, zone: tzinfo) -> list[AlarmTest]:
    """Return the tests of a file, in its order; times without an offset are meant in `zone`.

    Raises:
        ConfigError: it cannot be used; it holds every reason.
    """
    document, lines = read_document(path)
    return _Reader(str(path), document, lines, names, zone).read()


class _Reader:
    def __init__(
        self, file: str, document: dict[str, Any], lines: dict[KeyPath, int], names: Names, zone: tzinfo
    ) -> None:
        self._file = file
        self._document = document
        self._lines = lines
        self._names = names
        self._zone = zone
        self._problems = Problems(file, lines)

    def read(self) -> list[AlarmTest]:
        for key in self._document:
            if key != _TOP:
                self._problems.add((key,), "unknown table", did_you_mean(key, [_TOP], "tests are [[test]]"))
        found = [self._test(path, table) for path, table in self._entries((_TOP,), self._document.get(_TOP, []))]
        if not found and not self._problems:
            self._problems.add((), "holds no test", "begin one with [[test]]")
        if self._problems:
            raise self._problems.error()
        return [test for test in found if test is not None]

    def _entries(self, path: KeyPath, entries: object) -> Iterator[tuple[KeyPath, object]]:
        """Yield the tables of an array of tables, each with its path."""
        if isinstance(entries, list):
            yield from (((*path, index), entry) for index, entry in enumerate(entries))
        else:
            header = ".".join(part for part in path if isinstance(part, str))
            self._problems.add(path, f"is {kind(entries)}", f"write [[{header}]], with two brackets")

    def _test(self, path: KeyPath, table: object) -> AlarmTest | None:
        raw = table if isinstance(table, dict) else {}
        expect = raw.get("expect", [])
        inside = {**raw, "expect": expect if isinstance(expect, list) else []} if raw else table
        settings = check_table(self._problems, path, inside, TestTable, test_example)
        readings = raw.get("readings", {})
        series = self._series((*path, "readings"), readings) if isinstance(readings, dict) else {}
        expected = [self._expected(at, entry, series) for at, entry in self._entries((*path, "expect"), expect)]
        if settings is None:
            return None
        start = unix_micros(settings.start, self._zone)
        right = tuple(each for each in expected if each is not None)
        line = self._lines.get(path, 1)
        return AlarmTest(
            self._file, line, settings.name, start, settings.interval, series, right, others=settings.others
        )

    def _series(self, path: KeyPath, table: dict[str, Any]) -> dict[str, Series]:
        found: dict[str, Series] = {}
        for at, point, text in _points(path, table):
            try:
                series = parse_series(text)
            except ValueError as error:
                self._problems.add(at, *split(str(error)))
                series = ()
            wrong = self._names.point(point)
            if wrong is not None:
                self._problems.add(at, *wrong)
            elif point in found:
                self._problems.add(at, f"{quote(point)} is there twice", "keep one of them")
            found[point] = series  # also where it is wrong: then nothing is said of a missing instance
        return found

    def _expected(self, path: KeyPath, table: object, series: dict[str, Series]) -> Expected | None:
        settings = check_table(self._problems, path, table, ExpectTable, expect_example)
        if isinstance(table, dict):
            self._check_names(path, {key: value for key, value in table.items() if isinstance(value, str)}, series)
            self._check_event(path, table.get("event"), table.get("rule"))
        if settings is None or settings.event not in EVENTS:
            return None
        event = EventKind(settings.event)
        line = self._lines.get(path, 1)
        return Expected(settings.at, settings.alarm, event, settings.instance, settings.rule, line)

    def _check_names(self, path: KeyPath, texts: dict[str, str], series: dict[str, Series]) -> None:
        """Report an alarm, instance or rule that there is not, also where another key is wrong."""
        alarm = texts.get("alarm")
        wrong = None if alarm is None else self._names.alarm(alarm)
        if wrong is not None:
            self._problems.add((*path, "alarm"), *wrong)
        if alarm is None or wrong is not None:
            return
        if "instance" in texts and (wrong := self._names.instance(alarm, texts["instance"], series)):
            self._problems.add((*path, "instance"), *wrong)
        if "rule" in texts and (wrong := self._names.rule(alarm, texts["rule"])):
            self._problems.add((*path, "rule"), *wrong)

    def _check_event(self, path: KeyPath, event: object, rule: object) -> None:
        """Report a word that is no event, or one that readings can't lead to, or that no rule belongs to."""
        if not isinstance(event, str):
            return
        choice = f"take {either(map(quote, EVENTS))}"
        if event in EVENTS:
            if rule is not None and event not in CALL_EVENTS:
                words = either(map(quote, map(str, CALL_EVENTS)))
                self._problems.add((*path, "rule"), f"does not go with {quote(event)}", f"it goes with {words}")
        elif event in list(EventKind):
            self._problems.add((*path, "event"), f"{quote(event)} never comes of readings alone", choice)
        else:
            self._problems.add((*path, "event"), f"{quote(event)} is no event", did_you_mean(event, EVENTS, choice))


def _points(path: KeyPath, table: dict[str, Any], above: str = "") -> Iterator[tuple[KeyPath, str, object]]:
    """Yield (path, point, text); `boiler.temperature = …` without quotes is a table in a table to TOML."""
    for key, value in table.items():
        point = f"{above}.{key}" if above else key
        if isinstance(value, dict):
            yield from _points((*path, key), value, point)
        else:
            yield (*path, key), point, value
