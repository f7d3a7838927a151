"""Recording a running daemon: replayed, the file makes the calls that the live agent made."""

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from edge_agent.iotcall.sandbox import Sandbox
from tests.daemon import _RUN, Daemon
from tests.helpers import wait_until

TABLES = """\
[iotcall.rules.r]
url_key = "15aaBBccddeeFF28b89"
max_calls = 0
[iotcall.rules.tight]
url_key = "15aaBBccddeeFF28b90"
max_calls = 3
per = "2s"
[mqtt.nowhere]
host = "127.0.0.1"
port = 9
[sources.freezer]
type = "mqtt"
topic = "site/+/freezer"
scale = 0.5
reject = [85.0]
[sources.tank]
type = "serial"
port = "loop://"
smooth = { median = 3 }
[sources.boiler]
type = "serial"
port = "loop://"
format = "keyvalue"
fields = { t = "T", state = "S" }
[sources.door]
type = "gpio"
pin = 17
active = "low"
debounce = "120ms"
[schedules.never]
days = ["holidays"]
holidays = ["2000-01-01"]
[alarms.warm]
input = "freezer"
above = -15.0
deadband = 2.0
on_delay = "200ms"
off_delay = "150ms"
call = ["r", "tight"]
repeat = "700ms"
max_repeats = 2
[alarms.high]
input = "tank"
above = 10
cooldown = "900ms"
priority = "high"
call = "r"
[alarms.jump]
input = "tank"
rises_by = 12.0
within = "800ms"
call = "r"
inhibited_by = ["open"]
[alarms.open]
input = "door"
is = true
latching = true
call = "r"
[alarms.rattles]
input = "door"
trips = 2
within = "1500ms"
call = "tight"
[alarms.both]
all = [{ input = "freezer", above = -18.0 }, { input = "tank", above = 5 }]
on_delay = "100ms"
on_bad = "clear"
call = "r"
[alarms.fails]
input = "boiler.state"
matches = "(?i)fault"
on_bad = "raise"
call = "r"
[alarms.changed]
input = "boiler.state"
changes = true
off_delay = "300ms"
call = "r"
[alarms.quiet]
input = "boiler.t"
silent_for = "900ms"
call = "r"
[alarms.asleep]
input = "tank"
below = 2
schedule = "never"
call = "r"
"""
ALARMS = ("warm", "high", "jump", "open", "rattles", "both", "fails", "changed", "quiet", "asleep")
DELIVERY = ("placed", "failed", "expired", "cancelled")
CALLS = ("call", "repeat", "suppressed")
QUIET = [("freezer[f1]", -60), ("freezer[f2]", -60), ("door", False), ("boiler.state", "ok"), ("boiler.t", 1)]
_EXACT = timedelta(milliseconds=5)
"""Events are told by the wall clock of when they were written, in milliseconds."""


@pytest.fixture
def daemon(tmp_path: Path, sandbox: Sandbox) -> Iterator[Daemon]:
    running = Daemon(tmp_path, sandbox.url, TABLES, agent='clock = "trusted"').start()
    yield running
    running.close()


class Recorder:
    """`edge-agent record` as a process."""

    def __init__(self, daemon: Daemon, *words: str) -> None:
        self.file = daemon.folder / "recording"
        command = [sys.executable, "-c", _RUN, "--config", str(daemon.config), "record", *words]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=daemon.env, text=True
        )

    def end(self) -> str:
        """End it as Ctrl-C does; return its stderr."""
        self.process.send_signal(signal.SIGINT)
        _, told = self.process.communicate(timeout=20)
        assert self.process.returncode == 0, told
        return told


@pytest.fixture
def record(daemon: Daemon) -> Iterator[Callable[..., Recorder]]:
    """Return what starts recorders that are ended with the test."""
    made: list[Recorder] = []

    def start(*words: str) -> Recorder:
        made.append(Recorder(daemon, *words))
        return made[-1]

    yield start
    for each in made:
        each.process.kill()
        each.process.communicate()


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def act(daemon: Daemon, dice: random.Random) -> None:
    """Do something that a sensor or a person might."""
    match dice.randrange(12):
        case 0 | 1 | 2:
            value: Any = dice.choice([-60, -40, -36, -34, -33, -29, -20, 85, None])
            daemon.inject(f"freezer[f{dice.randint(1, 2)}]", value)
        case 3 | 4 | 5:
            daemon.inject("tank", dice.choice([0, 1, 4, 6, 9, 11, 14, 20, "text", None]))
        case 6 | 7:
            daemon.inject("door", dice.random() < 0.5)
        case 8:
            daemon.inject("boiler.state", dice.choice(["ok", "Fault 7", "busy", 3, None]))
        case 9:
            daemon.inject("boiler.t", dice.randint(0, 9))
        case 10:
            command("ack", dice.choice(ALARMS), daemon)
        case _:
            alarm = dice.choice(ALARMS)
            if dice.random() < 0.3:
                command("unshelve", alarm, daemon)
            else:
                command("shelve", alarm, daemon, {"for": f"{dice.randint(200, 1200)}ms"})


