"""Files of readings: what each line means, what is refused and at which line, and that what is written comes back."""

import gzip
import io
import json
import sys
import tracemalloc
from collections.abc import Iterator
from datetime import tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.core.instants import iso_micros, parse_instant
from edge_agent.core.reading import Reading, Value
from edge_agent.tools.replay.entries import CSV_HEADER, WORDS, Command, Entry, format_csv, format_jsonl, survives_csv
from edge_agent.tools.replay.files import ReadingsError, read

TOKYO = ZoneInfo("Asia/Tokyo")
BERLIN = ZoneInfo("Europe/Berlin")
NINE = 1_769_817_600_000_000
"""2026-01-31T09:00:00+09:00."""
_T = "2026-01-31T09:00:00+09:00"


class Shelf:
    """Files in a folder, and what was said of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.warnings: list[str] = []

    def read(self, content: str | bytes, name: str = "file.csv", zone: tzinfo = TOKYO) -> list[Entry]:
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return list(read(str(path), zone, self.warnings.append))

    def refuses(self, content: str | bytes, name: str = "file.csv") -> str:
        with pytest.raises(ReadingsError) as refused:
            self.read(content, name)
        return str(refused.value).removeprefix(f"{self.folder}/")


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def csv_of(*rows: str) -> str:
    return "\n".join((CSV_HEADER, *rows)) + "\n"


def values(entries: list[Entry]) -> list[Value | None]:
    return [entry.value for entry in entries if isinstance(entry, Reading)]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[("-17.5", -17.5), ("3", 3), ("1e3", 1000.0), (" 5 ", 5), ("true", True), ("FALSE", False), ("True", True)],
        *[("", None), ("nan", None), ("NaN", None), ("inf", None), ("-Infinity", None), ('""', None), ("  ", None)],
        *[("open", "open"), ("1_000", "1_000"), ("0x1F", "0x1F"), ('"21,5"', "21,5"), ('"a ""b"""', 'a "b"')],
        *[('"two\nlines"', "two\nlines"), ("ä", "ä"), ("NaNny", "NaNny"), ("on", "on"), ("1e999", None)],
    ],
)
def test_csv_values(shelf: Shelf, text: str, value: Value | None) -> None:
    """true and false in any case, decimal numbers, bad ones; everything else is text."""
    (found,) = values(shelf.read(csv_of(f"{_T},p,{text}")))
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[("-17.5", -17.5), ("3", 3), ("true", True), ('"true"', "true"), ('"21.5"', "21.5"), ('""', "")],
        *[("null", None), ("NaN", None), ("-Infinity", None), ("{}", None), ("[1]", None), ("1e999", None)],
    ],
)
def test_jsonl_values_are_as_typed(shelf: Shelf, text: str, value: Value | None) -> None:
    (found,) = values(shelf.read(f'{{"time": "{_T}", "point": "p", "value": {text}}}\n', "file.jsonl"))
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    "text",
    [
        *[_T, "2026-01-31T00:00:00Z", "2026-01-31t00:00:00z", "2026-01-31 09:00:00", "2026-01-31T09:00", "20260131T09"],
        *["1769817600", "1769817600.0", " 1769817600 ", "1.7698176e9", "2026-01-30T19:00:00.000000-05:00"],
    ],
)
def test_times(text: str) -> None:
    """With Z or an offset, in the agent's zone without one, or as Unix seconds."""
    assert parse_instant(text, TOKYO) == NINE


def test_times_are_exact_to_the_microsecond() -> None:
    assert parse_instant("2026-01-31T09:00:00.123456+09:00", TOKYO) == NINE + 123_456
    assert parse_instant("1769817600.123456", TOKYO) == NINE + 123_456
    assert parse_instant("1969-12-31T23:59:59.999999Z", TOKYO) == -1


@pytest.mark.parametrize(
    "text",
    ["", "noon", "2026-13-01", "2026-01-31T25:00", "nan", "1769817600000", "-1e300", "0001-01-01", "9999-12-31T23:59Z"],
)
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match="the time"):
        parse_instant(text, TOKYO)


