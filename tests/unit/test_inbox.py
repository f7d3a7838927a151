"""The one queue: bounded for what may be dropped, and for that only."""

import threading

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.core.reading import Reading, Value
from edge_agent.inbox import Inbox, Item


def done() -> None:
    """Acknowledge."""


def drain(inbox: Inbox) -> list[Item]:
    items: list[Item] = []
    empty = False
    while not empty:
        batch, empty = inbox.take(0)
        items += batch
    return items


def values(items: list[Item], point: str) -> list[object]:
    return [item.value for item in items if isinstance(item, Reading) and item.point == point]


def test_items_come_out_in_order_and_in_batches() -> None:
    inbox = Inbox(batch=2)
    readings = [Reading("p", n, n) for n in range(5)]
    for reading in readings:
        inbox.put(reading)
    assert inbox.take(0) == (readings[:2], False)
    assert inbox.take(0) == (readings[2:4], False)
    assert inbox.take(0) == (readings[4:], True)
    assert inbox.take(0) == ([], True)


def test_when_full_the_newest_number_of_each_point_stays_behind_what_came_before() -> None:
    inbox = Inbox(capacity=2)
    for n in range(6):
        inbox.put(Reading("a", n, n))
        inbox.put(Reading("b", n, n))
    items = drain(inbox)
    assert (values(items, "a"), values(items, "b")) == ([0, 5], [0, 5])
    assert inbox.coalesced == 8


def test_when_full_a_changed_boolean_or_text_stays_and_an_unchanged_one_is_dropped() -> None:
    inbox = Inbox(capacity=1)
    words: list[Value] = [0, True, True, False, False, True, "x", "x", "y", 1, 2, "y"]
    for n, value in enumerate(words):
        inbox.put(Reading("p", value, n))
    assert values(drain(inbox), "p") == [0, True, False, True, "x", "y", 2, "y"]


def test_a_change_is_noticed_also_when_the_queue_was_not_full_in_between() -> None:
    inbox = Inbox(capacity=3, batch=2)
    for value in (1, 2, 3, True):
        inbox.put(Reading("p", value, 0))
    first, _ = inbox.take(0)
    inbox.put(Reading("p", False, 1))
    inbox.put(Reading("p", True, 2))
    assert values(first + drain(inbox), "p") == [1, 2, 3, True, False, True]


def test_what_a_broker_still_holds_is_never_dropped_nor_are_commands() -> None:
    inbox = Inbox(capacity=1)
    for n in range(5):
        inbox.put(Reading("p", n, n, "", done))
        inbox.put(done)
    items = drain(inbox)
    assert values(items, "p") == [0, 1, 2, 3, 4]
    assert items.count(done) == 5


def test_a_reading_held_aside_is_not_slept_upon() -> None:
    inbox = Inbox(capacity=1)
    inbox.put(Reading("p", 1, 1))
    inbox.put(Reading("p", 2, 2))
    assert len(inbox) == 2
    assert values(inbox.take(60)[0], "p") == [1, 2]


def test_a_sleeping_taker_is_woken() -> None:
    inbox = Inbox()
    taken: list[Item] = []
    taker = threading.Thread(target=lambda: taken.extend(inbox.take(30)[0]))
    taker.start()
    inbox.put(done)
    taker.join(10)
    assert taken == [done]


_VALUES = st.one_of(st.integers(0, 3), st.booleans(), st.sampled_from(["a", "b"]), st.none())
_PUTS = st.tuples(st.just("put"), st.sampled_from("pq"), _VALUES, st.booleans())
_TAKES = st.just(("take", "", None, False))


@given(steps=st.lists(st.one_of(_PUTS, _TAKES), max_size=60), capacity=st.integers(1, 4), batch=st.integers(1, 3))
def test_whatever_comes_order_is_kept_and_only_what_may_go_goes(
    steps: list[tuple[str, str, object, bool]], capacity: int, batch: int
) -> None:
    """Each point's items come out in order; its last value arrives; nothing acknowledged or changed is missing."""
    inbox = Inbox(capacity, batch)
    put: list[Reading] = []
    got: list[Item] = []
    for number, (step, point, value, waits) in enumerate(steps):
        if step == "take":
            got += inbox.take(0)[0]
        else:
            put.append(Reading(point, value, number, "", done if waits else None))  # type: ignore[arg-type]
            inbox.put(put[-1])
    got += drain(inbox)
    arrived = {item.at for item in got if isinstance(item, Reading)}
    for point in "pq":
        came = [item for item in got if isinstance(item, Reading) and item.point == point]
        all_ = [reading for reading in put if reading.point == point]
        assert [item.at for item in came] == sorted(item.at for item in came)
        if all_:
            assert (came[-1].value, type(came[-1].value)) == (all_[-1].value, type(all_[-1].value))
        for before, reading in zip([None, *all_], all_, strict=False):
            is_word = isinstance(reading.value, bool | str)
            changed = before is None or before.value != reading.value or type(before.value) is not type(reading.value)
            if reading.done is not None or (is_word and changed):
                assert reading.at in arrived
    assert len(put) == len(arrived) + inbox.coalesced


def test_many_threads_put_and_one_takes() -> None:
    """Of each thread's own point the order holds, and the last value arrives."""
    inbox = Inbox(capacity=50, batch=20)

    def flood(name: str) -> None:
        for n in range(2_000):
            inbox.put(Reading(name, n, n))

    threads = [threading.Thread(target=flood, args=(f"p{n}",)) for n in range(4)]
    got: list[Item] = []
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        got += inbox.take(0.01)[0]
    got += drain(inbox)
    for n in range(4):
        came = values(got, f"p{n}")
        assert came == sorted(came, key=lambda value: int(str(value)))
        assert came[-1] == 1_999
    assert len(got) + inbox.coalesced == 8_000
