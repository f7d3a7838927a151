"""A reload, with a real agent in this process: which drivers are exchanged, and that it is all or nothing."""

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_agent.agent import Agent
from edge_agent.agent_reload import ReloadRefusedError, plan_drivers
from edge_agent.config.loader import load
from edge_agent.config.settings import Config
from tests.helpers import free_port, wait_until

TABLES = """\
[web]
listen = ""
[mqtt.plant]
host = "127.0.0.1"
port = {port}
username = "u"
password_file = "password"
[mqtt.other]
host = "127.0.0.1"
port = {port}
client_id = "mine"
[sources.door]
type = "gpio"
pin = 17
[sources.boiler]
type = "serial"
port = "loop://"
[sources.freezer]
type = "mqtt"
broker = "plant"
topic = "site/+/freezer"
[sources.pump]
type = "mqtt"
broker = "plant"
topic = "pump"
[sources.tank]
type = "mqtt"
broker = "other"
topic = "tank"
[alarms.low]
input = "boiler"
below = 10
"""


class File:
    """A configuration file that tests edit."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "config.toml"
        self.text = f'[agent]\nname = "test"\nstate_dir = "{folder}/state"\n' + TABLES.format(port=free_port())
        self.path.write_text(self.text)
        self.password("hunter2")

    def password(self, word: str) -> None:
        (self.folder / "password").write_text(word)
        (self.folder / "password").chmod(0o600)

    def edit(self, old: str, new: str) -> None:
        assert self.text.count(old) == 1, old
        self.path.write_text(self.text.replace(old, new))

    def load(self) -> Config:
        return load(self.path, secrets=True, env={})


@pytest.fixture
def file(tmp_path: Path) -> File:
    return File(tmp_path)


@pytest.fixture
def agent(file: File, monkeypatch: pytest.MonkeyPatch) -> Iterator[Agent]:
    """Return an agent whose threads run; its main loop is the test."""
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "mock")
    running = Agent(file.load(), file.load)
    running.start()
    yield running
    running.stop()


def online(agent: Agent, name: str) -> Callable[[], bool]:
    return lambda: (link := agent.desk.links().get(name)) is not None and link.online


# Which drivers ------------------------------------------------------------------------------------------------------


def exchanged(file: File, edit: Callable[[], None]) -> set[str]:
    before = {name: plan.made_of for name, plan in plan_drivers(file.load()).items()}
    edit()
    return {name for name, plan in plan_drivers(file.load()).items() if plan.made_of != before.get(name)}


@pytest.mark.parametrize(
    ("old", "new", "drivers"),
    [
        ("below = 10", "below = 12", set()),
        ("pin = 17", "pin = 18", {"door"}),
        ("pin = 17", 'pin = 17\ndebounce = "50ms"', set()),
        ('port = "loop://"', 'port = "loop://"\nscale = 0.1\nreject = [85.0]\nmax = 7\nsmooth = { mean = 3 }', set()),
        ('port = "loop://"', 'port = "loop://"\nbaudrate = 19200', {"boiler"}),
        ('topic = "pump"', 'topic = "pumps"', {"mqtt.plant"}),
        ('topic = "pump"', 'topic = "pump"\noffset = 2.0', set()),
        ('broker = "plant"\ntopic = "pump"', 'broker = "other"\ntopic = "pump"', {"mqtt.plant", "mqtt.other"}),
        ('username = "u"', 'username = "v"', {"mqtt.plant"}),
        ('client_id = "mine"', 'client_id = "yours"', {"mqtt.other"}),
        ('name = "test"', 'name = "renamed"', {"mqtt.plant", "mqtt.other"}),
        ("[sources.tank]", '[sources.level]\ntype = "gpio"\npin = 4\n[sources.tank]', {"level"}),
        ('[sources.door]\ntype = "gpio"\npin = 17', '[sources.door]\ntype = "serial"\nport = "loop://"', {"door"}),
        ('[sources.door]\ntype = "gpio"\npin = 17\n', "", set()),
    ],
)
def test_a_driver_is_exchanged_only_for_what_it_was_made_of(file: File, old: str, new: str, drivers: set[str]) -> None:
    assert exchanged(file, lambda: file.edit(old, new)) == drivers


def test_another_password_is_another_driver(file: File) -> None:
    assert exchanged(file, lambda: file.password("swordfish")) == {"mqtt.plant"}


def test_what_a_driver_is_made_of_is_never_shown(file: File) -> None:
    assert "hunter2" not in repr(plan_drivers(file.load()))


# All or nothing -----------------------------------------------------------------------------------------------------


def test_what_did_not_change_is_left_alone(agent: Agent, file: File) -> None:
    wait_until(online(agent, "boiler"))
    engine, drivers = agent.engine_thread.engine, {name: plan.driver for name, plan in agent.plans.items()}
    assert agent.reloader.reload() == []
    file.edit('listen = ""', f'listen = "127.0.0.1:{free_port()}"')
    assert len(agent.reloader.reload()) == 1
    assert agent.engine_thread.engine is engine
    assert {name: plan.driver for name, plan in agent.plans.items()} == drivers


def test_a_driver_that_is_exchanged_is_no_outage(agent: Agent, file: File) -> None:
    wait_until(online(agent, "boiler"))
    since = agent.desk.links()["boiler"].since
    old = agent.plans["boiler"].driver
    file.edit('port = "loop://"', 'port = "loop://"\nbaudrate = 19200')
    assert agent.reloader.reload() == ["sources.boiler.baudrate: 9600 → 19200"]
    assert agent.plans["boiler"].driver is not old
    wait_until(lambda: agent.sources.beats()["source:boiler"] > since)
    assert agent.desk.links()["boiler"].since == since


def test_an_engine_that_does_not_take_it_leaves_everything_as_it_was(
    agent: Agent, file: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_agent.agent_reload._ENGINE_WITHIN_S", 0.2)
    wait_until(online(agent, "boiler"))
    before, release = agent.config, threading.Event()

    def busy() -> None:
        release.wait(10)

    agent.inbox.put(busy)
    file.edit("below = 10", "below = 12\n[sources.extra]\ntype = 'serial'\nport = 'loop://'")
    with pytest.raises(ReloadRefusedError, match="the engine is busy"):
        agent.reloader.reload()
    release.set()
    agent.engine_thread.ask(lambda: None, 5)
    assert agent.config is before
    assert agent.engine_thread.engine.settings.alarms["low"].below == 10
    assert "extra" not in agent.plans
    wait_until(online(agent, "boiler"))
    assert [fault.what[:8] for fault in agent.faults.all() if fault.what.startswith("config")] == ["config: "]
    assert agent.reloader.reload() == ["sources.extra added", "alarms.low.below: 10.0 → 12.0"]
    assert agent.engine_thread.engine.settings.alarms["low"].below == 12
    wait_until(online(agent, "extra"))
    assert not any(fault.what.startswith("config") for fault in agent.faults.all())


def test_a_bug_in_the_engine_leaves_everything_as_it_was(
    agent: Agent, file: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_until(online(agent, "boiler"))

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(agent.engine_thread, "replace", broken)
    before = agent.config
    file.edit('port = "loop://"', 'port = "loop://"\nscale = 2.0\nbaudrate = 19200')
    with pytest.raises(ZeroDivisionError):
        agent.reloader.reload()
    assert agent.config is before
    wait_until(lambda: set(agent.sources.beats()) == {"sources", *(f"source:{name}" for name in agent.plans)})
    wait_until(online(agent, "boiler"))


def test_reloads_come_one_after_the_other(agent: Agent, file: File) -> None:
    """Whichever is first sees what changed, and the others that nothing did."""
    file.edit("below = 10", "below = 12")
    told: list[list[str]] = []
    threads = [threading.Thread(target=lambda: told.append(agent.reloader.reload())) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(map(len, told)) == [0, 0, 0, 0, 1]


def test_it_is_told_in_the_log_and_among_the_events(agent: Agent, file: File, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "edge_agent")
    file.edit("below = 10", "below = 12")
    agent.reloader.reload()
    lines = [record.getMessage() for record in caplog.records if "event=reloaded" in record.getMessage()]
    assert lines == [f"event=reloaded config={file.path} changed=1 what='alarms.low.below: 10.0 → 12.0'"]
    events = agent.store.read("SELECT * FROM events WHERE event = 'reloaded'")
    assert [(row["alarm"], row["reason"]) for row in events] == [(None, "alarms.low.below: 10.0 → 12.0")]


def test_a_source_that_is_gone_is_forgotten(agent: Agent, file: File) -> None:
    wait_until(online(agent, "door"))
    agent.desk.count_refused("door", "a test")
    file.edit('[sources.door]\ntype = "gpio"\npin = 17\n', "")
    assert agent.reloader.reload() == ["sources.door removed"]
    assert "door" not in agent.desk.links()
    assert agent.desk.refused == {}
    assert "source:door" not in agent.sources.beats()
    agent.supervise()