def test_json_times_may_be_numbers(shelf: Shelf) -> None:
    lines = [f'{{"time": {time}, "point": "p", "value": 1}}' for time in ("1769817600", "1769817600.25")]
    assert [entry.at - NINE for entry in shelf.read("\n".join(lines))] == [0, 250_000]


def test_an_hour_that_the_clock_shows_twice_goes_on_where_it_can(shelf: Shelf) -> None:
    """A time without offset is the first of the two, until the line before was later: then it is the second."""
    times = ["2025-10-26T02:10", "2025-10-26T02:50", "2025-10-26T02:10", "2025-10-26T02:50", "2025-10-26T03:10"]
    entries = shelf.read(csv_of(*[f"{time},p,1" for time in times]), zone=BERLIN)
    minutes = [(entry.at - entries[0].at) // 60_000_000 for entry in entries]
    assert (minutes, shelf.warnings) == ([0, 40, 60, 100, 120], [])


def test_an_hour_that_the_clock_skips_is_read_as_if_it_had_not_been_put_forward() -> None:
    assert parse_instant("2026-03-29T02:30", BERLIN) == parse_instant("2026-03-29T03:30", BERLIN)


def test_a_line_that_goes_back_is_taken_at_the_time_of_the_line_before(shelf: Shelf) -> None:
    rows = ["10,p,1", "5,p,2", "9,p,3", "11,p,4", "0,p,5"]
    assert [entry.at for entry in shelf.read(csv_of(*rows))] == [10_000_000] * 3 + [11_000_000] * 2
    (warning,) = shelf.warnings
    assert ":3: goes back in time" in warning


def test_columns_may_stand_in_any_order_beside_others(shelf: Shelf) -> None:
    entries = shelf.read(f"\ufeffValue, note ,POINT,time\r\n7,hello,p,{_T}\r\n\r\n8,,p,{_T}\r\n")
    assert entries == [Reading("p", 7, NINE), Reading("p", 8, NINE)]


def test_blank_lines_and_a_missing_last_line_end_are_nothing(shelf: Shelf) -> None:
    assert len(shelf.read(f"\n\n{CSV_HEADER}\n\n{_T},p,1\n\n{_T},p,1")) == 2
    line = f'{{"time": "{_T}", "point": "p", "value": 1}}'
    assert len(shelf.read(f"\n{line}\n\n{line}", "file.jsonl")) == 2


@pytest.mark.parametrize("name", ["file", "file.txt", "file.csv"])
def test_jsonl_is_known_by_its_first_character(shelf: Shelf, name: str) -> None:
    assert shelf.read(' {"time": 0, "point": "p", "value": "x"}\n', name) == [Reading("p", "x", 0)]


@pytest.mark.parametrize(
    ("row", "json_line", "command"),
    [
        ("5,!ack,warm", {"command": "ack", "alarm": "warm"}, ("ack", "warm", None, None)),
        ("5,!ack,warm[f1]", {"command": "ack", "alarm": "warm", "instance": "f1"}, ("ack", "warm", "f1", None)),
        ("5,!unshelve,w", {"command": "unshelve", "alarm": "w", "instance": None}, ("unshelve", "w", None, None)),
        ("5,!shelve,w 60", {"command": "shelve", "alarm": "w", "until": 60}, ("shelve", "w", None, 60_000_000)),
        (
            "5,!shelve,warm[a b] c] 1970-01-01T00:01Z",
            {"command": "shelve", "alarm": "warm", "instance": "a b] c", "until": "1970-01-01T00:01Z"},
            ("shelve", "warm", "a b] c", 60_000_000),
        ),
    ],
)  # fmt: skip
def test_what_people_did(
    shelf: Shelf, row: str, json_line: dict[str, object], command: tuple[str, str, str | None, int | None]
) -> None:
    word, alarm, instance, until = command
    expected = [Command(word, alarm, instance, 5_000_000, until)]  # type: ignore[arg-type]
    assert shelf.read(csv_of(row)) == expected
    assert shelf.read(json.dumps({"time": 5, **json_line}), "file.jsonl") == expected


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", ":1: there is nothing in it"),
        ("time,point\n", ':1: the header "time,point" does not name value once'),
        ("time,point,value,time\n", ":1: the header"),
        ("5,p,1\n", ":1: the header"),
        (csv_of("5,p,1", "soon,p,1"), ":3: the time"),
        (csv_of("5,p,1", "", "6,p"), ":4: has 2 columns where the header has 3"),
        (csv_of("5,p,1,2"), ":2: has 4 columns"),
        (csv_of("5,,1"), ":2: names no point"),
        (csv_of('5,p,"x\ny"', '6,p,"x', "7,p,1"), ":4: begins a double quote that is never closed"),
        (csv_of('5,p,"x"y'), ":2: has something behind a closing quote"),
        (csv_of("5,p," + "x" * 200_000), ":2: has a value without end"),
        (csv_of("5,p," + "x" * 2_000_000), ":2: is longer than"),
        (csv_of("5,p,1\r6,p,2"), ":2: has a carriage return inside a line"),
        (csv_of("5,!sleep,warm"), ":2: there is no command"),
        (csv_of("5,!ack,"), ":2: ack names no alarm"),
        (csv_of("5,!ack,warm[f1"), ":2: "),
        (csv_of("5,!shelve,warm"), ":2: shelve has no time"),
        (csv_of("5,!shelve,warm noon"), ":2: the time"),
        (csv_of("5,p,1").encode() + b"6,p,\xff\n", ":3: is no UTF-8 text"),
        (b"\x00\x9f\x80\n", ":1: is no UTF-8 text"),
        (b"\x1f\x8bgarbage", ":1: the gzip file is cut or damaged"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line(shelf: Shelf, content: str | bytes, said: str) -> None:
    assert shelf.refuses(content).startswith(f"file.csv{said}")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nonsense", "is no JSON"),
        ("[1]", "is no JSON object"),
        ('{"time": 1}', "names no point"),
        ('{"point": "p", "value": 1}', "has no time"),
        ('{"time": null, "point": "p", "value": 1}', "the time"),
        ('{"time": true, "point": "p", "value": 1}', "the time"),
        ('{"time": NaN, "point": "p", "value": 1}', "the time"),
        ('{"time": 1, "point": "", "value": 1}', "names no point"),
        ('{"time": 1, "point": 7, "value": 1}', "names no point"),
        ('{"time": 1, "point": "p"}', "has no value"),
        ('{"time": 1, "command": [], "alarm": "a"}', "there is no command"),
        ('{"time": 1, "command": "ack"}', "ack names no alarm"),
        ('{"time": 1, "command": "ack", "alarm": "a", "instance": 1}', "the instance is no text"),
        ('{"time": 1, "command": "shelve", "alarm": "a"}', "shelve has no time"),
        ('{"time": 1, "point": "p", "value": ' + "[" * 100_000 + "]" * 100_000 + "}", "is nested too deeply"),
        ('{"time": ' + "[" * 900 + "]" * 900 + ', "point": "p", "value": 1}', "the time"),
        ('{"time": 1' + "0" * 5000 + ', "point": "p", "value": 1}', "holds a number that is too long"),
    ],
)
def test_json_that_cannot_be_read_is_told_with_its_line(shelf: Shelf, line: str, said: str) -> None:
    good = '{"time": 0, "point": "p", "value": 1}'
    assert shelf.refuses(f"{good}\n{line}\n{good}\n", "file.jsonl").startswith(f"file.jsonl:2: {said}")


