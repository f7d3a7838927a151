"""What the tests of delivery share: clocks that are moved by hand, a client that answers as told, alarms to commit."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from edge_agent.core.events import AlarmRecord, Changes, Event, EventKind, Owed, State
from edge_agent.core.fields import SECOND
from edge_agent.core.settings import Priority
from edge_agent.delivery.outbox import Outbox
from edge_agent.delivery.rows import Call
from edge_agent.delivery.store import DATABASE, Store
from edge_agent.iotcall.outcome import Outcome, Result
from edge_agent.iotcall.settings import RuleSettings

MINUTE = 60 * SECOND
HOUR = 3600 * SECOND
WALL = 1_760_000_000 * SECOND
PLACED = Outcome(Result.PLACED, "placed")
OFFLINE = Outcome(Result.OFFLINE, "no connection")
AMBIGUOUS = Outcome(Result.AMBIGUOUS, "no answer")


class FakeClocks:
    """Both clocks, standing still until they are moved."""

    def __init__(self, boot_id: str = "boot-1", now: int = 1_000 * SECOND, wall: int = WALL) -> None:
        self.boot_id = boot_id
        self.boot = now
        self.world = wall
        self.right = True

    def now(self) -> int:
        return self.boot

    def wall(self) -> int:
        return self.world

    def synced(self) -> bool:
        return self.right

    def observe(self, date: datetime) -> None:
        """Take no notice."""

    def move(self, by: int) -> None:
        """Let time pass."""
        self.boot += by
        self.world += by


class FakeClient:
    """Answers each attempt by `answer(url_key)`; notes when each was sent. One that is offline sends nothing."""

    def __init__(self, clocks: FakeClocks, answer: Callable[[str], Outcome]) -> None:
        self.clocks = clocks
        self.answer = answer
        self.line_is_up = True
        self.sent: list[tuple[int, str]] = []
        self.probes = 0
        self._lock = threading.Lock()

    def trigger(self, url_key: str, before_send: Callable[[], None] | None = None) -> Outcome:
        if not self.line_is_up:
            return OFFLINE
        if before_send is not None:
            before_send()
        with self._lock:
            self.sent.append((self.clocks.now(), url_key))
        return self.answer(url_key)

    def probe(self) -> bool:
        self.probes += 1
        return self.line_is_up


def rule(url_key: str = "KEY", **others: object) -> RuleSettings:
    return RuleSettings.model_validate({"url_key": url_key, **others})


def event(
    kind: EventKind,
    at: int,
    rule: str | None = "pump",
    alarm: str = "hot",
    instance: str | None = None,
    episode: int = 1,
    priority: Priority = Priority.MEDIUM,
    reason: str = "31.5 is above 30",
) -> Event:
    return Event(at, kind, alarm, instance, rule, reason, episode, priority)


def told(kind: EventKind, at: int, reason: str = "31.5 is above 30", **others: object) -> Changes:
    """An event of no rule, alone."""
    return Changes((event(kind, at, None, reason=reason, **others),), ())  # type: ignore[arg-type]


def record(
    at: int,
    alarm: str = "hot",
    instance: str | None = None,
    episode: int = 1,
    state: State = State.RAISED,
    owed: Owed | None = None,
) -> AlarmRecord:
    return AlarmRecord(
        alarm=alarm,
        instance=instance,
        state=state,
        since=at,
        holds=state is State.RAISED,
        why="why",
        episode=episode,
        called_at=at,
        episode_called_at=at,
        repeats=0,
        owed=owed,
    )


def raised(at: int, rule: str = "pump", alarm: str = "hot", episode: int = 1, **others: object) -> Changes:
    """An alarm that is raised and calls."""
    call = event(EventKind.CALL, at, rule, alarm, episode=episode, **others)  # type: ignore[arg-type]
    first = event(EventKind.RAISED, at, None, alarm, call.instance, episode)
    return Changes((first, call), (record(at, alarm, call.instance, episode),))


def cleared(
    at: int, alarm: str = "hot", episode: int = 1, instance: str | None = None, *, withdraws: bool = False
) -> Changes:
    """An alarm that clears; `withdraws`: it has cancel_on_clear."""
    last = replace(event(EventKind.CLEARED, at, None, alarm, instance, episode), withdraws=withdraws)
    return Changes((last,), (record(at, alarm, instance, episode, State.NORMAL),))


@contextmanager
def opened(folder: Path, clocks: FakeClocks) -> Iterator[Outbox]:
    """The outbox of a folder, as a started agent has it; left open as by a kill when the block ends by an error."""
    store = Store(folder / DATABASE)
    outbox = Outbox(store, clocks)
    outbox.enter_boot()
    try:
        yield outbox
    finally:
        store.close()


def only(outbox: Outbox) -> Call:
    """The one row there is."""
    (call,) = outbox.rows()
    return call
