"""`edge-agent simulate`: what it prints where, what it refuses, and that it needs and leaves nothing."""

import gzip
import json
import re
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner, Result

from edge_agent.cli import main
from edge_agent.tools.replay.files import read

DOCS = Path(__file__).parents[2] / "docs" / "simulate.md"

CONFIG = """
[agent]
name = "pump"
timezone = "Asia/Tokyo"
state_dir = "state"
[iotcall]
auth_code_file = "nowhere/auth-code"
[iotcall.rules.pump]
url_key = "PUMP"
[mqtt.plant]
host = "192.0.2.1"
[sources.freezer]
type = "mqtt"
topic = "site/+/freezer"
[alarms.freezer-warm]
input = "freezer"
above = -15
deadband = 2
on_delay = "5m"
call = "pump"
[web]
listen = "192.0.2.1:1"
"""
WARM = """\
time,point,value
2026-01-31T09:00:00+09:00,freezer[f1],-10
2026-01-31T09:10:00+09:00,freezer[f1],-18
2026-01-31T09:20:00+09:00,freezer[f1],-18
"""


class Folder:
    """A configuration, and files beside it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "config.toml").write_text(CONFIG)
        self.write("warm.csv", WARM)

    def write(self, name: str, content: str) -> str:
        path = self.path / name
        path.write_text(content)
        return str(path)

    def run(self, *words: str, file: str = "warm.csv", stdin: bytes | None = None) -> Result:
        path = file if file == "-" else str(self.path / file)
        arguments = ["--config", str(self.path / "config.toml"), "simulate", path, *words]
        return CliRunner().invoke(main, arguments, input=stdin)

    def events(self, *words: str, **more: Any) -> list[dict[str, Any]]:
        done = self.run("--json", *words, **more)
        assert done.exit_code == 0, done.output
        return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_json_is_events_only_one_a_line(folder: Folder) -> None:
    done = folder.run("--json")
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        {
            "time": f"2026-01-31T09:{minute}:00.000+09:00",
            "event": event,
            "alarm": "freezer-warm",
            "instance": "f1",
            "rule": rule,
            "reason": reason,
        }
        for minute, event, rule, reason in (
            ("00", "pending", None, "-10 is above -15"),
            ("05", "raised", None, "-10 is above -15, for 5m"),
            ("05", "call", "pump", "-10 is above -15"),
            ("10", "cleared", None, "-18 is no longer above -15 (deadband 2)"),
        )
    ]
    assert "freezer-warm       1" in done.stderr


def test_it_needs_and_leaves_nothing(folder: Folder) -> None:
    """No AuthCode, broker, port or state folder: the configuration names some that are not there."""
    assert folder.run().exit_code == 0
    assert sorted(path.name for path in folder.path.iterdir()) == ["config.toml", "warm.csv"]


def test_for_people_there_are_lines_and_the_summary(folder: Folder) -> None:
    done = folder.run()
    lines = done.stdout.splitlines()
    assert lines[1].split()[:3] == ["2026-01-31T09:05:00.000+09:00", "freezer-warm[f1]", "raised"]
    assert lines[5] == "From 2026-01-31T09:00:00.000+09:00 to 2026-01-31T09:20:00.000+09:00, 20m"
    assert done.stderr == ""


def test_another_setting(folder: Folder) -> None:
    assert folder.events("--set", "alarms.freezer-warm.above=-9") == []
    raised = folder.events("--set", "alarms.freezer-warm.on_delay=1m", "--set", "alarms.freezer-warm.repeat=1m")
    assert [event["event"] for event in raised].count("repeat") == 9


def test_until(folder: Folder) -> None:
    assert [event["event"] for event in folder.events("--until", "2026-01-31T09:04")] == ["pending"]
    silent = ("--set", "alarms.silent.input=freezer[f1]", "--set", "alarms.silent.silent_for=1h")
    assert folder.events(*silent, "--until", "2026-01-31T01:20:00Z")[-1]["alarm"] == "silent"


def test_the_files_and_the_standard_input_are_alike(folder: Folder) -> None:
    rows = [line.split(",") for line in WARM.splitlines()[1:]]
    lines = [json.dumps({"time": time, "point": point, "value": float(value)}) for time, point, value in rows]
    folder.write("warm.jsonl", "\n".join(lines))
    (folder.path / "warm.csv.gz").write_bytes(gzip.compress(WARM.encode()))
    expected = folder.events()
    assert folder.events(file="warm.jsonl") == expected
    assert folder.events(file="warm.csv.gz") == expected
    assert folder.events(file="-", stdin=WARM.encode()) == expected


def test_what_is_unknown_is_named_on_stderr(folder: Folder) -> None:
    folder.write("other.csv", WARM + "2026-01-31T09:19:00+09:00,boiler,1\n" * 2)
    done = folder.run("--json", file="other.csv")
    assert done.exit_code == 0
    back, unknown, *_ = done.stderr.splitlines()
    assert back.endswith(
        "other.csv:5: goes back in time; such lines are taken at the time of the line before, "
        "here 2026-01-31T09:20:00.000000+09:00"
    )
    assert unknown == "edge-agent: boiler: no source is called 'boiler'"


def test_a_line_that_cannot_be_read(folder: Folder) -> None:
    """Exit status 1 and one line with its number; what came before it was printed."""
    path = folder.write("bad.csv", WARM + "soon,freezer[f1],1\n")
    done = folder.run("--json", file="bad.csv")
    assert (done.exit_code, len(done.stdout.splitlines())) == (1, 4)
    assert done.stderr == (
        f"edge-agent: {path}:5: the time 'soon' is none; write it like 2026-01-31T09:00:00+09:00, or as Unix seconds\n"
    )


@pytest.mark.parametrize("name", [".", "nowhere.csv", "empty.csv"])
def test_a_file_that_is_none(folder: Folder, name: str) -> None:
    folder.write("empty.csv", "")
    done = folder.run(file=name)
    assert (done.exit_code, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)


def test_a_file_without_readings(folder: Folder) -> None:
    folder.write("head.csv", "time,point,value\n")
    assert folder.run(file="head.csv").stdout == "There are no readings.\n"


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--set", "alarms.freezer-warm.abov=1"], 78, "--set alarms.freezer-warm.abov=1: alarms.freezer-warm.abov: "),
        (["--compare", "agent.timezone=Mars"], 78, "--compare agent.timezone=Mars: agent.timezone: is no time zone"),
        (["--compare-config", "nowhere.toml"], 78, "nowhere.toml:1: there is no such file"),
        (["--set", "alarms"], 2, "has no ="),
        (["--until", "noon"], 2, "--until: the time 'noon' is none"),
        (["--plot", "x.png", "--compare", "agent.name=x"], 2, "--plot draws one setting"),
        (["--plot", "x.txt"], 1, "x.txt is no picture"),
    ],
)
def test_what_is_refused(folder: Folder, words: list[str], status: int, said: str) -> None:
    done = folder.run(*words)
    assert (done.exit_code, done.stdout) == (status, "")
    assert said in done.stderr


def test_two_settings_compared(folder: Folder) -> None:
    """Only what one of them has, and the totals of both."""
    done = folder.run("--compare", "alarms.freezer-warm.above=-9", "--compare", "agent.name=other")
    lines = done.stdout.splitlines()
    assert [line.split()[:5] for line in lines[:2]] == [
        ["only", "base", "2026-01-31T09:05:00.000+09:00", "freezer-warm[f1]", kind] for kind in ("raised", "call")
    ]
    assert [line.split() for line in lines[6:8]] == [["freezer-warm", "base", "1", "5m", "1", "0", "0"], [
        "other", "0", "0s", "0", "0", "0"]]  # fmt: skip
    found = folder.events("--compare", "alarms.freezer-warm.above=-9")
    assert [(event["only"], event["event"]) for event in found] == [("base", "raised"), ("base", "call")]


def test_two_configurations_compared(folder: Folder) -> None:
    folder.write("calm.toml", CONFIG.replace('on_delay = "5m"', 'on_delay = "15m"'))
    other = ("--compare-config", str(folder.path / "calm.toml"))
    assert [event["only"] for event in folder.events(*other)] == ["base", "base"]
    assert folder.events(*other, "--set", "alarms.freezer-warm.on_delay=1m") == []
    assert [event["only"] for event in folder.events(*other, "--compare", "alarms.freezer-warm.on_delay=1m")] == []


def test_the_terminal_gets_no_control_characters(folder: Folder) -> None:
    folder.write(
        "evil.jsonl",
        '{"time": 0, "point": "freezer[\\u001b[2J\\ud800]", "value": 0}\n'
        '{"time": 0, "point": "\\u001b\\udc00", "value": 0}\n',
    )
    done = folder.run("--until", "1970-01-02", file="evil.jsonl")
    assert done.exit_code == 0
    assert "freezer-warm[\\x1b[2J\\ud800]" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr


def test_the_documentation_prints_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```(\w+)\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    (config,) = [text for language, text in blocks if language == "toml"]
    example, formats = [text for language, text in blocks if language == "csv"]
    (tmp_path / "config.toml").write_text(config)
    (tmp_path / "january.csv").write_text(example)
    monkeypatch.chdir(tmp_path)
    consoles = [text for language, text in blocks if language == "console"]
    assert consoles
    for console in consoles:
        line, _, expected = console.partition("\n")
        done = CliRunner().invoke(main, line.removeprefix("$ edge-agent ").split())
        assert done.stdout + done.stderr == expected
    event, lines = [text for language, text in blocks if language == "json"]
    assert event in CliRunner().invoke(main, ["--config", "config.toml", "simulate", "january.csv", "--json"]).stdout
    (tmp_path / "formats.csv").write_text(formats)
    (tmp_path / "formats.jsonl").write_text(lines)
    zone = ZoneInfo("Asia/Tokyo")
    assert list(read("formats.csv", zone)) == list(read("formats.jsonl", zone))


def test_its_help_has_examples() -> None:
    assert "edge-agent simulate january.csv" in CliRunner().invoke(main, ["simulate", "--help"]).stdout
