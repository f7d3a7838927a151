"""A database of the first version: read as it is, brought up to date whole or not at all, at any kill."""

import contextlib
import json
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from edge_agent.core.events import AlarmRecord, Changes, EventKind, Owed, State
from edge_agent.delivery.disk import VERSION, connect
from edge_agent.delivery.outbox import Outbox
from edge_agent.delivery.store import DATABASE, ReadOnlyStore, Store, open_store
from tests.delivery_kit import FakeClocks, cleared, event

FIRST = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE alarms (key TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE holds (rule TEXT PRIMARY KEY, until INTEGER NOT NULL, result TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE calls (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    rule TEXT NOT NULL,
    alarm TEXT,
    instance TEXT,
    episode INTEGER NOT NULL,
    origin TEXT NOT NULL,
    priority INTEGER NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    created_boot INTEGER NOT NULL,
    created_wall INTEGER NOT NULL,
    created_synced INTEGER NOT NULL,
    lived INTEGER NOT NULL DEFAULT 0,
    fresh_at_age INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    strikes INTEGER NOT NULL DEFAULT 0,
    next_attempt_at INTEGER,
    sending INTEGER NOT NULL DEFAULT 0,
    last_result TEXT,
    last_error TEXT,
    ambiguous TEXT NOT NULL DEFAULT '[]',
    finished_wall INTEGER,
    finished_synced INTEGER NOT NULL DEFAULT 0,
    activation_id TEXT,
    outcome TEXT,
    parent INTEGER
) STRICT;
CREATE INDEX calls_waiting ON calls (rule) WHERE state = 'waiting';
CREATE INDEX calls_failed ON calls (next_attempt_at) WHERE state = 'failed';
CREATE INDEX calls_held ON calls (alarm, episode) WHERE state = 'suppressed';
CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    wall INTEGER NOT NULL,
    synced INTEGER NOT NULL,
    event TEXT NOT NULL,
    alarm TEXT,
    instance TEXT,
    rule TEXT,
    reason TEXT NOT NULL
) STRICT;
PRAGMA application_id = 1701078885;
PRAGMA user_version = 1;
"""
KEY = '["hot", null]'
RECORD = (
    '{"alarm": "hot", "instance": null, "state": "raised", "since": 1000000000, "holds": true,'
    ' "why": "31.5 is above 30", "episode": 1, "called_at": 1000000000, "episode_called_at": 1000000000, "repeats": 2,'
    ' "owed": {"kind": "repeat", "rules": ["pump"]}}'
)
CLOCKS = '["boot-1", 1000000000, 1760000000000000, true]'
ROWS = (
    """
INSERT INTO meta VALUES ('clocks', 'CLOCKS');
INSERT INTO alarms VALUES ('KEY', 'RECORD');
INSERT INTO calls (kind, rule, alarm, episode, origin, priority, state, reason, boot_id, created_boot, created_wall,
    created_synced, next_attempt_at) VALUES ('call', 'pump', 'hot', 1, 'call', 1, 'waiting', '31.5 is above 30',
    'boot-1', 1000000000, 1760000000000000, 1, 1000000000);
INSERT INTO events (wall, synced, event, alarm, rule, reason) VALUES
    (1760000000000000, 1, 'raised', 'hot', NULL, '31.5 is above 30'),
    (1760000000000000, 1, 'call', 'hot', 'pump', '31.5 is above 30');
""".replace("CLOCKS", CLOCKS)
    .replace("KEY", KEY)
    .replace("RECORD", RECORD)
)
REMEMBERED = AlarmRecord(
    alarm="hot",
    instance=None,
    state=State.RAISED,
    since=1_000_000_000,
    holds=True,
    why="31.5 is above 30",
    episode=1,
    called_at=1_000_000_000,
    episode_called_at=1_000_000_000,
    repeats=2,
    owed=Owed(EventKind.REPEAT, ("pump",)),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database as the first version left it, in WAL mode."""
    path = tmp_path / DATABASE
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript(FIRST + ROWS)
    return path


def shape(path: Path) -> set[tuple[str, ...]]:
    """Return every table's columns in order, every index, and the version."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        names = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        tables = {(name, *(str(row[1:]) for row in db.execute(f"PRAGMA table_info({name})"))) for name in names}
        indices = {row for row in db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index'") if row[1]}
        return tables | indices | {(str(db.execute("PRAGMA user_version").fetchone()[0]),)}


def known(outbox: Outbox) -> tuple[object, ...]:
    return (
        outbox.records(),
        [(call.state, call.alarm, call.withdrawn) for call in outbox.rows()],
        [(row["event"], row["rule"], row["call"]) for row in outbox.history.events(None, 10)],
    )


WANTED = ([REMEMBERED], [("waiting", "hot", False)], [("call", "pump", None), ("raised", None, None)])


def test_it_is_brought_up_to_date_and_nothing_is_lost(path: Path) -> None:
    store = open_store(path.parent)
    outbox = Outbox(store, FakeClocks())
    outbox.enter_boot()
    assert (store.trouble, store.set_aside) == (None, None)
    assert known(outbox) == WANTED
    outbox.commit(cleared(1_000_000_001, withdraws=True))
    assert outbox.rows()[0].state == "cancelled"
    store.close()
    assert known(Outbox(Store(path), FakeClocks()))[1] == [("cancelled", "hot", False)]


def test_it_is_then_what_a_new_one_is(path: Path, tmp_path: Path) -> None:
    connect(path).close()
    new = tmp_path / "new"
    new.mkdir()
    connect(new / DATABASE).close()
    assert shape(path) == shape(new / DATABASE)
    assert (str(VERSION),) in shape(path)


def test_only_looking_understands_it_and_changes_nothing(path: Path) -> None:
    before = path.read_bytes()
    view = ReadOnlyStore(path)
    assert known(Outbox(view, FakeClocks())) == WANTED
    view.close()
    assert path.read_bytes() == before
    assert ("1",) in shape(path)


def test_a_disk_that_refuses_leaves_it_and_all_goes_on_in_memory(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = sqlite3.OperationalError("database or disk is full")
    refused.sqlite_errorcode = sqlite3.SQLITE_FULL

    def full(_path: Path) -> sqlite3.Connection:
        raise refused

    with monkeypatch.context() as patch:
        patch.setattr("edge_agent.delivery.disk.connect", full)
        store = open_store(path.parent)
    assert store.trouble is not None
    outbox = Outbox(store, FakeClocks())
    assert known(outbox) == WANTED
    outbox.commit(Changes((event(EventKind.REPEAT, 1_000_000_000),), ()))
    assert ("1",) in shape(path)
    assert store.mend()
    assert (str(VERSION),) in shape(path)
    assert len(outbox.rows()) == 2
    store.close()


KILLED = """
    import os, sqlite3, sys
    from pathlib import Path
    from edge_agent.delivery import disk
    first, second = disk._STEPS
    statements = [each + ";" for each in second.split(";") if each.strip()]
    statements.insert(int(sys.argv[2]), "SELECT die();")
    disk._STEPS = (first, "".join(statements))
    opened = disk._open
    def with_death(*arguments, **options):
        db = opened(*arguments, **options)
        db.create_function("die", 0, lambda: os._exit(9))
        return db
    disk._open = with_death
    disk.connect(Path(sys.argv[1]))
"""


@pytest.mark.parametrize("place", range(5))
def test_killed_at_any_statement_it_is_as_before_and_the_next_start_does_it(path: Path, place: int) -> None:
    code = [sys.executable, "-c", textwrap.dedent(KILLED), str(path), str(place)]
    assert subprocess.run(code, check=False).returncode == 9
    assert ("1",) in shape(path)
    store = open_store(path.parent)
    assert (store.trouble, store.set_aside) == (None, None)
    assert known(Outbox(store, FakeClocks())) == WANTED
    store.close()
    assert (str(VERSION),) in shape(path)


def test_a_record_that_says_nothing_of_ours_is_no_record(path: Path) -> None:
    odd = json.dumps({**json.loads(RECORD), "terms": [[True]]})
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("UPDATE alarms SET record = ?", (odd,))
    with pytest.raises(sqlite3.DatabaseError, match="cannot be understood"):
        ReadOnlyStore(path)
