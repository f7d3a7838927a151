"""The database file: durable, private, set aside when unusable, and in memory while the disk refuses."""

import os
import shutil
import sqlite3
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.delivery.disk import VERSION, connect, inspect
from edge_agent.delivery.store import DATABASE, ReadOnlyStore, Store, open_store
from tests.helpers import need

WRITER = """
    import os, sys
    from pathlib import Path
    from edge_agent.delivery.store import Store
    store = Store(Path(sys.argv[1]))
    for n in range(int(sys.argv[2])):
        def change(db, n=n):
            for part in range(5):
                db.execute("INSERT INTO meta VALUES (?, 'x')", (f"{os.getpid()} {n} {part}",))
        store.write(change)
    if len(sys.argv) > 3:
        sys.stdout.write("ready"); sys.stdout.flush()
        sys.stdin.read()
    os._exit(0)
"""


def writer(path: Path, commits: int, *more: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(WRITER), str(path), str(commits), *more]


def put(store: Store, key: str) -> None:
    store.write(lambda db: db.execute("INSERT INTO meta VALUES (?, 'x')", (key,)))


def keys(store: Store) -> list[str]:
    return [row["key"] for row in store.read("SELECT key FROM meta ORDER BY key")]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / DATABASE


@pytest.fixture
def wide_open() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


# Durable ----------------------------------------------------------------------------------------------------------


def test_every_commit_is_synced(path: Path) -> None:
    db = connect(path)
    assert db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert db.execute("PRAGMA synchronous").fetchone()[0] == 2, "FULL"
    db.close()


def test_each_write_is_one_commit_with_one_fsync(path: Path) -> None:
    """What kill -9 cannot tell (the page cache survives it), the system calls do: 20 writes of 5 rows each."""
    strace = need("strace")
    counts = path.with_name("counts")

    def syncs(commits: int) -> int:
        command = [strace, "-f", "-c", "-o", str(counts), "-e", "trace=fsync,fdatasync", *writer(path, commits)]
        done = subprocess.run(command, capture_output=True, check=False, text=True)
        if done.returncode:
            pytest.fail(done.stderr)
        rows = [line.split() for line in counts.read_text().splitlines() if line.endswith("sync")]
        return sum(int(row[3]) for row in rows)

    syncs(1)
    assert 20 <= syncs(21) - syncs(1) <= 25


