"""`outbox` and `iotcall call`: the daemon down, up, and the database in any state."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edge_agent.cli import main
from edge_agent.core.fields import SECOND
from edge_agent.delivery.outbox import Outbox
from edge_agent.delivery.policy import CallState, Verdict
from edge_agent.delivery.statedir import StateError, StateLock, agent_runs
from edge_agent.delivery.store import DATABASE, Store
from edge_agent.iotcall.sandbox import Fault, FaultKind, Sandbox
from edge_agent.system.clock import Clock
from edge_agent.web.server import WebServer
from edge_agent.web.token import load_token
from tests.delivery_kit import OFFLINE, PLACED, raised
from tests.fake_view import FakeView
from tests.helpers import free_port

CODE = "MFhjT0s2ODIDWA=="


class Place:
    """A configuration, its state folder, and the command line."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.port = free_port()
        self.configure()

    def configure(self, listen: str | None = None, base_url: str = "http://127.0.0.1:1") -> None:
        listen = f"127.0.0.1:{self.port}" if listen is None else listen
        (self.folder / "config.toml").write_text(
            f'[agent]\nstate_dir = "{self.state}"\n[web]\nlisten = "{listen}"\n'
            f'[iotcall]\nbase_url = "{base_url}"\ntimeout = "1s"\n[iotcall.rules.pump]\nurl_key = "PUMP"\n'
        )

    def run(self, *words: str) -> Result:
        return CliRunner().invoke(
            main, ["--config", str(self.folder / "config.toml"), *words], env={"IOTCALL_AUTH_CODE": CODE}
        )

    def json(self, *words: str) -> list[dict[str, object]]:
        done = self.run(*words, "--json")
        assert done.exit_code == 0, done.output
        rows: list[dict[str, object]] = json.loads(done.stdout)
        return rows

    def refused(self, *words: str) -> str:
        done = self.run(*words)
        assert (done.exit_code, done.stdout) == (1, ""), done.output
        assert done.stderr.count("\n") == 1
        return done.stderr

    def fill(self) -> None:
        """A placed, a waiting, a failed and an expired call."""
        self.state.mkdir(mode=0o750)
        clock = Clock()
        outbox = Outbox(Store(self.state / DATABASE), clock)
        ends = (
            (Verdict(CallState.PLACED, None), PLACED),
            (Verdict(CallState.WAITING, 30 * SECOND), OFFLINE),
            (Verdict(CallState.FAILED, None), OFFLINE),
            (Verdict(CallState.EXPIRED, None), OFFLINE),
        )
        for number, (verdict, outcome) in enumerate(ends):
            outbox.commit(raised(clock.now(), f"rule {number}", f"alarm {number}"))
            calls = outbox.dispatch.begin(f"rule {number}", None)
            outbox.dispatch.finish([(call, verdict) for call in calls], outcome)
        outbox.close()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def filled(place: Place) -> Place:
    place.fill()
    return place


def test_where_there_is_no_database_the_list_is_empty_and_nothing_is_made(place: Place) -> None:
    assert place.json("outbox", "list") == []
    assert "empty" in place.run("outbox", "list").stdout
    for verb in ("show", "retry", "cancel"):
        assert "there is no call 1" in place.refused("outbox", verb, "1")
    assert not place.state.exists()
    place.state.mkdir()
    assert "there is no call 1" in place.refused("outbox", "retry", "1")
    assert list(place.state.iterdir()) == []


def test_list_while_the_daemon_is_down(filled: Place) -> None:
    rows = filled.json("outbox", "list")
    assert [row["state"] for row in rows] == ["placed", "waiting", "failed", "expired"]
    assert [bool(row["next_attempt_at"]) for row in rows] == [False, True, False, False]
    assert [row["id"] for row in filled.json("outbox", "list", "--state", "waiting")] == [2]
    assert [row["id"] for row in filled.json("outbox", "list", "--limit", "2")] == [3, 4]
    shown = filled.run("outbox", "list").stdout
    assert "alarm 3" in shown
    assert len(shown.splitlines()) == 5
    assert filled.run("outbox", "list", "--state", "lost").exit_code == 2


def test_show_while_the_daemon_is_down(filled: Place) -> None:
    assert json.loads(filled.run("outbox", "show", "2", "--json").stdout) == filled.json("outbox", "list")[1]
    assert "last_error       no connection" in filled.run("outbox", "show", "2").stdout
    assert "there is no call 9" in filled.refused("outbox", "show", "9")


@pytest.mark.parametrize("row", [2, 3, 4])
def test_retry_while_the_daemon_is_down(filled: Place, row: int) -> None:
    done = filled.run("outbox", "retry", str(row), "--json")
    assert (done.exit_code, json.loads(done.stdout)) == (0, {"changed": 1})
    assert filled.json("outbox", "list")[row - 1]["state"] == "waiting"


