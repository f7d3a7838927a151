"""Reloading a running daemon: nothing that did not change is disturbed, and what is wrong changes nothing."""

import json
import signal
import socket
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import paho.mqtt.publish
import pytest

from edge_agent.iotcall.sandbox import Sandbox
from tests.broker import Broker
from tests.daemon import Daemon
from tests.helpers import free_port, wait_until

RULE = '[iotcall.rules.r]\nurl_key = "15aaBBccddeeFF28b89"\nmax_calls = 0\n'
TANK = '[sources.tank]\ntype = "serial"\nport = "loop://"\n'
SLOW = '[alarms.slow]\ninput = "tank"\nabove = 10\non_delay = "3s"\ncall = "r"\n'
QUICK = '[alarms.quick]\ninput = "tank"\nabove = {}\ncall = "r"\n'
Make = Callable[[str], Daemon]


@pytest.fixture
def make(tmp_path: Path, sandbox: Sandbox) -> Iterator[Make]:
    """Return a maker of daemons that are ended with the test."""
    made: list[Daemon] = []

    def daemon(tables: str) -> Daemon:
        made.append(Daemon(tmp_path, sandbox.url, RULE + tables).start())
        return made[-1]

    yield daemon
    for each in made:
        each.close()


def events(daemon: Daemon, alarm: str | None, *kinds: str) -> list[dict[str, Any]]:
    """Return the events of an alarm, oldest first."""
    found = daemon.get("/api/v1/events?limit=1000")["events"][::-1]
    return [event for event in found if event["alarm"] == alarm and event["event"] in kinds]


def faults(daemon: Daemon) -> list[str]:
    return [fault["what"] for fault in daemon.get("/api/v1/status")["faults"]]


def states(daemon: Daemon) -> dict[str, str]:
    return {alarm["alarm"]: alarm["state"] for alarm in daemon.get("/api/v1/alarms")}


def test_running_delays_go_on_and_a_changed_limit_is_judged_at_once(make: Make) -> None:
    daemon = make(TANK + SLOW + QUICK.format(100.0))
    daemon.inject("tank", 50)
    wait_until(lambda: states(daemon) == {"slow": "pending", "quick": "normal"})
    daemon.configure(RULE + TANK + SLOW + QUICK.format(40.0))
    assert daemon.command("reload") == "alarms.quick.above: 100.0 → 40.0\n"
    assert states(daemon)["quick"] == "raised"
    daemon.wait_for_calls("waiting", 0)
    wait_until(lambda: states(daemon)["slow"] == "raised")
    began, raised = events(daemon, "slow", "pending", "raised")
    lasted = datetime.fromisoformat(raised["time"]) - datetime.fromisoformat(began["time"])
    assert abs(lasted - timedelta(seconds=3)) <= timedelta(milliseconds=2)
    assert [event["reason"] for event in events(daemon, None, "reloaded")] == ["alarms.quick.above: 100.0 → 40.0"]


def test_what_is_removed_ends_and_what_is_added_begins(make: Make) -> None:
    door = '[sources.door]\ntype = "gpio"\npin = 17\nactive = "high"\n'
    door += '[alarms.open]\ninput = "door"\nis = true\ncall = "r"\n'
    daemon = make(TANK + QUICK.format(10.0))
    daemon.inject("tank", 50)
    wait_until(lambda: states(daemon) == {"quick": "raised"})
    daemon.configure(RULE + door)
    answer = json.loads(daemon.command("reload", "--json"))
    assert answer == {
        "changed": 4,
        "what": ["sources.tank removed", "sources.door added", "alarms.quick removed", "alarms.open added"],
    }
    wait_until(lambda: states(daemon) == {"open": "raised"})  # a level at the start is a reading
    assert len(events(daemon, "quick", "removed")) == 1
    status = daemon.get("/api/v1/status")
    assert set(status["sources"]) == {"door"}
    assert not [point for point in status["points"] if point.startswith("tank")]
    assert daemon.command("reload") == "nothing changed\n"


def test_a_wrong_file_is_refused_with_every_line_and_the_old_one_stays(make: Make) -> None:
    daemon = make(TANK + QUICK.format(10.0))
    daemon.configure(RULE + TANK + QUICK.format('"high"') + "abov = 3\n")
    told = daemon.command("reload", code=78)
    lines = told.splitlines()
    assert len(lines) == 2
    assert all(line.startswith(f"{daemon.config}:") for line in lines)
    assert "alarms.quick.above" in told
    assert 'did you mean "above"?' in told
    assert faults(daemon) == []  # the command saw what is wrong, and did not ask the agent
    daemon.signal(signal.SIGHUP)
    wait_until(lambda: [fault.partition(":")[0] for fault in faults(daemon)] == ["config"])
    daemon.inject("tank", 50)
    wait_until(lambda: states(daemon) == {"quick": "raised"})
    daemon.configure(RULE + TANK + QUICK.format(10.0))
    assert daemon.command("reload") == "nothing changed\n"
    assert faults(daemon) == []
    state_dir = daemon.state_dir
    daemon.config.write_text(daemon.config.read_text().replace(str(state_dir), f"{state_dir}2"))
    daemon.signal(signal.SIGHUP)
    wait_until(lambda: faults(daemon))
    assert "agent.state_dir: cannot change while the agent runs" in faults(daemon)[0]
    daemon.config.write_text("no toml at all =")
    assert f"{daemon.config}:1: " in daemon.command("reload", code=78)