def test_a_write_that_raises_leaves_nothing(path: Path) -> None:
    store = Store(path)

    def change(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO meta VALUES ('half', 'x')")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.write(change)
    put(store, "whole")
    assert keys(store) == ["whole"]
    assert store.changes == 1
    store.close()
    store.close()


def test_what_was_committed_survives_a_kill(path: Path) -> None:
    subprocess.run(writer(path, 7), check=True)
    store = Store(path)
    assert len(keys(store)) == 35
    store.close()


# Private ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_the_files_are_0640_whatever_the_umask(path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        store = Store(path)
        put(store, "a")
        modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
        store.close()
    finally:
        os.umask(before)
    assert modes == dict.fromkeys((DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm"), 0o640)


def test_what_root_makes_belongs_to_the_folder_s_owner(path: Path) -> None:
    if os.geteuid():
        pytest.skip("needs root")
    os.chown(path.parent, 65534, 65534)
    Store(path).close()
    assert (path.stat().st_uid, path.stat().st_gid) == (65534, 65534)


# Looking ----------------------------------------------------------------------------------------------------------


def test_it_can_be_looked_at_while_another_process_writes(path: Path) -> None:
    with subprocess.Popen(writer(path, 3, "stay"), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.read(5) == b"ready"
        view = ReadOnlyStore(path)
        assert len(keys(view)) == 15
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            put(view, "mine")
        assert view.trouble is None
        view.close()
        other.communicate(b"", timeout=10)


@pytest.mark.parametrize("clean", [True, False])
def test_it_can_be_looked_at_while_nobody_runs(path: Path, *, clean: bool) -> None:
    subprocess.run(writer(path, 2), check=True)
    if clean:
        Store(path).close()
    view = ReadOnlyStore(path)
    assert len(keys(view)) == 10
    view.close()


def test_looking_needs_no_right_to_write(path: Path) -> None:
    """As a member of the group does: the folder is readable, nothing in it can be made."""
    if os.geteuid():
        pytest.skip("needs root to become nobody")
    store = Store(path)
    put(store, "a")
    store.close()
    os.chown(path, 0, 65534)
    look = f"from edge_agent.delivery.store import ReadOnlyStore as R; from pathlib import Path; R(Path({str(path)!r}))"
    for folder in (path.parent, *path.parent.parents[:2]):
        folder.chmod(0o755)
    code = f"import os; import edge_agent.delivery.store; os.setgid(65534); os.setuid(65534); {look}"
    subprocess.run([sys.executable, "-c", code], check=True)


# Unusable ---------------------------------------------------------------------------------------------------------


def garbage(path: Path) -> None:
    path.write_bytes(b"no database, but long enough to be one" * 500)


def damaged(path: Path) -> None:
    """Whole at its head, torn in its middle: as after a bad SD card."""
    store = Store(path)
    for n in range(300):
        put(store, f"{n} {'x' * 200}")
    store.close()
    with path.open("r+b") as file:
        file.seek(4096 * 4)
        file.write(os.urandom(4096 * 6))


def foreign(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE theirs (a)")
    db.close()


def newer(path: Path) -> None:
    subprocess.run(writer(path, 1), check=True)
    with sqlite3.connect(path, isolation_level=None) as db:
        db.execute(f"PRAGMA user_version = {VERSION + 1}")
    db.close()


def newer_in_its_log(path: Path) -> None:
    """Killed: what is new stands in the write-ahead log only."""
    Store(path).close()
    code = (
        f"import sqlite3, os; db = sqlite3.connect({str(path)!r});"
        f" db.execute('PRAGMA user_version = {VERSION + 1}'); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def incomprehensible(path: Path) -> None:
    store = Store(path)
    store.write(lambda db: db.execute("INSERT INTO alarms VALUES ('k', 'no json')"))
    store.close()


def odd_state(path: Path) -> None:
    subprocess.run(writer(path, 1), check=True)
    with sqlite3.connect(path) as db:
        db.execute(
            "INSERT INTO calls (kind, rule, episode, origin, priority, state, reason, boot_id, created_boot,"
            " created_wall, created_synced) VALUES ('call', 'r', 1, 'call', 1, 'lost', '', 'b', 1, 1, 1)"
        )
    db.close()


def table_gone(path: Path) -> None:
    store = Store(path)
    store.write(lambda db: db.execute("DROP TABLE events"))
    store.close()


@pytest.mark.parametrize(
    "make", [garbage, damaged, foreign, newer, newer_in_its_log, incomprehensible, odd_state, table_gone]
)
def test_an_unusable_database_is_set_aside_as_it_is_and_a_new_one_begun(path: Path, make: object) -> None:
    assert callable(make)
    make(path)
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    with pytest.raises(sqlite3.DatabaseError):
        ReadOnlyStore(path)
    assert path.read_bytes() == before[DATABASE], "only looking changes nothing"
    shutil.rmtree(path.parent)
    path.parent.mkdir()
    for name, raw in before.items():
        path.with_name(name).write_bytes(raw)
    store = open_store(path.parent)
    assert store.trouble is None
    assert store.set_aside is not None
    put(store, "new")
    assert keys(store) == ["new"]
    aside = {file.name: file.read_bytes() for file in path.parent.iterdir() if ".corrupt-" in file.name}
    (name,) = [name for name in aside if not name.endswith(("-wal", "-shm"))]
    assert name in store.set_aside
    assert {each.replace(name, DATABASE): raw for each, raw in aside.items()} == before
    store.close()


def test_a_second_one_in_the_same_second_gets_a_name_of_its_own(path: Path) -> None:
    for _ in range(3):
        garbage(path)
        open_store(path.parent).close()
    assert len(list(path.parent.glob("*.corrupt-*"))) == 3


def test_a_sound_database_is_kept(path: Path) -> None:
    subprocess.run(writer(path, 1), check=True)
    inspect(path)
    store = open_store(path.parent)
    assert (store.set_aside, len(keys(store))) == (None, 5)
    store.close()


def test_damage_found_while_running_is_set_aside_too(path: Path) -> None:
    store = Store(path)
    for n in range(600):
        store.write(lambda db, n=n: db.execute("INSERT INTO meta VALUES (?, ?)", (f"k{n}", "x" * 3000)))  # type: ignore[misc]
    store.close()
    store = Store(path)
    with path.open("r+b") as file:
        file.seek(4096 * 3)
        file.write(os.urandom(4096 * 500))
    broken = path.read_bytes()
    for n in range(600):
        put(store, f"new {n}")
    store.read("SELECT * FROM meta")
    put(store, "last")
    assert store.set_aside is not None
    assert "last" in keys(store)
    (aside,) = [file for file in path.parent.glob("*.corrupt-*") if not file.name.endswith(("-wal", "-shm"))]
    assert aside.read_bytes() == broken
    store.close()
    assert "last" in keys(Store(path))


def test_other_errors_are_the_callers(path: Path) -> None:
    store = Store(path)
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        store.write(lambda db: db.execute("INSERT INTO nowhere VALUES (1)"))
    with pytest.raises(sqlite3.IntegrityError):
        store.write(lambda db: db.execute("INSERT INTO meta VALUES ('k', NULL)"))
    assert (store.trouble, store.set_aside) == (None, None)
    store.close()


# Without a disk ---------------------------------------------------------------------------------------------------


class Refusing:
    """A change that finds the disk refusing once, in the middle of what it does."""

    def __init__(self, code: int, key: str = "half") -> None:
        self.key = key
        self.error: sqlite3.OperationalError | None = sqlite3.OperationalError("refused")
        self.error.sqlite_errorcode = code
        self.runs = 0

    def __call__(self, db: sqlite3.Connection) -> str:
        self.runs += 1
        db.execute("INSERT INTO meta VALUES (?, 'x')", (self.key,))
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        return "done"


CODES = [sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR | 3 << 8]


@pytest.mark.parametrize("code", CODES)
def test_a_refused_write_is_repeated_in_memory_and_comes_back_to_disk(path: Path, code: int) -> None:
    store = Store(path)
    put(store, "before")
    change = Refusing(code)
    assert store.write(change) == "done"
    assert change.runs == 2
    assert store.trouble is not None
    put(store, "meanwhile")
    assert keys(store) == ["before", "half", "meanwhile"]
    view = ReadOnlyStore(path)
    assert keys(view) == ["before"], "the disk knows nothing of it"
    view.close()
    assert store.mend()
    assert store.trouble is None
    put(store, "after")
    store.close()
    store = Store(path)
    assert keys(store) == ["after", "before", "half", "meanwhile"]
    assert store.read("PRAGMA journal_mode")[0][0] == "wal"
    assert store.read("PRAGMA synchronous")[0][0] == 2
    store.close()


def test_a_disk_that_comes_and_goes_under_many_writers_loses_and_doubles_nothing(path: Path) -> None:
    """Each writer's rows are whole, once, and in its order."""
    store = Store(path)

    def flood(name: str) -> None:
        for n in range(150):
            sql = "INSERT INTO events (wall, synced, event, reason) VALUES (0, 0, ?, '')"
            store.write(lambda db, n=n, sql=sql: db.execute(sql, (f"{name} {n:03}",)))  # type: ignore[misc]

    writers = [threading.Thread(target=flood, args=(f"w{n}",)) for n in range(4)]
    for thread in writers:
        thread.start()
    troubles = 0
    while any(thread.is_alive() for thread in writers):
        refusing = Refusing(sqlite3.SQLITE_FULL, f"trouble {troubles}")
        store.write(refusing)
        troubles += 1
        assert store.mend()
    store.close()
    store = Store(path)
    rows = [row["event"] for row in store.read("SELECT event FROM events ORDER BY id")]
    assert sorted(rows) == sorted(f"w{n} {m:03}" for n in range(4) for m in range(150))
    assert sorted(keys(store)) == sorted(f"trouble {n}" for n in range(troubles))
    for n in range(4):
        assert [row for row in rows if row.startswith(f"w{n}")] == [f"w{n} {m:03}" for m in range(150)]
    store.close()


def test_closing_brings_it_back_too(path: Path) -> None:
    store = Store(path)
    store.write(Refusing(sqlite3.SQLITE_FULL))
    store.close()
    store = Store(path)
    assert keys(store) == ["half"]
    store.close()


def test_mend_syncs_and_goes_on_syncing(path: Path) -> None:
    store = Store(path)
    store.write(Refusing(sqlite3.SQLITE_FULL))
    store.mend()
    assert store.read("PRAGMA synchronous")[0][0] == 2
    store.close()


def test_a_database_that_could_not_be_read_is_added_to_not_overwritten(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The agent began without it; what lay there and what came about meanwhile are both kept, ids included."""

    def row(store: Store) -> int:
        return store.write(
            lambda db: int(
                db.execute(
                    "INSERT INTO calls (kind, rule, episode, origin, priority, state, reason, boot_id, created_boot,"
                    " created_wall, created_synced) VALUES ('call', 'r', 1, 'call', 1, 'waiting', '', 'b', 1, 1, 1)"
                ).lastrowid
                or 0
            )
        )

    store = Store(path)
    assert row(store) == 1
    store.close()
    refused = sqlite3.OperationalError("disk I/O error")
    refused.sqlite_errorcode = sqlite3.SQLITE_IOERR

    def fail(*_: object) -> None:
        raise refused

    with monkeypatch.context() as patch:
        for name in ("connect", "connect_readonly"):
            patch.setattr(f"edge_agent.delivery.disk.{name}", fail)
        store = open_store(path.parent)
    assert store.trouble == "the disk fails"
    second = row(store)
    assert second > 1_000_000
    assert store.mend()
    assert [each["id"] for each in store.read("SELECT id FROM calls ORDER BY id")] == [1, second]
    assert row(store) == second + 1
    store.close()