def test_cancel_while_the_daemon_is_down(filled: Place) -> None:
    assert "withdrawn" in filled.run("outbox", "cancel", "2").stdout
    assert filled.json("outbox", "list")[1]["state"] == "cancelled"
    assert "its state does not allow it" in filled.refused("outbox", "cancel", "2")
    assert "its state does not allow it" in filled.refused("outbox", "retry", "1")


@pytest.mark.parametrize("verb", [["list"], ["show", "1"], ["retry", "1"], ["cancel", "1"]])
def test_a_corrupt_database_is_one_line_and_stays_as_it_is(filled: Place, verb: list[str]) -> None:
    """Only `run` sets one aside."""
    path = filled.state / DATABASE
    raw = b"SQLite format 3\0 or not" * 1000
    path.write_bytes(raw)
    assert str(path) in filled.refused("outbox", *verb)
    assert path.read_bytes() == raw
    assert [file.name for file in filled.state.iterdir() if "corrupt" in file.name] == []


@pytest.fixture
def agent(filled: Place) -> Iterator[FakeView]:
    """An agent that runs on the folder, as far as commands can tell."""
    lock = StateLock(filled.state)
    view = FakeView()
    token = load_token(filled.state)
    server = WebServer(view, host="127.0.0.1", port=filled.port, token=lambda: token)
    server.start()
    yield view
    server.stop()
    lock.release()


def test_while_an_agent_runs_it_is_asked(filled: Place, agent: FakeView) -> None:
    """It knows of nothing, whatever lies on the disk."""
    assert filled.json("outbox", "list") == agent.outbox(None, None) == []


def test_where_the_agent_cannot_be_asked_the_list_is_what_is_on_disk(filled: Place) -> None:
    lock = StateLock(filled.state)
    assert len(filled.json("outbox", "list")) == 4, "its port does not answer"
    filled.configure(listen="")
    assert len(filled.json("outbox", "list")) == 4
    assert "HTTP API is turned off" in filled.refused("outbox", "cancel", "2")
    assert "HTTP API is turned off" in filled.refused("iotcall", "call", "pump", "--yes")
    lock.release()
    assert filled.run("outbox", "cancel", "2").exit_code == 0


def test_another_agent_s_port_is_not_taken_for_ours(filled: Place, tmp_path: Path) -> None:
    view = FakeView()
    token = load_token(tmp_path)
    server = WebServer(view, host="127.0.0.1", port=filled.port, token=lambda: token)
    server.start()
    try:
        assert [row["rule"] for row in filled.json("outbox", "list")] == [f"rule {n}" for n in range(4)]
    finally:
        server.stop()


# The lock ---------------------------------------------------------------------------------------------------------


def test_a_state_folder_has_one_owner(place: Place) -> None:
    assert not agent_runs(place.state)
    lock = StateLock(place.state)
    assert place.state.stat().st_mode & 0o777 == 0o750
    assert agent_runs(place.state)
    with pytest.raises(StateError, match="another edge-agent"):
        StateLock(place.state)
    with pytest.raises(StateError, match="another edge-agent"):
        StateLock(place.state, 0.1)
    lock.release()
    lock.release()
    assert not agent_runs(place.state)
    StateLock(place.state).release()


def test_a_state_folder_is_0750_whatever_the_umask(place: Place) -> None:
    before = os.umask(0o077)
    try:
        StateLock(place.state / "deeper").release()
    finally:
        os.umask(before)
    assert (place.state / "deeper").stat().st_mode & 0o777 == 0o750


def test_a_folder_that_cannot_be_made_is_a_line(place: Place) -> None:
    place.state.write_text("a file")
    assert "cannot be used" in place.refused("iotcall", "call", "pump", "--yes")


# A call by hand, the daemon down ----------------------------------------------------------------------------------


def test_a_call_by_hand_is_one_attempt_and_a_finished_row(place: Place) -> None:
    with Sandbox(CODE) as sandbox:
        place.configure(base_url=sandbox.url)
        done = place.run("iotcall", "call", "pump", "--yes", "--json")
        answer = json.loads(done.stdout)
        assert (done.exit_code, answer["result"], answer["id"]) == (0, "placed", 1)
        sandbox.fault = Fault(FaultKind.HTTP_500)
        assert "not placed (call 2)" in place.refused("iotcall", "call", "pump", "--yes")
        sandbox.fault = Fault(FaultKind.HANG)
        done = place.run("iotcall", "call", "pump", "--yes", "--json")
        assert (done.exit_code, json.loads(done.stdout)["result"]) == (1, "ambiguous")
        assert len(sandbox.calls) == 3
    rows = place.json("outbox", "list")
    assert [(row["state"], row["alarm"], row["attempts"]) for row in rows] == [
        ("placed", None, 1), ("failed", None, 1), ("failed", None, 1),
    ]  # fmt: skip
    assert not agent_runs(place.state)


def test_people_are_not_phoned_unasked(place: Place) -> None:
    assert place.run("iotcall", "call", "pump").exit_code == 2
    assert "no IoTCall rule is called 'pomp'" in place.refused("iotcall", "call", "pomp", "--yes")
