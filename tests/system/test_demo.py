"""The demo as people run it: with each broker, ended early, with parts that fail; and whether its checks check."""

import functools
import importlib.util
import io
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge_agent.iotcall.sandbox import Fault, FaultKind, Sandbox
from edge_agent.tools.demo import BrokerKind, DemoError, show
from edge_agent.tools.demo.narrator import Narrator
from edge_agent.tools.demo.processes import Port
from edge_agent.tools.demo.scenes import SCENES
from edge_agent.tools.demo.stage import Stage
from tests.helpers import missing, need, wait_until

ROOT = Path(__file__).parents[2]
LIMIT_S = 60.0
FREEZER, _CONTACT, SERIAL, OUTAGE, KILLED = SCENES


@dataclass(frozen=True, slots=True)
class Shown:
    """A demo that was run as a process: its output, and what it left in its folder for temporary files."""

    status: int
    out: str
    err: str
    seconds: float
    left: list[str]
    processes: list[str]


class Run:
    """A demo as a process, in a folder of its own for temporary files."""

    def __init__(self, folder: Path, *options: str, **environment: str) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "edge_agent", "demo", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(folder), **environment},
        )

    def follow(self, words: str) -> None:
        """Read until these words come."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if words in line.decode():
                return
        pytest.fail(f"it ended without saying {words!r}")

    def end(self) -> Shown:
        """Wait for its end."""
        try:
            out, err = self.process.communicate(timeout=LIMIT_S + 20)
        finally:
            self.process.kill()
        seconds = time.monotonic() - self.began
        left = [path.name for path in self.folder.iterdir()]
        return Shown(
            self.process.returncode,
            out.decode(errors="replace"),
            err.decode(),
            seconds,
            left,
            processes_in(self.folder),
        )


def processes_in(folder: Path) -> list[str]:
    """Return the command lines of processes that work in this folder, or did before it went."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(process.joinpath("cwd").readlink()).startswith(str(folder)):
                found.append(process.joinpath("cmdline").read_text().replace("\0", " "))
        except OSError:  # it has ended
            continue
    return found


def need_broker(kind: str) -> None:
    if kind == "embedded" and importlib.util.find_spec("amqtt") is None:
        missing("needs amqtt, which is not installed (the extra demo)")
    if kind == "mosquitto":
        need("mosquitto")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Run]]:
    """Both at once: one must not be in the other's way, and a busy machine not in the demo's."""
    there = {
        "mosquitto": shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin") is not None,
        "embedded": importlib.util.find_spec("amqtt") is not None,
    }
    started = {
        kind: Run(tmp_path_factory.mktemp(kind), EDGE_AGENT_DEMO_BROKER=kind, PYTHONIOENCODING="ascii")
        for kind, is_there in there.items()
        if is_there
    }
    yield started
    for run in started.values():
        run.process.kill()
        run.process.wait()


