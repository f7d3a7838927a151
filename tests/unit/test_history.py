"""What the database tells of what happened: events by alarm, around an instant, and who chattered."""

from pathlib import Path

import pytest

from edge_agent.core.events import EventKind
from edge_agent.core.fields import SECOND
from edge_agent.delivery.history import Chatterer, History
from edge_agent.delivery.outbox import Outbox
from edge_agent.delivery.store import DATABASE, Store
from tests.delivery_kit import HOUR, MINUTE, WALL, FakeClocks, cleared, raised, told

DAY = 24 * HOUR


@pytest.fixture
def clocks() -> FakeClocks:
    return FakeClocks()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / DATABASE)


@pytest.fixture
def outbox(store: Store, clocks: FakeClocks) -> Outbox:
    return Outbox(store, clocks)


@pytest.fixture
def history(outbox: Outbox) -> History:
    return outbox.history


def test_events_of_one_alarm_and_of_one_instance(outbox: Outbox, history: History, clocks: FakeClocks) -> None:
    for instance in ("f1", "f2", "f1", "f\udfff"):
        outbox.commit(told(EventKind.RAISED, clocks.now(), instance=instance))
    outbox.commit(told(EventKind.RAISED, clocks.now(), alarm="cold"))

    def ids(*wanted: str) -> list[int]:
        return [row["id"] for row in history.events(None, 100, *wanted)]

    assert ids() == [5, 4, 3, 2, 1]
    assert ids("hot") == [4, 3, 2, 1]
    assert ids("hot", "f1") == [3, 1]
    assert ids("hot", "f\udfff") == [4]
    assert ids("cold", "f1") == ids("warm") == []
    assert [row["id"] for row in history.events(3, 1, "hot", "f1")] == [1]
    assert history.instances("hot") == ["f?", "f1", "f2"]
    assert history.instances("cold") == [None]


def test_events_near_an_instant_are_those_before_and_after_it(
    outbox: Outbox, history: History, clocks: FakeClocks
) -> None:
    for number in range(1500):
        outbox.commit(told(EventKind.REPEAT, clocks.now(), reason=str(number)))
        clocks.move(MINUTE)
    near = history.near("hot", None, WALL + 700 * MINUTE)
    assert [int(row["reason"]) for row in near] == list(range(201, 1201))
    assert [int(row["reason"]) for row in history.near("hot", None, None)] == list(range(1000, 1500))
    assert [int(row["reason"]) for row in history.near("hot", None, WALL - DAY)] == list(range(500))
    assert history.near("hot", "f1", None) == []


def test_a_story_is_an_episode_with_its_calls(outbox: Outbox, history: History, clocks: FakeClocks) -> None:
    for episode in (1, 2, 3):
        outbox.commit(raised(clocks.now(), episode=episode, instance="f1"))
        clocks.move(MINUTE)
        outbox.commit(cleared(clocks.now(), episode=episode, instance="f1"))
        clocks.move(HOUR)
    story = history.story("hot", "f1", None)
    assert [call.id for call in story.calls] == [3]
    assert len(story.events) == 9
    assert story.episode is not None
    assert [event["event"] for event in story.episode.events] == ["raised", "call", "cleared"]
    assert [call.id for call in history.story("hot", "f1", WALL + HOUR + 90 * SECOND).calls] == [2]
    between = history.story("hot", "f1", WALL + 30 * MINUTE)
    assert (between.episode, between.calls) == (None, [])
    assert history.story("hot", None, None).events == []


def test_calls_that_events_do_not_name_are_found_by_when_they_were_made(
    outbox: Outbox, store: Store, history: History, clocks: FakeClocks
) -> None:
    """Events of the first version name none."""
    for episode in (1, 2):
        outbox.commit(raised(clocks.now(), episode=episode))
        clocks.move(MINUTE)
        outbox.commit(cleared(clocks.now(), episode=episode))
        clocks.move(HOUR)
    store.write(lambda db: db.execute("UPDATE events SET call = NULL"))
    assert [call.id for call in history.story("hot", None, None).calls] == [2]
    assert [call.id for call in history.story("hot", None, WALL).calls] == [1]


def settle(outbox: Outbox, at: int, alarm: str, reason: str, instance: str | None = None) -> None:
    outbox.commit(told(EventKind.CHATTERING, at, "raised 3 times within a minute", alarm=alarm, instance=instance))
    outbox.commit(told(EventKind.SETTLED, at + SECOND, reason, alarm=alarm, instance=instance))


def test_who_chattered_the_worst_first(outbox: Outbox, history: History, clocks: FakeClocks) -> None:
    now = clocks.now()
    settle(outbox, now, "old", "raised 900 times in 5m; one episode with deadband = 1")
    clocks.move(8 * DAY)
    now = clocks.now()
    settle(outbox, now, "hot", "raised 5 times in 30s; one episode with deadband = 1")
    settle(outbox, now, "hot", 'raised 7 times in 40s; one episode with deadband = 2 or off_delay = "5s"')
    settle(outbox, now, "door", "raised 20 times in 40s", "a")
    outbox.commit(told(EventKind.CHATTERING, now, "raised 3 times within a minute", alarm="lid"))
    assert history.chatter(clocks.wall()) == [
        Chatterer("door", "a", 20, clocks.wall() + SECOND, "give it an off_delay, or where it has a limit a deadband"),
        Chatterer("hot", None, 12, clocks.wall() + SECOND, 'one episode with deadband = 2 or off_delay = "5s"'),
        Chatterer("lid", None, 3, clocks.wall(), "give it an off_delay, or where it has a limit a deadband"),
    ]
    clocks.move(8 * DAY)
    assert history.chatter(clocks.wall()) == []


def test_who_chatters_and_who_is_asked_for_is_looked_up_by_an_index(store: Store) -> None:
    """A hundred thousand events are not read through, least of all with the store's lock held."""
    plans = [
        "SELECT * FROM events WHERE event IN ('chattering', 'settled') ORDER BY id",
        "SELECT * FROM events WHERE alarm = 'a' AND instance IS NULL AND id <= 9 ORDER BY id DESC LIMIT 5",
    ]
    found = [str(tuple(store.read(f"EXPLAIN QUERY PLAN {sql}")[0])) for sql in plans]
    assert "events_chatter" in found[0]
    assert "events_alarm" in found[1]