def command(word: str, alarm: str, daemon: Daemon, body: Any = None) -> None:
    daemon.post(f"/api/v1/alarms/{alarm}/{word}", body or {})


def told(events: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Return what events say beside their time, each alarm instance's in their order."""
    return [(event["alarm"], event["instance"], event["event"], event["rule"]) for event in events]


def by_alarm(events: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(
        (event for event in events if event["alarm"]), key=lambda each: (each["alarm"], each["instance"] or "")
    )


def test_replayed_it_makes_the_calls_that_the_live_agent_made(
    daemon: Daemon, record: Callable[..., Recorder], seed: int
) -> None:
    """Of both formats, by two recorders at once; and every other event too."""
    dice = random.Random(seed)
    for point, value in (*QUIET, ("tank", 3)):
        daemon.inject(point, value)
    time.sleep(0.3)  # the door's debounce
    files = [daemon.folder / name for name in ("x.csv", "x.jsonl")]
    recorders = [record(str(file)) for file in files]

    def begun() -> bool:
        daemon.inject("boiler.t", 1)  # whose silence before the recording is in no file
        return all(len(lines(file)) > len(QUIET) for file in files)

    wait_until(begun)
    end = time.monotonic() + 4
    while time.monotonic() < end:
        act(daemon, dice)
        time.sleep(dice.choice([0, 0, 0.01, 0.05, 0.1, 0.2]))
    for point, value in (*QUIET, *[("tank", 3)] * 3):
        daemon.inject(point, value)
    for alarm in ALARMS:
        command("unshelve", alarm, daemon)
        command("ack", alarm, daemon)
    time.sleep(1.5)  # nothing but silence is left that could be just happening at the end
    assert all("lost 0" in recorder.end() for recorder in recorders)
    until = datetime.fromisoformat(json.loads(lines(files[1])[-1])["time"])
    live = by_alarm(
        event
        for event in daemon.get("/api/v1/events?limit=1000")["events"][::-1]
        if event["event"] not in DELIVERY and datetime.fromisoformat(event["time"]) <= until
    )
    assert len([event for event in live if event["event"] in CALLS]) >= 5
    for file in files:
        output = daemon.command("simulate", "--json", str(file)).splitlines()
        replayed = by_alarm(json.loads(line) for line in output)
        assert told(replayed) == told(live)
        for one, other in zip(live, replayed, strict=True):
            apart = datetime.fromisoformat(one["time"]) - datetime.fromisoformat(other["time"])
            assert abs(apart) <= _EXACT, (one, other)


def test_it_goes_on_over_a_restart_of_the_agent_and_says_so(daemon: Daemon, record: Callable[..., Recorder]) -> None:
    file = daemon.folder / "x.jsonl"
    recorder = record("--format", "jsonl", str(file))
    wait_until(lambda: lines(file))
    daemon.inject("tank", 1)
    wait_until(lambda: '"point": "tank", "value": 1}' in file.read_text())
    daemon.kill()
    daemon.start()
    daemon.inject("tank", 2)
    wait_until(lambda: '"point": "tank", "value": 2}' in file.read_text())
    summary = recorder.end()
    assert "the agent was restarted, or not asked for long: the recording goes on at" in summary
    assert all(json.loads(line)["time"] for line in lines(file))
    daemon.command("simulate", "--json", str(file))


def test_killed_it_leaves_whole_lines(daemon: Daemon, record: Callable[..., Recorder]) -> None:
    file = daemon.folder / "x.csv"
    recorder = record(str(file))
    wait_until(lambda: lines(file))
    for count in range(30):
        daemon.inject("tank", count)
    wait_until(lambda: len(lines(file)) > 20)
    recorder.process.kill()
    recorder.process.wait()
    assert file.read_bytes().endswith(b"\n")
    daemon.command("simulate", "--json", str(file))


def test_for_a_time_and_to_stdout(daemon: Daemon) -> None:
    daemon.inject("tank", 7)
    began = time.monotonic()
    rows = daemon.command("record", "--for", "1s").splitlines()
    assert time.monotonic() - began < 8
    assert rows[0] == "time,point,value"
    first, *_, last = [row for row in rows if row.endswith(",tank,7") or row == rows[-1]]
    assert first.endswith(",tank,7")
    began_at, ended_at = (datetime.fromisoformat(row.partition(",")[0]) for row in (first, last))
    assert ended_at - began_at == timedelta(seconds=1)


def test_what_is_there_is_not_written_over(daemon: Daemon) -> None:
    file = daemon.folder / "x.csv"
    file.write_text("precious\n")
    assert "--force" in daemon.command("record", "--for", "1s", str(file), code=1)
    assert file.read_text() == "precious\n"
    found = json.loads(daemon.command("record", "--for", "300ms", "--force", "--json", str(file)))
    assert (found["file"], found["lost"]) == (str(file), 0)
    assert lines(file)[0] == "time,point,value"


def test_without_an_agent_there_is_no_file(daemon: Daemon) -> None:
    daemon.stop()
    assert "is not running" in daemon.command("record", str(daemon.folder / "x.csv"), code=1)
    assert not (daemon.folder / "x.csv").exists()
