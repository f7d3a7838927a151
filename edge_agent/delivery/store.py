"""The database file: opened, made, set aside when it is unusable.

sqlite3 by hand, since libraries that pickle a queue to disk corrupt it at a power cut; WAL with synchronous=FULL syncs
every commit.
"""

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

DATABASE = "edge-agent.db"
_APPLICATION_ID = 0x65646765  # "edge"
_VERSION = 1
_BUSY_TIMEOUT_S = 5.0
_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE alarms (key TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT;
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
    attempts INTEGER NOT NULL DEFAULT 0,
    strikes INTEGER NOT NULL DEFAULT 0,
    next_attempt_at INTEGER,
    sending INTEGER NOT NULL DEFAULT 0,
    last_result TEXT,
    last_error TEXT,
    ambiguous TEXT NOT NULL DEFAULT '[]',
    finished_wall INTEGER,
    activation_id TEXT,
    outcome TEXT,
    parent INTEGER
) STRICT;
CREATE INDEX calls_open ON calls (state, rule) WHERE state IN ('waiting', 'failed', 'suppressed');
CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    wall INTEGER NOT NULL,
    event TEXT NOT NULL,
    alarm TEXT,
    instance TEXT,
    rule TEXT,
    reason TEXT NOT NULL
) STRICT;
"""


class Store:
    """One connection to the database, for all threads: `with store.transaction() as db` is one synced commit."""

    def __init__(self, path: Path, uri: str | None = None) -> None:
        """Open the database, or make it.

        Raises:
            sqlite3.Error, OSError: it cannot be opened, written, or is not ours.
        """
        self.path = path
        self._lock = threading.RLock()
        self.changes = 0
        """How many transactions were committed."""
        self.trouble: str | None = None
        """Why the disk cannot be written; None: it can."""
        if uri is None:
            os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o640))
        self._db = sqlite3.connect(
            uri or path,
            timeout=_BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
            uri=uri is not None,
        )
        try:
            self._prepare()
        except BaseException:
            self._db.close()
            raise

    def _prepare(self) -> None:
        self._db.row_factory = sqlite3.Row
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        application = self._db.execute("PRAGMA application_id").fetchone()[0]
        tables = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables and (application != _APPLICATION_ID or not 0 < version <= _VERSION):
            raise sqlite3.DatabaseError("it belongs to another program or to a newer version")
        if tables and (flaw := self._db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise sqlite3.DatabaseError(f"it is damaged: {flaw}")
        self._make()

    def _make(self) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("PRAGMA journal_size_limit = 1048576")
        if not self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            self._db.executescript(
                f"BEGIN; {_SCHEMA} PRAGMA application_id = {_APPLICATION_ID}; PRAGMA user_version = {_VERSION}; COMMIT;"
            )

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit, synced to disk, what is done inside; roll back if it raises."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
                self.changes += 1
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def read(self, sql: str, *values: object) -> list[sqlite3.Row]:
        """Return the rows of a query."""
        with self._lock:
            return self._db.execute(sql, values).fetchall()

    def close(self) -> None:
        """Close the file; its write-ahead log is merged into it. May be called twice."""
        with self._lock:
            self._db.close()


class ReadOnlyStore(Store):
    """The database as it is on disk, for looking only: another process may be writing it."""

    def __init__(self, path: Path) -> None:
        """Open it. Raises sqlite3.Error: it cannot be read, or is not ours."""
        super().__init__(path, f"file:{quote(str(path))}?mode=ro")

    def _make(self) -> None:
        """Leave everything as it is."""


def open_or_set_aside(folder: Path) -> tuple[Store, str | None]:
    """Open the database of a folder; one that is unusable is set aside under another name, its bytes unchanged.

    Returns:
        The store, and what happened to an unusable one (None: nothing did).

    Raises:
        sqlite3.Error, OSError: not even a new one can be made.
    """
    path = folder / DATABASE
    try:
        return Store(path), None
    except sqlite3.OperationalError:
        raise  # no room, no permission, locked: the file itself may be sound
    except sqlite3.DatabaseError as error:
        mark = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                Path(f"{path}{suffix}").rename(f"{path}.corrupt-{mark}{suffix}")
        return Store(path), f"the outbox could not be read ({error}) and was set aside as {path.name}.corrupt-{mark}"
