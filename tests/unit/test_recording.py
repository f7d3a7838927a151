"""A recording, against an agent that answers as the test says: whole lines, gaps named, an end that is one."""

import json
from collections.abc import Mapping
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

from edge_agent.core.fields import SECOND
from edge_agent.core.instants import iso_micros
from edge_agent.tools.replay.entries import Command
from edge_agent.tools.replay.files import read
from edge_agent.tools.replay.recording import Format, LineFile, Recording, UnavailableError, format_of

BEGAN = 1_700_000_000 * SECOND


class Agent:
    """Answers one list of entries after the other; None is no answer."""

    def __init__(self) -> None:
        self.answers: list[tuple[list[dict[str, Any]], float, int] | None] = []
        self.run = "a"
        self.asked: list[str | None] = []
        self._at = 0.0

    def say(self, *entries: dict[str, Any], at: float, lost: int = 0) -> None:
        """Answer this next; `at` is how far it is complete, in seconds."""
        self.answers.append((list(entries), at, lost))

    def ask(self, cursor: str | None) -> Mapping[str, Any]:
        self.asked.append(cursor)
        answer = self.answers.pop(0) if self.answers else ([], self._at, 0)
        if answer is None:
            raise UnavailableError("nothing listens there")
        entries, self._at, lost = answer
        return {"entries": entries, "next": f"{self.run}-{len(self.asked)}", "lost": lost, "at": when(self._at)}


def when(at: float) -> str:
    return iso_micros(BEGAN + round(at * SECOND), UTC)


def reading(at: float, point: str, value: Any) -> dict[str, Any]:
    return {"time": when(at), "point": point, "value": value}


class Rig:
    def __init__(self, form: Format = "csv", duration: int | None = None) -> None:
        self.agent = Agent()
        self.lines: list[str] = []
        self.told: list[str] = []
        self.recording = Recording(self.agent.ask, self.lines.append, form, UTC, self.told.append, duration)

    def record(self, polls: int) -> list[str]:
        self.recording.begin()
        for _ in range(polls):
            if not self.recording.poll():
                break
        self.recording.finish()
        return [line.partition("+00:00,")[2] for line in self.lines[1:]]


def test_csv_has_its_header_at_once_and_then_a_line_for_each_entry() -> None:
    rig = Rig()
    rig.agent.say(reading(0, "freezer[f1]", -17.5), at=0)
    rig.agent.say(reading(1, "door", True), reading(1.5, "freezer[f1]", None), at=2)
    assert rig.record(1) == ["freezer[f1],-17.5", "door,true", "freezer[f1],"]
    assert rig.lines[:2] == ["time,point,value", f"{when(0)},freezer[f1],-17.5"]
    assert (rig.recording.readings, rig.recording.lost) == (3, 0)
    assert rig.agent.asked[:2] == [None, "a-1"]


def test_what_people_did_is_in_it() -> None:
    rig = Rig("jsonl")
    shelve = {"time": when(1), "command": "shelve", "alarm": "warm", "instance": "f1", "until": when(60)}
    rig.agent.say(at=0)
    rig.agent.say({"time": when(1), "command": "ack", "alarm": "warm"}, shelve, at=2)
    rig.record(1)
    assert [json.loads(line) for line in rig.lines] == [{"time": when(1), "command": "ack", "alarm": "warm"}, shelve]
    assert rig.recording.commands == 2


def test_the_last_line_says_how_far_it_goes() -> None:
    """An own point's value again: what fell due after the last reading is replayed too."""
    rig = Rig()
    rig.agent.say(reading(0, "agent.clock_synced", True), at=0)
    rig.agent.say(reading(1, "door", True), at=9)
    assert rig.record(1) == ["agent.clock_synced,true", "door,true", "agent.clock_synced,true"]
    assert rig.lines[-1].startswith(when(9))


def test_it_ends_exactly_after_the_time_that_was_asked_for() -> None:
    rig = Rig(duration=5 * SECOND)
    rig.agent.say(reading(0, "agent.clock_synced", False), at=0)
    rig.agent.say(reading(4, "door", True), at=4.5)
    rig.agent.say(reading(5, "door", False), reading(5.000001, "door", True), at=5.1)
    assert rig.record(99) == ["agent.clock_synced,false", "door,true", "door,false"]
    assert len(rig.agent.asked) == 3