def test_without_an_agent_reload_says_so(make: Make) -> None:
    daemon = make(TANK)
    daemon.stop()
    assert "is not running" in daemon.command("reload", code=1)


def test_a_signal_does_the_same_and_the_log_says_what_but_no_secret(make: Make) -> None:
    daemon = make(TANK + QUICK.format(10.0))
    daemon.configure(RULE.replace("15aaBBccddeeFF28b89", "16ccDDeeffggHH37c98") + TANK + QUICK.format(20.0))
    daemon.signal(signal.SIGHUP)
    wait_until(lambda: events(daemon, None, "reloaded"))
    log = daemon.log.read_text()
    told = "iotcall.rules.r.url_key changed; alarms.quick.above: 10.0 → 20.0"
    assert f"event=reloaded config={daemon.config} changed=2 what='{told}'" in log
    assert "28b89" not in log
    assert "37c98" not in log
    daemon.inject("tank", 30)
    daemon.wait_for_calls("placed", 1)


def test_the_page_moves_to_another_port_and_a_port_that_is_taken_is_only_a_fault(make: Make) -> None:
    daemon = make(TANK)
    old, text = daemon.port, daemon.config.read_text()
    daemon.port = free_port()
    daemon.config.write_text(text.replace(str(old), str(daemon.port)))
    daemon.signal(signal.SIGHUP)
    wait_until(lambda: _answers(daemon))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        daemon.config.write_text(text.replace(str(old), str(taken.getsockname()[1])))
        daemon.signal(signal.SIGHUP)
        wait_until(lambda: "event=fault what='web: " in daemon.log.read_text())
    daemon.config.write_text(text)
    daemon.signal(signal.SIGHUP)
    daemon.port = old
    wait_until(lambda: _answers(daemon))
    assert faults(daemon) == []
    assert daemon.command("reload") == "nothing changed\n"


def _answers(daemon: Daemon) -> bool:
    try:
        return bool(daemon.get("/healthz")["ok"])
    except OSError:
        return False


def test_a_brokers_connection_survives_what_does_not_concern_it(make: Make, broker: Broker, tmp_path: Path) -> None:
    """Messages go on, also through an exchange of the connection: the broker keeps the session."""
    log = tmp_path / "broker" / "mosquitto.log"

    def connections() -> int:
        return log.read_text().count(" as edge-test ")

    plant = f'[mqtt.plant]\nhost = "127.0.0.1"\nport = {broker.port}\nclient_id = "edge-test"\n'
    level = (
        '[sources.level]\ntype = "mqtt"\ntopic = "level"\n{}[alarms.high]\ninput = "level"\nabove = {}\ncall = "r"\n'
    )
    more = '[sources.flow]\ntype = "mqtt"\ntopic = "flow"\n'

    def online(source: str) -> bool:
        return bool(daemon.get("/api/v1/status")["sources"].get(source, {}).get("online"))

    def value() -> object:
        return daemon.get("/api/v1/status")["points"].get("level", {}).get("value")

    def publish(payload: str) -> None:
        paho.mqtt.publish.single("level", payload, 1, hostname="127.0.0.1", port=broker.port)

    daemon = make(plant + level.format("", 100.0))
    wait_until(lambda: online("level"))
    publish("7")
    wait_until(lambda: value() == 7)
    daemon.configure(RULE + TANK + plant + level.format("scale = 2.0\n", 50.0))
    assert "sources.level.scale: 1.0 → 2.0\n" in daemon.command("reload")
    assert value() == 14  # judged anew on the last raw value
    publish("8")
    wait_until(lambda: value() == 16)
    assert connections() == 1
    daemon.configure(RULE + plant + level.format("", 50.0) + more)
    daemon.signal(signal.SIGHUP)
    for count in range(20):
        publish(str(count))
    wait_until(lambda: online("level") and online("flow") and value() == 19)
    assert daemon.get("/api/v1/status")["sources"]["level"]["readings"] >= 22  # one in between may come twice
    assert connections() == 2
    assert "state=offline" not in daemon.log.read_text()
