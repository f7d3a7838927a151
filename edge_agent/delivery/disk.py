"""The database file: made, opened, looked at without touching it, and set aside when it is unusable.

sqlite3 by hand, since libraries that pickle a queue to disk corrupt it at a power cut; WAL with synchronous=FULL syncs
every commit.
"""

import contextlib
import errno
import json
import os
import shutil
import sqlite3
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from edge_agent.delivery.policy import CallState
from edge_agent.delivery.rows import call_of, load_record, read_clocks

DATABASE = "edge-agent.db"
_APPLICATION_ID = 0x65646765  # "edge"
_BUSY_TIMEOUT_S = 1.0  # writers wait for each other in the store; only another program can be in the way
_MODE = 0o640
_INDEX_BYTES = 65_536
"""For a write-ahead log of 32 MB; it is merged into the file at 4 MB."""
_IN_MEMORY = Path("/dev/shm")  # noqa: S108 - a private folder is made in it
_FIRST = """
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
"""
_SECOND = """
ALTER TABLE calls ADD COLUMN withdrawn INTEGER NOT NULL DEFAULT 0;
ALTER TABLE events ADD COLUMN call INTEGER;
CREATE INDEX events_alarm ON events (alarm, instance) WHERE alarm IS NOT NULL;
CREATE INDEX events_chatter ON events (id) WHERE event IN ('chattering', 'settled');
"""
_STEPS = (_FIRST, _SECOND)
"""What each version adds to the one before it: a new database goes through all of them, so that both are alike."""
VERSION = len(_STEPS)
"""Kept as user_version. A database of a newer one is not touched."""


def connect(path: Path) -> sqlite3.Connection:
    """Return a connection to the database, which is made (0640, the folder's owner's) where there is none.

    Raises:
        sqlite3.DatabaseError (no OperationalError): it is damaged, not ours, or cannot be understood.
        sqlite3.Error, OSError: it cannot be opened or written.
    """
    if not _has_room(path.parent):
        raise full()
    if path.exists():
        inspect(path)
    else:
        _create(path)
    db = _open(path)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        # The log stays at about a megabyte and is written over: growing it anew would cost each commit some metadata.
        db.execute("PRAGMA wal_autocheckpoint = 250")
        db.execute("PRAGMA journal_size_limit = 2097152")
        make_schema(db)
        _reserve_index(path)
    except BaseException:
        db.close()
        raise
    return db


def connect_memory() -> sqlite3.Connection:
    """Return a connection to a new, empty database in memory."""
    return _open(":memory:")


def connect_readonly(path: Path) -> sqlite3.Connection:
    """Return a connection for looking only: another process may be writing, the disk may be full or read-only.

    Raises:
        sqlite3.Error, OSError: it cannot be read.
    """
    if not _has_room(path.parent):
        return _loaded_copy(path)
    try:
        return _open_readonly(path, "mode=ro")
    except sqlite3.OperationalError:
        # Where no index of a write-ahead log can be made, a file without one is all there is.
        return _loaded_copy(path) if _size(_beside(path, "-wal")) else _open_readonly(path, "immutable=1")


def connect_unseen(path: Path) -> sqlite3.Connection:
    """Return a connection for looking at what nobody has open: it leaves no trace, not even a log's index.

    Raises:
        sqlite3.Error, OSError: it cannot be read.
    """
    return _loaded_copy(path) if _size(_beside(path, "-wal")) else _open_readonly(path, "immutable=1")


def inspect(path: Path) -> None:
    """Look, changing nothing, whether a database is ours, whole, and can be understood.

    Raises:
        sqlite3.DatabaseError (no OperationalError): it is not.
        sqlite3.Error, OSError: it cannot be read.
    """
    log, index = _beside(path, "-wal"), _beside(path, "-shm")
    had_log = log.exists()
    before = index.read_bytes() if index.exists() else None
    try:
        with contextlib.closing(connect_readonly(path)) as db:
            examine(db)
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError:
        with contextlib.suppress(OSError):  # reading made an empty log, and rewrote its index: as it was
            if not had_log:
                log.unlink(missing_ok=True)
            index.unlink(missing_ok=True) if before is None else index.write_bytes(before)
        raise