def test_a_full_page_is_followed_by_the_next_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_agent.tools.replay.recording.PAGE", 2)
    rig = Rig()
    rig.agent.say(at=0)
    rig.agent.say(reading(1, "a", 1), reading(2, "a", 2), at=2)
    rig.agent.say(reading(3, "a", 3), at=3)
    rig.recording.begin()
    rig.recording.poll()
    assert rig.recording.readings == 3


def test_losses_are_named() -> None:
    rig = Rig()
    rig.agent.say(at=0)
    rig.agent.say(reading(1, "a", 1), at=1, lost=7)
    rig.record(1)
    assert rig.told == ["7 readings were lost: they came faster than they could be fetched"]
    assert rig.recording.lost == 7


def test_an_agent_that_was_restarted_is_waited_for_and_the_gap_named() -> None:
    rig = Rig()
    rig.agent.say(reading(0, "a", 0), at=0)
    rig.agent.answers += [None, None]
    rig.recording.begin()
    assert rig.recording.poll()
    assert rig.recording.poll()
    assert rig.told == ["nothing listens there; waiting for it"]
    rig.agent.run = "b"
    rig.agent.say(reading(10, "a", 0), at=10)
    assert rig.recording.poll()
    what = "the agent was restarted, or not asked for long"
    assert rig.told[1:] == [f"{what}: the recording goes on at {when(10)}, with a gap before"]
    assert rig.recording.readings == 2


def test_an_agent_that_was_only_busy_loses_nothing() -> None:
    rig = Rig()
    rig.agent.say(at=0)
    rig.agent.answers.append(None)
    rig.agent.say(reading(1, "a", 1), at=1)
    rig.record(2)
    assert rig.told == ["nothing listens there; waiting for it", "the agent answers again"]


def test_the_time_that_was_asked_for_ends_also_without_an_agent() -> None:
    rig = Rig(duration=1)
    rig.agent.say(at=0)
    rig.agent.answers += [None] * 5
    rig.recording.begin()
    assert not rig.recording.poll()


def test_without_a_first_answer_there_is_no_recording() -> None:
    rig = Rig()
    rig.agent.answers.append(None)
    with pytest.raises(UnavailableError):
        rig.recording.begin()
    assert rig.lines == []


def test_a_text_that_csv_would_change_is_told_once() -> None:
    rig = Rig()
    rig.agent.say(reading(0, "a", "12"), reading(0, "b", "true"), reading(0, "c", "open"), at=0)
    rig.record(0)
    assert rig.told == ["a is a text that CSV cannot tell from something else; record with --format jsonl"]


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_what_is_written_is_what_a_replay_reads(tmp_path: Path, form: Format) -> None:
    values = [True, False, None, 0, -17.5, 1e-7, 2**53, "open", 'a "b", c', "日本", "two\nlines"]
    entries = [reading(n / 3, "freezer[a/b]", value) for n, value in enumerate(values)]
    shelve = {"time": when(9), "command": "shelve", "alarm": "warm", "instance": "a b", "until": when(60)}
    path = tmp_path / f"x.{form}"
    agent = Agent()
    agent.say(*entries, shelve, at=9)
    with LineFile(path) as file:
        recording = Recording(agent.ask, file.write, form, UTC, print)
        recording.begin()
        recording.finish()
    *back, command = read(str(path), UTC)
    assert [(entry.at, entry.value) for entry in back] == [  # type: ignore[union-attr]
        (BEGAN + round(n / 3 * SECOND), value) for n, value in enumerate(values)
    ]
    assert command == Command("shelve", "warm", "a b", BEGAN + 9 * SECOND, BEGAN + 60 * SECOND)


def test_a_file_holds_whole_lines_at_any_moment(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    with LineFile(path) as file:
        file.write("one")
        assert path.read_bytes() == b"one\n"
        file.write("t" * 100_000)
        assert path.read_bytes()[-1:] == b"\n"


def test_a_full_disk_leaves_the_lines_before() -> None:
    with LineFile(Path("/dev/full")) as file, pytest.raises(OSError, match="No space"):
        file.write("one")


def test_a_files_name_says_its_format() -> None:
    assert [format_of(name) for name in ("a.csv", "a.JSONL", "a.ndjson", "a", "-")] == [
        *("csv", "jsonl", "jsonl", "csv", "csv"),
    ]
