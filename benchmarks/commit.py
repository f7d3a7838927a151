"""The disk: a bare SQLite commit of one row, and the outbox's commit of an alarm raised with its call."""

import sqlite3
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.common import Size, folder
from benchmarks.figures import Row, median
from edge_agent.core.events import AlarmRecord, Changes, Event, EventKind, State, TermMemory
from edge_agent.core.settings import Priority
from edge_agent.delivery.outbox import Outbox
from edge_agent.delivery.store import Store
from edge_agent.system.clock import Clock


def run(size: Size) -> list[Row]:
    """Return the row of one commit's time; both sides in turn, commit by commit."""
    with ExitStack() as stack:
        home = folder(stack)
        bare = _bare(home / "floor.db")
        stack.callback(bare.close)
        clock = Clock()
        store = Store(home / "agent.db")
        stack.callback(store.close)
        outbox = Outbox(store, clock)
        floors, agents = [], []
        for number in range(size.rounds * size.commits):
            begin = time.perf_counter()
            with bare:
                bare.execute("INSERT INTO calls (rule, at, state) VALUES (?, ?, ?)", ("pump", number, "waiting"))
            middle = time.perf_counter()
            outbox.commit(_changes(number, clock.now()))
            floors.append(middle - begin)
            agents.append(time.perf_counter() - middle)
    return [Row("commit of a call, p50", median(floors) * 1e3, median(agents) * 1e3, " ms")]


def _bare(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute("CREATE TABLE calls (id INTEGER PRIMARY KEY, rule TEXT, at INTEGER, state TEXT)")
    return database


def _changes(episode: int, now: int) -> Changes:
    why = "31.5 is above 30"
    events = [
        Event(now, kind, "hot", None, rule, why, episode, Priority.MEDIUM)
        for kind, rule in ((EventKind.RAISED, None), (EventKind.CALL, "pump"))
    ]
    record = AlarmRecord(
        alarm="hot", instance=None, state=State.RAISED, since=now, holds=True, why=why, episode=episode,
        called_at=now, episode_called_at=now, repeats=0, owed=None,
        terms=(TermMemory(holds=True, strict=True, met=True),),
    )  # fmt: skip
    return Changes(tuple(events), (record,))