def examine(db: sqlite3.Connection) -> None:
    """Raise sqlite3.DatabaseError where a database is not ours, damaged, or holds what cannot be understood."""
    if _is_empty(db):
        return
    version = db.execute("PRAGMA user_version").fetchone()[0]
    application = db.execute("PRAGMA application_id").fetchone()[0]
    if application != _APPLICATION_ID or not 0 < version <= VERSION:
        raise sqlite3.DatabaseError("it belongs to another program or to a newer version")
    if (flaw := db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
        raise sqlite3.DatabaseError(f"it is damaged: {flaw}")
    try:
        _understand(db)
    except sqlite3.OperationalError as error:
        if primary_code(error) != sqlite3.SQLITE_ERROR:
            raise
        raise sqlite3.DatabaseError(f"it cannot be understood: {error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise sqlite3.DatabaseError(f"it cannot be understood: {error!r}") from error


def make_schema(db: sqlite3.Connection) -> None:
    """Make the tables of an empty database, or add what those of an earlier version lack: all of it, or nothing."""
    version = version_of(db)
    if version == VERSION:
        return
    marks = f"PRAGMA application_id = {_APPLICATION_ID}; PRAGMA user_version = {VERSION};"
    try:
        db.executescript(f"BEGIN IMMEDIATE; {''.join(_STEPS[version:])} {marks} COMMIT;")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def version_of(db: sqlite3.Connection) -> int:
    """Return the version of a database's tables, 0 where there are none."""
    return 0 if _is_empty(db) else int(db.execute("PRAGMA user_version").fetchone()[0])


def set_aside(path: Path) -> str:
    """Rename a database that nobody has open, its bytes unchanged; return its new name."""
    new = _aside_name(path)
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            _beside(path, suffix).rename(_beside(new, suffix))
    return new.name


def set_aside_open(path: Path, db: sqlite3.Connection) -> str:
    """Set aside a database that `db` has open, and close `db`; return its new name.

    Copied first: closing merges the log into the file, and deletes the log by its name.
    """
    new = _aside_name(path)
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            shutil.copy2(_beside(path, suffix), _beside(new, suffix))
    with contextlib.suppress(sqlite3.Error):
        db.close()
    for suffix in ("", "-wal", "-shm"):
        _beside(path, suffix).unlink(missing_ok=True)
    return new.name


def full() -> sqlite3.OperationalError:
    """Return the error of a disk without room."""
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    return error


def primary_code(error: sqlite3.Error) -> int:
    """Return SQLite's result code without its details (0: the error is of the module sqlite3 itself)."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF


def _create(path: Path) -> None:
    fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, _MODE)
    try:
        os.fchmod(fd, _MODE)  # whatever the umask
        if os.geteuid() == 0:
            folder = path.parent.stat()
            os.fchown(fd, folder.st_uid, folder.st_gid)  # made by root's hand, written by the service
    finally:
        os.close(fd)


def _open(path: Path | str, *, uri: bool = False) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False, uri=uri)
    db.row_factory = sqlite3.Row
    return db


def _open_readonly(path: Path, how: str) -> sqlite3.Connection:
    db = _open(f"file:{quote(str(path))}?{how}", uri=True)
    try:
        _is_empty(db)
    except BaseException:
        db.close()
        raise
    return db


def _loaded_copy(path: Path) -> sqlite3.Connection:
    """Return a connection to a copy in memory, of a database of which no index can be made where it lies."""
    with tempfile.TemporaryDirectory(dir=_IN_MEMORY if _IN_MEMORY.is_dir() else None) as folder:
        copy = Path(folder) / path.name
        for suffix in ("", "-wal"):
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(_beside(path, suffix), _beside(copy, suffix))
        with contextlib.closing(_open(copy)) as source:
            memory = connect_memory()
            source.backup(memory)
            return memory


def _has_room(folder: Path) -> bool:
    """Return whether a log's index can be made in a folder, or cannot be touched at all.

    SQLite maps the index into memory. Where a file system finds no block for a page of it, the process gets SIGBUS.
    """
    room = os.statvfs(folder)
    return bool(room.f_flag & os.ST_RDONLY) or room.f_bavail * room.f_frsize >= 2 * _INDEX_BYTES


def _reserve_index(path: Path) -> None:
    """Have the disk set aside, now, what the log's index will need: it must not lack it while it is mapped."""
    fd = os.open(_beside(path, "-shm"), os.O_RDWR | os.O_CLOEXEC)
    try:
        os.posix_fallocate(fd, 0, _INDEX_BYTES)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise  # else it is a file system that cannot reserve
    finally:
        os.close(fd)


def _is_empty(db: sqlite3.Connection) -> bool:
    return not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]


def _understand(db: sqlite3.Connection) -> None:
    """Raise ValueError, KeyError, TypeError or OperationalError where a row says nothing that we could have said."""
    states = json.dumps([str(state) for state in CallState])
    odd = db.execute(
        "SELECT id FROM calls WHERE state NOT IN (SELECT value FROM json_each(?)) OR NOT json_valid(ambiguous) LIMIT 1",
        (states,),
    ).fetchone()
    if odd is not None:
        raise ValueError(f"call {odd[0]}")
    for row in db.execute("SELECT * FROM calls LIMIT 1"):
        call_of(row)
    db.execute("SELECT rule, until, result FROM holds LIMIT 1")
    db.execute("SELECT id, wall, synced, event, alarm, instance, rule, reason FROM events LIMIT 1")
    if version_of(db) > 1:
        db.execute("SELECT withdrawn, call FROM calls, events LIMIT 1")
    for row in db.execute("SELECT record FROM alarms"):
        load_record(row["record"])
    for row in db.execute("SELECT value FROM meta WHERE key = 'clocks'"):
        read_clocks(row["value"])


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _beside(path: Path, suffix: str) -> Path:
    return Path(f"{path}{suffix}")


def _aside_name(path: Path) -> Path:
    """Return a name that is still free."""
    mark = f"{path}.corrupt-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    names = [Path(mark), *(Path(f"{mark}-{number}") for number in range(2, 100))]
    return next((name for name in names if not name.exists()), names[-1])
