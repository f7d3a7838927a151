"""People operate alarms of a running agent, and it remembers: over a restart, and over a kill once it has answered."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_agent.iotcall.sandbox import Fault, FaultKind, Sandbox
from tests.daemon import Daemon
from tests.helpers import wait_until

Make = Callable[..., Daemon]
TABLES = """
[iotcall.rules.r]
url_key = "15aaBBccddeeFF28b89"
max_calls = 0
[sources.t]
type = "serial"
port = "loop://"
[alarms.hot]
input = "t"
above = 30
call = "r"
"""


@pytest.fixture
def make(tmp_path: Path, sandbox: Sandbox) -> Iterator[Make]:
    """Return a maker of a daemon that is ended with the test; `more` is added to the alarm."""
    made: list[Daemon] = []

    def daemon(more: str = "") -> Daemon:
        made.append(Daemon(tmp_path, sandbox.url, TABLES + more))
        return made[-1]

    yield daemon
    for each in made:
        each.close()


def alarm(daemon: Daemon) -> dict[str, Any]:
    (one,) = json.loads(daemon.command("alarms", "--json"))
    assert one == daemon.get("/api/v1/alarms")[0]
    return dict(one)


def events(daemon: Daemon) -> list[str]:
    """Return the alarm's events, oldest first."""
    return [event["event"] for event in reversed(daemon.get("/api/v1/events?alarm=hot")["events"])]


def test_what_is_acknowledged_stays_so_over_a_restart_and_does_not_repeat(make: Make, sandbox: Sandbox) -> None:
    daemon = make('repeat = "1s"\n').start()
    daemon.inject("t", 35)
    daemon.wait_for_calls("placed", 2)
    assert "acknowledged" in daemon.command("ack", "hot")
    made = len(sandbox.calls)
    assert daemon.stop() == 0
    daemon.start()
    assert (alarm(daemon)["state"], alarm(daemon)["acknowledged"]) == ("raised", True)
    daemon.inject("t", 36)
    wait_until(lambda: daemon.get("/api/v1/status")["uptime_s"] > 2)
    assert len(sandbox.calls) == made
    daemon.inject("t", 20)
    daemon.inject("t", 35)
    wait_until(lambda: len(sandbox.calls) > made)
    assert alarm(daemon)["acknowledged"] is False


def test_a_call_that_a_shelf_held_back_goes_out_at_its_end(make: Make, sandbox: Sandbox) -> None:
    daemon = make().start()
    assert "shelved for 3s" in daemon.command("shelve", "hot", "--for", "3s")
    assert alarm(daemon)["shelved_until"] is not None
    daemon.inject("t", 35)
    assert [(row["state"], row["reason"][:8]) for row in daemon.outbox()] == [("suppressed", "shelved:")]
    assert "owes a call to r (shelved" in daemon.command("alarms")
    daemon.kill()
    daemon.start()
    daemon.wait_for_calls("placed", 1)
    assert len(sandbox.calls) == 1
    assert len(daemon.outbox()) == 1
    assert alarm(daemon)["shelved_until"] is None
    assert events(daemon) == ["shelved", "raised", "suppressed", "unshelved", "call", "placed"]


@pytest.mark.parametrize("verb", ["ack", "shelve"])
def test_what_was_answered_survives_a_kill_at_once(make: Make, sandbox: Sandbox, verb: str) -> None:
    """An answer means: it is on disk."""
    sandbox.fault = Fault(FaultKind.DOWN)
    daemon = make().start()
    body = {"for": "1h"} if verb == "shelve" else {}
    for _ in range(3 if verb == "ack" else 1):
        daemon.inject("t", 20)
        daemon.inject("t", 35)
        wait_until(lambda: alarm(daemon)["state"] == "raised")
        assert daemon.post(f"/api/v1/alarms/hot/{verb}", body) == {"changed": 1}
        daemon.kill()
        daemon.start()
        after = alarm(daemon)
        assert after["acknowledged"] is (verb == "ack")
        assert (after["shelved_until"] is not None) is (verb == "shelve")


def test_cancel_on_clear_withdraws_what_still_waits(make: Make, sandbox: Sandbox) -> None:
    sandbox.fault = Fault(FaultKind.DOWN)
    daemon = make("cancel_on_clear = true\n").start()
    daemon.inject("t", 35)
    wait_until(lambda: [row["last_result"] for row in daemon.outbox()] == ["offline"])
    daemon.inject("t", 20)
    daemon.wait_for_calls("cancelled", 1)
    assert daemon.outbox()[0]["reason"] == "cleared"
    sandbox.fault = None
    wait_until(lambda: daemon.get("/api/v1/status")["outbox"]["waiting"] == 0)
    assert sandbox.calls == []


def test_explain_prints_the_story_up_and_down(make: Make, sandbox: Sandbox) -> None:
    daemon = make().start()
    daemon.inject("t", 20)
    now = daemon.command("explain", "hot")
    assert "the condition does not hold: 20 is not above 30 (t, last reading " in now
    daemon.inject("t", 35)
    daemon.wait_for_calls("placed", 1)
    story = daemon.command("explain", "hot")
    for part in (
        ": 35 is above 30",
        "r: call at ",
        "placed at ",
        "IoTCall answered ok; 1 attempt",
        "now raised since ",
    ):
        assert part in story, story
    assert "after that it was raised at " in daemon.command("explain", "hot", "--at", "2020-01-01")
    daemon.stop()
    down = daemon.command("explain", "hot")
    assert "r: call at " in down
    assert "IoTCall answered ok; 1 attempt" in down
    assert "what the alarm is now is missing" in down
    assert len(sandbox.calls) == 1