@pytest.mark.parametrize("kind", ["mosquitto", "embedded"])
def test_it_all_happens_as_told_within_a_minute_and_leaves_nothing(runs: dict[str, Run], kind: str) -> None:
    need_broker(kind)
    shown = runs[kind].end()
    assert shown.status == 0, shown.out + shown.err
    assert shown.seconds < LIMIT_S
    assert shown.err == ""
    assert "All of it happened as told" in shown.out
    assert re.findall(r"^ +\d [A-Z].*(yes|NO)$", shown.out, re.MULTILINE) == ["yes"] * len(SCENES)
    assert "\x1b" not in shown.out
    assert (shown.left, shown.processes) == ([], [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ended_early_it_cleans_up(tmp_path: Path, number: signal.Signals) -> None:
    need_broker("mosquitto")
    run = Run(tmp_path)
    run.follow("too warm")
    assert processes_in(tmp_path)
    run.process.send_signal(number)
    shown = run.end()
    assert (shown.status, shown.left, shown.processes) == (128 + number, [], [])
    assert "Traceback" not in shown.err


def test_killed_it_takes_its_processes_with_it(tmp_path: Path) -> None:
    need_broker("mosquitto")
    run = Run(tmp_path)
    run.follow("sees all its sensors")
    run.process.kill()
    run.end()
    wait_until(lambda: not processes_in(tmp_path))


def test_kept_its_folder_can_be_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_broker("mosquitto")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    out = io.StringIO()
    assert show(keep=True, out=out, scenes=[SERIAL]) == 0
    kept = Path(out.getvalue().strip().rpartition("Kept: ")[2])
    assert kept.parent == tmp_path
    assert {"config.toml", "edge-agent.log", "iotcall.log", "state"} <= {path.name for path in kept.iterdir()}


class Doubling(Sandbox):
    """Carries out the first call, and loses its answer: the agent must call again."""

    def record(self, *args: object, **kwargs: object) -> None:
        """Record the call; from the second on nothing is lost any more."""
        super().record(*args, **kwargs)  # type: ignore[arg-type]
        self.faults.clear()


def doubling(*args: object, **kwargs: object) -> Sandbox:
    return Doubling(*args, **kwargs, fault=Fault(FaultKind.LOST))  # type: ignore[arg-type]


class Losing(Sandbox):
    """Never sees the first call."""

    _lost = False

    def record(self, *args: object, **kwargs: object) -> None:
        """Record all calls but the first."""
        if self._lost:
            super().record(*args, **kwargs)  # type: ignore[arg-type]
        self._lost = True


class Forgetful(Stage):
    """Loses what the agent has on disk when it is started again."""

    def start_agent(self) -> int:
        """Start it with nothing."""
        shutil.rmtree(self.folder / "state", ignore_errors=True)
        return super().start_agent()


@pytest.mark.parametrize(
    ("stage", "scenes", "wrong"),
    [
        (functools.partial(Stage, sandbox=doubling), [SERIAL], "scene 1: IoTCall received 2 calls (boiler 2) instead"),
        (functools.partial(Stage, sandbox=Losing), [SERIAL], "scene 1: IoTCall received no call instead of 1 call"),
        (Forgetful, [FREEZER, OUTAGE, KILLED], "scene 3: IoTCall received"),
    ],
    ids=["doubled", "lost", "forgotten"],
)
def test_what_does_not_happen_as_told_is_found(stage: type[Stage], scenes: list[object], wrong: str) -> None:
    need_broker("mosquitto")
    out = io.StringIO()
    assert show(BrokerKind.MOSQUITTO, out=out, scenes=scenes, stage=stage) == 1  # type: ignore[arg-type]
    assert f"NOT SO: {wrong}" in out.getvalue()
    assert re.search(r"^ +\d [A-Z].* NO$", out.getvalue(), re.MULTILINE)


@pytest.fixture
def broken_mosquitto(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a mosquitto that does not start before the real one; return where temporary files go."""
    program = tmp_path / "bin" / "mosquitto"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'Error: no luck today' >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    return temporary


def test_a_part_that_does_not_start_says_why(broken_mosquitto: Path) -> None:
    shown = Run(broken_mosquitto, "--broker", "mosquitto").end()
    assert (shown.status, shown.left, shown.processes) == (1, [], [])
    assert "Error: no luck today" in shown.err
    assert shown.err.splitlines()[-1].startswith("edge-agent: MQTT broker has ended (exit status 3)")


def test_a_mosquitto_that_does_not_start_is_replaced(broken_mosquitto: Path) -> None:
    need_broker("embedded")
    out = io.StringIO()
    assert show(out=out, scenes=()) == 0
    assert "embedded (amqtt)" in out.getvalue()
    assert list(broken_mosquitto.iterdir()) == []


def test_without_any_broker_it_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_args, **_options: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(DemoError, match=r"edge-agent\[demo\]"):
        show(out=io.StringIO())


def test_a_port_stays_ours_while_nobody_listens() -> None:
    """Nobody else is given it, and a server with SO_REUSEADDR can listen, stop, and listen again."""
    import socket

    port = Port()
    try:
        for _ in range(2):
            with socket.create_server(("127.0.0.1", port.number)) as server:
                socket.create_connection(("127.0.0.1", port.number)).close()
                server.accept()[0].close()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port.number))
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port.number))
    finally:
        port.release()


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_it_is_coloured_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch, no_color: str, coloured: bool) -> None:  # noqa: FBT001 - a column of the table
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setenv("TERM", "xterm")
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as terminal, os.fdopen(master, "rb", buffering=0) as seen:
        Narrator(terminal).check(True, "it is so")
        assert (b"\x1b[" in seen.read(1000)) is coloured


def test_signals_are_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who calls it keeps his own handlers, also when it fails."""
    monkeypatch.setattr(shutil, "which", lambda *_args, **_options: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    assert threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(DemoError):
        show(out=io.StringIO())
    assert signal.getsignal(signal.SIGTERM) is before