def test_a_file_that_is_none(tmp_path: Path) -> None:
    for path, said in ((tmp_path, "Is a directory"), (tmp_path / "nowhere", "No such file")):
        with pytest.raises(ReadingsError, match=said):
            list(read(str(path), TOKYO))


def test_gzip_is_known_by_its_content(shelf: Shelf) -> None:
    rows = [f"{number},p,{number}" for number in range(50_000)]
    packed = gzip.compress(csv_of(*rows).encode())
    assert len(shelf.read(packed, "file.csv.gz")) == len(rows)
    assert "the gzip file is cut or damaged" in shelf.refuses(packed[:-2000])


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(csv_of("5,p,1").encode())))
    assert list(read("-", TOKYO)) == [Reading("p", 1, 5_000_000)]


def test_lines_across_blocks_are_whole(shelf: Shelf) -> None:
    """Letters of several bytes and quoted line ends fall upon the ends of the blocks that are read."""
    texts = [f"{'ä€😀' * (number % 50)}\n{number} m" for number in range(20_000)]
    assert values(shelf.read(csv_of(*[f'{number},p,"{text}"' for number, text in enumerate(texts)]))) == texts


def test_a_long_file_takes_no_more_memory_than_a_short_one(tmp_path: Path) -> None:
    def peak(lines: int) -> int:
        path = tmp_path / f"{lines}.csv"
        path.write_text(csv_of(*[f"{number},p,{number * 0.37:.3f}" for number in range(lines)]))
        entries = read(str(path), TOKYO)
        tracemalloc.start()
        for _ in entries:
            pass
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    assert peak(60_000) < 1.2 * peak(20_000)


