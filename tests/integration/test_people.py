"""People's commands at a running agent, below its HTTP API: what is refused, what is done, and when it is answered."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_agent.agent import Agent
from edge_agent.config.loader import load
from edge_agent.core.events import Changes, Event, EventKind
from edge_agent.core.fields import SECOND
from edge_agent.core.reading import Reading
from edge_agent.core.settings import Priority
from edge_agent.delivery.store import DATABASE, ReadOnlyStore
from edge_agent.web.view import Refused

HOUR = 3600 * SECOND
TABLES = """
[agent]
timezone = "UTC"
max_shelve = "12h"
[iotcall]
base_url = "http://127.0.0.1:1"
[iotcall.rules.boss]
url_key = "15aaBBccddeeFF28b89"
[web]
listen = ""
[mqtt.plant]
host = "127.0.0.1"
[sources.door]
type = "serial"
port = "loop://"
[sources.freezer]
type = "mqtt"
topic = "site/+/freezer"
[alarms.open]
input = "door"
above = 30
call = "boss"
[alarms.warm]
input = "freezer"
above = -15
call = "boss"
[alarms.off]
input = "door"
above = 30
enabled = false
"""


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Agent]:
    """An agent whose engine runs, and nothing else of it."""
    monkeypatch.setenv("IOTCALL_AUTH_CODE", "x")
    path = tmp_path / "config.toml"
    path.write_text(TABLES.replace("[agent]\n", f'[agent]\nstate_dir = "{tmp_path / "state"}"\n'))
    one = Agent(load(path, secrets=True), lambda: load(path, secrets=True))
    one.engine_thread.start()
    yield one
    one.engine_thread.stop(5)
    one.outbox.close()


def feed(agent: Agent, **values: float) -> None:
    """Have the engine take readings; returns when what they led to is on disk."""
    taken = threading.Event()
    for name, value in values.items():
        point = name if name == "door" else f"freezer[{name}]"
        agent.inbox.put(Reading(point, value, agent.clock.now(), "", taken.set))
        assert taken.wait(10)
        taken.clear()


def states(agent: Agent) -> dict[tuple[str, str | None], tuple[str, bool, bool]]:
    return {
        (each["alarm"], each["instance"]): (each["state"], each["acknowledged"], each["shelved_until"] is not None)
        for each in agent.view.status()["alarms"]
    }


def on_disk(agent: Agent) -> list[str]:
    """Return the last events, newest first, as another process sees them."""
    store = ReadOnlyStore(agent.config.state_dir / DATABASE)
    try:
        return [row["event"] for row in store.read("SELECT event FROM events ORDER BY id DESC LIMIT 5")]
    finally:
        store.close()


def refusal(command: Callable[[], object]) -> tuple[int, str]:
    with pytest.raises(Refused) as refused:
        command()
    return refused.value.status, str(refused.value)


def test_an_acknowledgement_covers_the_episode_and_is_on_disk_when_it_is_answered(agent: Agent) -> None:
    assert agent.view.acknowledge("open", None) == 0
    feed(agent, door=31)
    assert agent.view.acknowledge("open", None) == 1
    assert on_disk(agent)[0] == "acknowledged"
    assert states(agent)["open", None] == ("raised", True, False)
    assert agent.view.acknowledge("open", None) == 0
    feed(agent, door=29)
    feed(agent, door=31)
    assert states(agent)["open", None] == ("raised", False, False)


def test_one_instance_or_all_of_them(agent: Agent) -> None:
    feed(agent, f1=-10, f2=-10, f3=-20)
    assert agent.view.acknowledge("warm", "f1") == 1
    assert agent.view.acknowledge("warm", None) == 1
    assert agent.view.shelve("warm", None, "2h", None) == 3
    assert agent.view.unshelve("warm", "f2") == 1
    assert agent.view.unshelve("warm", None) == 2
    assert {key[1]: value[1] for key, value in states(agent).items() if key[0] == "warm"} == {
        "f1": True, "f2": True, "f3": False,
    }  # fmt: skip


def test_a_shelf_holds_calls_back_until_it_ends(agent: Agent) -> None:
    assert agent.view.shelve("open", None, 7200, None) == 1
    assert on_disk(agent)[0] == "shelved"
    feed(agent, door=31)
    (owing,) = agent.view.owed()
    assert (owing["alarm"], owing["instance"], owing["rules"]) == ("open", None, ["boss"])
    assert owing["held_back"][0].startswith("shelved")
    assert [call.state for call in agent.outbox.rows()] == ["suppressed"]
    assert agent.view.unshelve("open", None) == 1
    assert [call.state for call in agent.outbox.rows()] == ["waiting"], "tried, but nothing answers there"
    assert agent.view.owed() == []


def test_the_end_of_a_shelf_is_an_instant_of_the_boot_s_clock(agent: Agent) -> None:
    """A wall clock that jumps makes it neither longer nor shorter."""
    wall, now = agent.clock.wall(), agent.clock.now()
    assert agent.view.shelve("open", None, None, (wall + HOUR) / SECOND) == 1
    end = agent.engine_thread.engine.alarms["open", None].shelved_until
    assert end is not None
    assert abs(end - now - HOUR) < SECOND


@pytest.mark.parametrize(
    ("lasts", "until", "words"),
    [
        ("2 hours", None, "for: '2 hours' is no duration; write it like"),
        (0, None, "for: must be more than 0"),
        (-1, None, "is no duration"),
        (True, None, "is no duration"),
        ("13h", None, "agent.max_shelve allows 12h, and this one would last 13h"),
        (None, "2020-01-01T00:00:00", "until is in the past"),
        (None, 0, "until is in the past"),
        (None, "2999-01-01", "agent.max_shelve allows 12h"),
        (None, "tomorrow", "until: "),
        (None, {}, "until: "),
        (None, 1e300, "until: "),
    ],
)
def test_a_shelf_that_is_wrong_is_refused_with_a_sentence(
    agent: Agent, lasts: object, until: object, words: str
) -> None:
    status, said = refusal(lambda: agent.view.shelve("open", None, lasts, until))
    assert status == 400
    assert words in said


def test_the_longest_shelf_is_allowed(agent: Agent) -> None:
    assert agent.view.shelve("open", None, "12h", None) == 1


@pytest.mark.parametrize(
    ("alarm", "instance", "status", "words"),
    [
        ("opne", None, 404, "no alarm is called 'opne'; did you mean \"open\"?"),
        ("xyz", None, 404, "no alarm is called 'xyz'"),
        ("open", "f1", 404, "open has no instances"),
        ("warm", "f9", 404, "warm has no instance 'f9'; there are 'f1'"),
        ("off", None, 409, "off is disabled in the configuration"),
    ],
)
def test_what_is_not_there_is_named(agent: Agent, alarm: str, instance: str | None, status: int, words: str) -> None:
    feed(agent, f1=-10)
    commands: list[Callable[[], object]] = [
        lambda: agent.view.acknowledge(alarm, instance),
        lambda: agent.view.shelve(alarm, instance, "1h", None),
        lambda: agent.view.unshelve(alarm, instance),
    ]
    for command in commands:
        assert refusal(command) == (status, words)
    if status == 404:
        assert refusal(lambda: agent.view.explain(alarm, instance, None)) == (status, words)


def test_an_alarm_of_which_no_instance_was_seen_changes_nothing(agent: Agent) -> None:
    assert agent.view.acknowledge("warm", None) == 0
    assert refusal(lambda: agent.view.unshelve("warm", "f1")) == (
        404, "warm has no instance 'f1'; none was seen yet",
    )  # fmt: skip


def test_a_busy_engine_is_said_and_a_command_that_was_given_up_is_never_done(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_agent.agent_people._WITHIN_S", 0.05)
    feed(agent, door=31)
    release, begun = threading.Event(), threading.Event()

    def hold() -> None:
        begun.set()
        release.wait(10)

    agent.inbox.put(hold)
    assert begun.wait(10)
    status, said = refusal(lambda: agent.view.acknowledge("open", None))
    assert (status, said) == (409, "the engine is busy, and nothing was done; try again")
    release.set()
    feed(agent, door=32)
    assert states(agent)["open", None] == ("raised", False, False)


# Explaining -------------------------------------------------------------------------------------------------------


def told(agent: Agent, alarm: str, instance: str | None = None, at: str | None = None) -> dict[str, Any]:
    return agent.view.explain(alarm, instance, at)


def test_explain_tells_an_alarm_whole(agent: Agent) -> None:
    feed(agent, door=31)
    answer = told(agent, "open")
    assert (answer["alarm"], answer["at"], answer["instances"]) == ("open", None, [])
    (one,) = answer["explained"]
    assert [event["event"] for event in one["events"]] == ["raised", "call"]
    assert [call["id"] for call in one["calls"]] == [1]
    assert one["live"]["conditions"][0]["value"] == 31
    assert one["live"]["state"] == "raised"
    assert any(sentence.startswith("boss: call at ") for sentence in one["answer"])


def test_of_several_instances_those_that_are_not_normal_are_told_unless_one_is_named(agent: Agent) -> None:
    feed(agent, f1=-10, f2=-20, f3=-10)
    then = str(agent.clock.wall() / SECOND)
    answer = told(agent, "warm")
    assert answer["instances"] == ["f1", "f2", "f3"]
    assert [each["instance"] for each in answer["explained"]] == ["f1", "f3"]
    assert [each["instance"] for each in told(agent, "warm", "f2")["explained"]] == ["f2"]
    feed(agent, f1=-20, f3=-20)
    assert (told(agent, "warm")["explained"], told(agent, "warm")["instances"]) == ([], ["f1", "f2", "f3"])
    assert [each["instance"] for each in told(agent, "warm", None, then)["explained"]] == ["f1", "f3"]
    assert told(agent, "warm", None, "2020-01-01")["explained"] == []


def test_another_instant_is_told_without_what_is_now(agent: Agent) -> None:
    feed(agent, door=31)
    (one,) = told(agent, "open", None, "2020-01-01T03:12:00")["explained"]
    assert (one["live"], one["episode"], one["at"]) == (None, None, "2020-01-01T03:12:00.000+00:00")
    assert one["answer"][0].startswith("the agent that runs now was started later, at ")
    assert refusal(lambda: told(agent, "open", None, "yesterday"))[0] == 400


def test_what_is_disabled_or_was_never_seen_is_explained_too(agent: Agent) -> None:
    assert "disabled in the configuration" in told(agent, "off")["explained"][0]["answer"][0]
    assert "never pending nor raised" in told(agent, "warm")["explained"][0]["answer"][0]


def test_an_alarm_that_is_configured_no_more_is_told_from_what_happened_to_it(agent: Agent) -> None:
    gone = Event(agent.clock.now(), EventKind.RAISED, "gone", "x", None, "31 is above 30", 1, Priority.MEDIUM)
    agent.outbox.commit(Changes((gone,), ()))
    (one,) = told(agent, "gone")["explained"]
    assert (one["instance"], one["live"]) == ("x", None)
    assert one["answer"][0] == "the configuration has no such alarm (any more)"


def test_events_can_be_narrowed_and_chatter_is_shown(agent: Agent) -> None:
    feed(agent, f1=-10, f2=-10)
    events, cursor = agent.view.events(None, 10, "warm", "f2")
    assert [event["event"] for event in events] == ["call", "raised"]
    assert cursor is None
    for _ in range(3):
        feed(agent, door=31)
        feed(agent, door=29)
    (chatterer,) = agent.view.chatter()
    assert (chatterer["alarm"], chatterer["instance"], chatterer["raises"]) == ("open", None, 3)
    assert chatterer["last_at"].endswith("+00:00")
