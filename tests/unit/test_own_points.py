"""The agent's own points: what is put into the inbox, and when; and that alarms can be made of them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from edge_agent.agent import Agent
from edge_agent.core.engine import Engine, EngineSettings
from edge_agent.core.fields import SECOND
from edge_agent.core.own import OWN_FIELDS, OWN_SOURCE
from edge_agent.core.points import SourceSpec
from edge_agent.core.reading import Reading, Value
from edge_agent.core.settings import AlarmSettings
from edge_agent.inbox import Inbox
from edge_agent.own_points import OwnPoints, own_points

Told = list[tuple[int, Value | None]]


@dataclass
class Script:
    """One own point whose value a test sets, second by second; notes what was told of it, and how often it is asked."""

    name: str
    value: Value | None = None
    asked: int = 0
    told: Told = field(default_factory=list)

    def sample(self) -> Value | None:
        self.asked += 1
        return self.value

    def run(self, values: Iterator[Value | None] | list[Value | None]) -> Told:
        """Show one value a second, from second 1000 on; return [(second after it, value)]."""
        inbox = Inbox()
        points = OwnPoints(inbox.put, {self.name: self.sample})
        for second, self.value in enumerate(values):
            points.look((1000 + second) * SECOND)
        for item in inbox.take(0)[0]:
            assert isinstance(item, Reading)
            assert item.point == f"agent.{self.name}"
            assert (item.reason == "") is (item.value is not None)
            self.told.append((item.at // SECOND - 1000, item.value))
        return self.told


@pytest.mark.parametrize(
    ("name", "values", "wanted"),
    [
        # a flag: at once, and only when it changes
        ("auth_ok", [True] * 200 + [False] * 3 + [True], [(0, True), (200, False), (203, True)]),
        # not before it is known
        ("iotcall_reachable", [None] * 5 + [True] * 70 + [False], [(5, True), (75, False)]),
        # a count: each change at once, and each minute
        ("outbox_waiting", [0, 0, 1, 1, 3, 0, 0], [(0, 0), (2, 1), (4, 3), (5, 0)]),
        ("outbox_waiting", [2] * 130, [(0, 2), (60, 2), (120, 2)]),
        # what is measured: looked at each 10 s, told when it moved noticeably, and each minute
        ("cpu_temperature", [50.0] * 130, [(0, 50.0), (60, 50.0), (120, 50.0)]),
        ("cpu_temperature", [50.0] * 5 + [70.0] * 5 + [50.3] * 10 + [51.0] * 5, [(0, 50.0), (20, 51.0)]),
        ("disk_free_percent", [50.0] * 10 + [49.95] * 10 + [49.9] * 10, [(0, 50.0), (20, 49.9)]),
        # what vanishes is bad once; what was never there is nothing at all
        ("undervoltage", [False] + [None] * 9 + [False] * 2 + [True], [(0, False), (1, None), (11, False), (12, True)]),
        ("cpu_temperature", [50.0] * 10 + [None] * 100 + [50.0], [(0, 50.0), (10, None), (110, 50.0)]),
        ("cpu_temperature", [None] * 200, []),
    ],
)
def test_what_is_told_and_when(name: str, values: list[Value | None], wanted: Told) -> None:
    assert Script(name).run(values) == wanted


def test_what_moves_slowly_is_looked_at_every_ten_seconds() -> None:
    """Idle CPU: no more files are opened than are needed."""
    slow, quick = Script("disk_free_percent"), Script("undervoltage")
    slow.run([50.0] * 100)
    quick.run([False] * 100)
    lacking = Script("undervoltage")
    lacking.run([None] * 100)
    assert (slow.asked, quick.asked, lacking.asked) == (10, 100, 10)


def test_a_flag_that_somebody_injected_is_not_undone() -> None:
    """As with a pin: only what differs from the agent's own last look is told."""
    inbox = Inbox()
    points = OwnPoints(inbox.put, {"auth_ok": lambda: True})
    for second in range(300):
        points.look(second * SECOND)
    assert len(inbox) == 1


@dataclass
class Parts:
    """What the points need of an agent."""

    state_dir: Path
    inbox: Inbox = field(default_factory=Inbox)
    reachable: bool | None = None
    synced: bool = False
    waiting: int = 0
    waiting_auth: int = 0

    def summary(self) -> SimpleNamespace:
        return SimpleNamespace(counts={"waiting": self.waiting}, waiting_auth=self.waiting_auth)

    def agent(self) -> Agent:
        parts = SimpleNamespace(
            config=SimpleNamespace(state_dir=self.state_dir),
            inbox=self.inbox,
            sender=self,
            outbox=self,
            clock=SimpleNamespace(synced=lambda: self.synced),
        )
        return cast("Agent", parts)

    def told(self) -> dict[str, Value | None]:
        return {item.point: item.value for item in self.inbox.take(0)[0] if isinstance(item, Reading)}


def test_what_an_agent_knows_of_itself(tmp_path: Path) -> None:
    """All that every machine has is there at the first look; IoTCall only once it was tried."""
    parts = Parts(tmp_path)
    points = own_points(parts.agent())
    points.look(0)
    first = parts.told()
    free = first["agent.disk_free_percent"]
    assert isinstance(free, float)
    assert 0 <= free <= 100
    told = {"agent.auth_ok": True, "agent.outbox_waiting": 0, "agent.clock_synced": False}
    assert {name: first.get(name) for name in told} == told
    assert set(first) <= {f"agent.{name}" for name in OWN_FIELDS} - {"agent.iotcall_reachable"}
    parts.reachable, parts.synced, parts.waiting, parts.waiting_auth = False, True, 2, 1
    points.look(SECOND)
    second = parts.told()
    assert {name: second.get(name) for name in (*told, "agent.iotcall_reachable")} == {
        "agent.auth_ok": False, "agent.outbox_waiting": 2, "agent.clock_synced": True, "agent.iotcall_reachable": False,
    }  # fmt: skip


def test_every_point_that_a_configuration_can_name_is_looked_at(tmp_path: Path) -> None:
    assert sorted(own_points(Parts(tmp_path).agent()).fields) == sorted(OWN_FIELDS)


def test_an_alarm_on_what_the_agent_knows_of_itself(tmp_path: Path) -> None:
    """As any other: raised after its delay, also while nothing new is told; silence is no flag's way to say no."""
    alarms = {
        "calls-wait": {"input": "agent.outbox_waiting", "above": 0, "on_delay": "5m", "call": "me"},
        "no-auth": {"input": "agent.auth_ok", "is": False, "call": "me"},
        "disk": {"input": "agent.disk_free_percent", "silent_for": "2m"},
    }
    settings = EngineSettings(
        {OWN_SOURCE: SourceSpec(fields=OWN_FIELDS)},
        {name: AlarmSettings.model_validate(table) for name, table in alarms.items()},
        {"me": (10, 3600 * SECOND)},
    )
    engine = Engine(settings, 0)
    parts = Parts(tmp_path, waiting=1)
    points = own_points(parts.agent())
    for second in range(900):
        parts.waiting_auth = int(second >= 600)
        points.look(second * SECOND)
        for item in parts.inbox.take(0)[0]:
            assert isinstance(item, Reading)
            engine.feed(item)
        engine.tick(second * SECOND)
    raised = [(event.at // SECOND, event.alarm) for event in engine.take().events if str(event.kind) == "raised"]
    assert raised == [(300, "calls-wait"), (600, "no-auth")]