def test_progress_adds_up_to_the_size(tmp_path: Path) -> None:
    path = tmp_path / "file.csv.gz"
    path.write_bytes(gzip.compress(csv_of(*[f"{number},p,{number % 7}" for number in range(60_000)]).encode()))
    told: list[int] = []
    assert len(list(read(str(path), TOKYO, progress=told.append))) == 60_000
    assert sum(told) == path.stat().st_size


_INSTANTS = st.integers(-(10**15), 4 * 10**15)
_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_VALUES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
_POINTS = st.text("ab[]. ,\"'\n\r\x1c\u2028", max_size=8).map("s".__add__)
_INSTANCES = st.none() | st.text('ab[] ,"\n', min_size=1, max_size=6)


@st.composite
def _entries(draw: st.DrawFn) -> Entry:
    at = draw(_INSTANTS)
    if draw(st.booleans()):
        return Reading(draw(_POINTS), draw(_VALUES | _TEXTS), at)
    word = draw(st.sampled_from(WORDS))
    until = draw(_INSTANTS) if word == "shelve" else None
    return Command(word, "freezer-warm", draw(_INSTANCES), at, until)


def _comparable(entries: list[Entry]) -> Iterator[object]:
    for entry in entries:
        yield entry if isinstance(entry, Command) else (entry.at, entry.point, entry.value, type(entry.value))


@given(entries=st.lists(_entries(), max_size=8), zone=st.sampled_from((TOKYO, BERLIN)))
def test_what_is_written_is_read_back(
    entries: list[Entry], zone: ZoneInfo, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """JSONL loses nothing; CSV only texts that look like something else."""
    entries.sort(key=lambda entry: entry.at)
    path = tmp_path_factory.getbasetemp() / "round.jsonl"
    path.write_text("".join(f"{format_jsonl(entry, zone)}\n" for entry in entries))
    if entries:
        assert list(_comparable(list(read(str(path), zone)))) == list(_comparable(entries))
    kept = [entry for entry in entries if isinstance(entry, Command) or survives_csv(entry.value)]
    path = path.with_suffix(".csv")
    path.write_text("\n".join([CSV_HEADER, *(format_csv(entry, zone) for entry in kept), ""]), newline="\n")
    assert list(_comparable(list(read(str(path), zone)))) == list(_comparable(kept))


def test_csv_loses_the_type_of_some_texts(shelf: Shelf) -> None:
    lost: list[Value] = ["", "21.5", "true", "nan", "\ud800"]
    assert not any(map(survives_csv, lost))
    rows = [format_csv(Reading("p", value, 0), TOKYO) for value in lost]
    assert values(shelf.read(csv_of(*rows))) == [None, 21.5, True, None, "?"]


def test_times_are_written_with_microseconds_and_offset() -> None:
    assert iso_micros(NINE + 1, TOKYO) == "2026-01-31T09:00:00.000001+09:00"
    assert (
        format_csv(Reading("freezer[f1]", -17.5, NINE), TOKYO) == "2026-01-31T09:00:00.000000+09:00,freezer[f1],-17.5"
    )
    assert json.loads(format_jsonl(Command("ack", "a", None, NINE), TOKYO)) == {
        "time": "2026-01-31T09:00:00.000000+09:00",
        "command": "ack",
        "alarm": "a",
    }
