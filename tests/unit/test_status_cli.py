"""`status` and `inject` against a running API."""

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from edge_agent.cli import main
from edge_agent.cli.local import table
from edge_agent.web.server import WebServer
from edge_agent.web.token import load_token
from tests.fake_view import AT, FakeView
from tests.helpers import free_port


class Running:
    """An agent's API, a configuration that leads to it, and the command line."""

    def __init__(self, folder: Path, listen: str = "127.0.0.1:{port}") -> None:
        self.view = FakeView()
        self.port = free_port()
        self.folder = folder
        self.config = folder / "config.toml"
        state = folder / "state"
        state.mkdir()
        listen = listen.format(port=self.port)
        self.config.write_text(f'[agent]\nstate_dir = "{state}"\n[web]\nlisten = "{listen}"\n')
        self.token = load_token(state)
        host = listen.rpartition(":")[0].strip("[]")
        self.server = WebServer(self.view, host=host, port=self.port, token=lambda: self.token)

    def run(self, *words: str) -> Result:
        return CliRunner().invoke(main, ["--config", str(self.config), *words])


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    agent = Running(tmp_path)
    agent.server.start()
    yield agent
    agent.server.stop()


def row(rule: str, result: str | None, next_at: str | None = None, reason: str | None = None) -> dict[str, Any]:
    return {"state": "waiting", "rule": rule, "last_result": result, "next_attempt_at": next_at, "reason": reason}


def test_status_as_json_is_what_the_api_says(running: Running) -> None:
    done = running.run("status", "--json")
    assert (done.exit_code, json.loads(done.stdout)) == (0, running.view.status())


def test_status_for_people(running: Running) -> None:
    running.view.uptime_s = 93784
    running.view.faults = [{"what": "source door", "since": AT, "hint": "check the cable"}]
    running.view.sources["door"] = {
        "type": "gpio",
        "online": False,
        "readings": 0,
        "bad_readings": 0,
        "last_reading_at": None,
        "error": "no GPIO chip",
    }
    running.view.points["door"] = {"value": None, "quality": "bad", "at": None}
    running.view.points["lid"] = {"value": True, "quality": "good", "at": AT}
    running.view.alarms[0].update(acknowledged=True, shelved_until="2026-01-31T12:00:00+09:00")
    running.view.rows = [
        row("freezer", "offline", "2026-01-31T09:00:09+09:00"),
        row("freezer", "offline", "2026-01-31T09:00:05+09:00"),
        row("pump", None, reason="budget: 10 calls in the last hour"),
    ]
    done = running.run("status")
    assert done.exit_code == 0
    assert (
        done.stdout
        == """\
pump-house-3: edge-agent 0.1.0, up for 1 d 2 h
IoTCall: NOT reachable, no success yet

Faults
  since                what         what to do
  2026-01-31 09:00:00  source door  check the cable

Alarms
  alarm             state   since
  freezer-warm[f1]  raised  2026-01-31 09:00:00  acknowledged, shelved until 2026-01-31 12:00:00

Calls
  state       calls
  waiting     3
  placed      0
  failed      0
  expired     0
  cancelled   0
  suppressed  0

Waiting calls
  rule     calls  why                                next attempt
  freezer  2      IoTCall cannot be reached          2026-01-31 09:00:05
  pump     1      budget: 10 calls in the last hour  -

Sources
  source   type           readings  bad  last reading
  freezer  mqtt  online   9         2    2026-01-31 09:00:00
  door     gpio  OFFLINE  0         0    -                    no GPIO chip

Points
  point        value    at
  freezer[f1]  -14.5    2026-01-31 09:00:00
  door         - (bad)  -
  lid          true     2026-01-31 09:00:00
"""
    )


def test_what_a_sensor_said_cannot_move_the_cursor(running: Running) -> None:
    running.view.points["x[\x1b[2J]"] = {"value": "\x9b1m\r\n\u202egood\u2028", "quality": "good", "at": AT}
    running.view.sources["freezer"]["error"] = "\x07bell"
    done = running.run("status")
    assert done.exit_code == 0
    assert all(line.isprintable() for line in done.stdout.split("\n"))
    assert r"x[\x1b[2J]" in done.stdout
    assert r"\x9b1m\r\n\u202egood\u2028" in done.stdout


def test_a_table_is_aligned_where_characters_are_wide() -> None:
    rows = [["冷凍庫", "1"], ["e\u0301", "2"], ["abcdefg", "3"]]
    assert list(table(("name", "n"), rows)) == ["  name     n", "  冷凍庫   1", "  e\u0301        2", "  abcdefg  3"]


@pytest.mark.parametrize(
    ("words", "value", "said"),
    [
        (["true"], True, "door: injected true"),
        (["FALSE"], False, "door: injected false"),
        (["21.5"], 21.5, "door: injected 21.5"),
        (["-10"], -10, "door: injected -10"),
        (["-.5"], -0.5, "door: injected -0.5"),
        (["--", "-10"], -10, "door: injected -10"),
        (["-inf"], None, "door: injected a reading of bad quality"),
        (["nan"], None, "door: injected a reading of bad quality"),
        ([""], None, "door: injected a reading of bad quality"),
        (["open\x1b"], "open\x1b", r"door: injected 'open\x1b'"),
        (["-10 °C"], "-10 °C", "door: injected '-10 °C'"),
        (["--", "--json"], "--json", "door: injected '--json'"),
    ],
)
def test_inject(running: Running, words: list[str], value: Any, said: str) -> None:
    done = running.run("inject", "door", *words)
    assert (done.exit_code, done.stdout.strip(), done.stderr) == (0, said, "")
    assert running.view.commands == [("door", value)]


@pytest.mark.parametrize("words", [["-10", "--json"], ["--json", "-10"], ["--json", "--", "-10"]])
def test_inject_as_json(running: Running, words: list[str]) -> None:
    done = running.run("inject", "door", *words)
    assert (done.exit_code, json.loads(done.stdout)) == (0, {"changed": 1})
    assert running.view.commands == [("door", -10)]


def test_the_configuration_may_be_named_behind_a_negative_number(running: Running) -> None:
    words = ["inject", "door", "-10", "--config", str(running.config)]
    assert CliRunner().invoke(main, words).exit_code == 0
    assert running.view.commands == [("door", -10)]


@pytest.mark.parametrize("words", [[], ["door"], ["door", "1", "2"], ["door", "--jsn"], ["door", "1", "-x"]])
def test_inject_used_wrongly(running: Running, words: list[str]) -> None:
    assert running.run("inject", *words).exit_code == 2
    assert running.view.commands == []


def failure(done: Result) -> str:
    """Return the one line on stderr of a command that could not do it."""
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("edge-agent: ")
    return done.stderr


def test_what_the_agent_refuses(running: Running) -> None:
    assert "no source or point is called nothing" in failure(running.run("inject", "nothing", "1", "--json"))
    running.token = "changed"
    assert "wrong token" in failure(running.run("inject", "door", "1"))


@pytest.mark.parametrize("words", [["status"], ["status", "--json"], ["inject", "door", "1"]])
def test_an_agent_that_does_not_run(tmp_path: Path, words: list[str]) -> None:
    agent = Running(tmp_path)
    assert "is not running" in failure(agent.run(*words))


def test_an_agent_that_never_ran(tmp_path: Path) -> None:
    agent = Running(tmp_path)
    (tmp_path / "state" / "web-token").unlink()
    assert "is not running" in failure(agent.run("inject", "door", "1"))


def test_without_an_api(tmp_path: Path) -> None:
    agent = Running(tmp_path, listen="")
    for words in (["status"], ["inject", "door", "1"]):
        assert "turned off" in failure(agent.run(*words))


@pytest.mark.parametrize("listen", ["0.0.0.0:{port}", "localhost:{port}", "127.0.0.2:{port}"])
def test_it_is_reached_wherever_it_listens(tmp_path: Path, listen: str) -> None:
    agent = Running(tmp_path, listen)
    agent.server.start()
    try:
        assert agent.run("status").exit_code == 0
        assert agent.run("inject", "door", "1").exit_code == 0
    finally:
        agent.server.stop()


@pytest.mark.parametrize("said", [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.0 200 OK\r\n\r\n<html>", b""])
def test_something_else_on_the_port(tmp_path: Path, said: bytes) -> None:
    """One line, whatever it says; and it is not shown the token unasked."""
    agent = Running(tmp_path)
    heard = []
    with socket.create_server(("127.0.0.1", agent.port)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                heard.append(connection.recv(4096))
                connection.sendall(said)

        thread = threading.Thread(target=answer)
        thread.start()
        failure(agent.run("status"))
        thread.join(10)
    assert agent.token.encode() not in heard[0]
