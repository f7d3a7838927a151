"""The store: one connection to the database for all threads. While the disk refuses writes it lives in memory."""

import contextlib
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from edge_agent.delivery import disk

DATABASE = disk.DATABASE
T = TypeVar("T")
Change = Callable[[sqlite3.Connection], T]
_log = logging.getLogger(__name__)
_NO_DISK = {
    sqlite3.SQLITE_FULL: "there is no room left",
    sqlite3.SQLITE_READONLY: "it is read-only",
    sqlite3.SQLITE_IOERR: "the disk fails",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
}
_BROKEN = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_SPARE_BYTES = 256 * 1024
_TABLES = ("calls", "events")


class Store:
    """The database: `write(change)` is one synced commit, `read` a query. Safe from any thread.

    When the disk refuses a write the store goes on with a copy in memory, repeats the write there and says so in
    `trouble`; `mend()` brings the whole back to disk when it can be written again.
    """

    def __init__(self, path: Path) -> None:
        """Open the database, or make it.

        Raises:
            sqlite3.Error, OSError: it cannot be opened or written, is damaged, or is not ours.
        """
        self._begin(path, disk.connect(path))

    def _begin(self, path: Path, db: sqlite3.Connection) -> None:
        self.path = path
        self._db = db
        self._lock = threading.RLock()
        self._unread = False
        """Only in memory: a database lies on the disk that could not be read."""
        self.changes = 0
        """How many transactions were committed."""
        self.trouble: str | None = None
        """Why the disk cannot be written, and all is in memory only; None: it can."""
        self.set_aside: str | None = None
        """What became of an unusable database; None: there was none."""

    # Reading and writing ------------------------------------------------------------------------------------------

    def write(self, change: Change[T]) -> T:
        """Commit, synced to disk, what `change` does, and return what it returns; nothing of it where it raises.

        `change` may be called a second time, from the start, when the disk refused the first.
        """
        with self._lock:
            try:
                return self._transact(change)
            except sqlite3.Error as error:
                if not self._gave_way(error):
                    raise
                return self._transact(change)

    def _transact(self, change: Change[T]) -> T:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            result = change(self._db)
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        self.changes += 1
        return result

    def read(self, sql: str, *values: object) -> list[sqlite3.Row]:
        """Return the rows of a query."""
        with self._lock:
            try:
                return self._db.execute(sql, values).fetchall()
            except sqlite3.Error as error:
                if not self._gave_way(error):
                    raise
                return self._db.execute(sql, values).fetchall()

    # Without a disk -----------------------------------------------------------------------------------------------

    def _gave_way(self, error: sqlite3.Error) -> bool:
        """Go on elsewhere after an error of the disk or of the file; return False for errors of other kinds."""
        code = disk.primary_code(error)
        if self.trouble is not None:
            return False
        if code in _BROKEN:
            self._replace(error)
            return True
        if code in _NO_DISK:
            self._go_to_memory(_words(error))
            return True
        return False

    def _go_to_memory(self, trouble: str) -> None:
        memory = disk.connect_memory()
        try:
            self._db.backup(memory)
        except sqlite3.Error:
            memory = self._blank()
        old, self._db = self._db, memory
        self._note_trouble(trouble)
        self.changes += 1
        with contextlib.suppress(sqlite3.Error):
            old.close()

    def _blank(self) -> sqlite3.Connection:
        """Return an empty database in memory, whose rows get ids that those of the unread one on disk cannot have."""
        memory = disk.connect_memory()
        disk.make_schema(memory)
        self._unread = self.path.exists()
        if self._unread:
            seconds = int(time.time())
            memory.executemany("INSERT INTO sqlite_sequence VALUES (?, ?)", [(table, seconds) for table in _TABLES])
        return memory

    def _replace(self, error: sqlite3.Error) -> None:
        """Set the damaged database aside, and begin a new one."""
        try:
            name = disk.set_aside_open(self.path, self._db)
            self._db = disk.connect(self.path)
        except (sqlite3.Error, OSError) as refused:
            self._db = self._blank()
            self._note_trouble(_words(refused))
        else:
            self._note_set_aside(name, error)
        self.changes += 1

    def _note_trouble(self, trouble: str) -> None:
        if self.trouble is None:
            _log.error("event=disk_refuses path=%s reason=%r", self.path, trouble)
        self.trouble = trouble

    def _note_set_aside(self, name: str, error: Exception) -> None:
        self.set_aside = f"the outbox could not be read ({error}) and was set aside as {name}"
        _log.error("event=database_set_aside name=%s error=%r", name, str(error))

    def mend(self) -> bool:
        """Bring what is in memory back to disk, and go on there; return whether all is on disk.

        Try it every few seconds while there is `trouble`.
        """
        with self._lock:
            if self.trouble is None:
                return True
            try:
                self._require_room()
                self._db = self._bring_back()
            except (sqlite3.Error, OSError) as error:
                self._note_trouble(_words(error))
                return False
            _log.warning("event=disk_writable path=%s", self.path)
            self.trouble = None
            self._unread = False
            self.changes += 1
            return True

    def _require_room(self) -> None:
        """Raise where the whole does not fit anyway: a vain try would use up what room others still have."""
        pages = self._db.execute("PRAGMA page_count").fetchone()[0]
        size = self._db.execute("PRAGMA page_size").fetchone()[0]
        room = os.statvfs(self.path.parent)
        if room.f_bavail * room.f_frsize < pages * size + min(_SPARE_BYTES, pages * size):
            raise disk.full()

    def _bring_back(self) -> sqlite3.Connection:
        """Return a connection to the file that now holds what is in memory, which is closed."""
        try:
            db = disk.connect(self.path)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            self._note_set_aside(disk.set_aside(self.path), error)
            db = disk.connect(self.path)
        try:
            if self._unread:
                _merge(self._db, db)
            else:
                self._db.backup(db)
                db.execute("PRAGMA synchronous = FULL")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                db.close()
            raise
        self._db.close()
        return db

    def close(self) -> None:
        """Close the file; its write-ahead log is merged into it. May be called twice."""
        with self._lock:
            self.mend()
            self._db.close()


class _Spare(Store):
    """A store that begins in memory, with what can be read of the disk, since the disk cannot be written."""

    def __init__(self, path: Path, trouble: str) -> None:
        self._begin(path, disk.connect_memory())
        self._note_trouble(trouble)
        if not path.exists():
            disk.make_schema(self._db)
            return
        try:
            self._copy_disk()
        except (sqlite3.Error, OSError) as error:
            _log.error("event=database_not_read path=%s error=%r", path, str(error))
            self._db = self._blank()

    def _copy_disk(self) -> None:
        with contextlib.closing(disk.connect_readonly(self.path)) as source:
            source.backup(self._db)
        disk.examine(self._db)
        disk.make_schema(self._db)


class ReadOnlyStore(Store):
    """The database as it is on disk, for looking only: another process may be writing it."""

    def __init__(self, path: Path, connect: Callable[[Path], sqlite3.Connection] = disk.connect_readonly) -> None:
        """Open it. Raises sqlite3.Error: it cannot be read, or is not ours."""
        db = connect(path)
        try:
            disk.examine(db)
            if 0 < disk.version_of(db) < disk.VERSION:
                db = _brought_up(db)
        except BaseException:
            db.close()
            raise
        self._begin(path, db)

    def _gave_way(self, error: sqlite3.Error) -> bool:  # noqa: ARG002 - the base's signature
        """Leave everything as it is."""
        return False


def _brought_up(db: sqlite3.Connection) -> sqlite3.Connection:
    """Return a copy in memory of an earlier version's database as this version has it; closes `db`."""
    memory = disk.connect_memory()
    with contextlib.closing(db):
        db.backup(memory)
    disk.make_schema(memory)
    return memory


def open_store(folder: Path) -> Store:
    """Open the database of a folder, whatever the disk is like.

    One that is unusable is set aside under another name, its bytes unchanged, and a new one begun (see `set_aside`).
    Where the disk cannot be written the store begins in memory (see `trouble`).
    """
    path = folder / DATABASE
    try:
        return _open_or_set_aside(path)
    except (sqlite3.Error, OSError) as error:
        return _Spare(path, _words(error))


def _open_or_set_aside(path: Path) -> Store:
    try:
        return Store(path)
    except sqlite3.OperationalError:
        raise  # no room, no permission, locked: the file itself may be sound
    except sqlite3.DatabaseError as error:
        name = disk.set_aside(path)
        store = Store(path)
        store._note_set_aside(name, error)  # noqa: SLF001 - the same module
        return store


def _merge(memory: sqlite3.Connection, db: sqlite3.Connection) -> None:
    """Add what came about in memory to a database that could not be read meanwhile."""
    db.execute("BEGIN IMMEDIATE")
    try:
        for table in ("calls", "events", "alarms", "holds", "meta"):
            rows = [tuple(row) for row in memory.execute(f"SELECT * FROM {table}")]  # noqa: S608 - a constant
            if rows:
                marks = ", ".join("?" * len(rows[0]))
                db.executemany(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", rows)  # noqa: S608 - constants
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _words(error: Exception) -> str:
    """Return why the disk cannot be written, for people."""
    if isinstance(error, sqlite3.Error):
        return _NO_DISK.get(disk.primary_code(error), str(error))
    return getattr(error, "strerror", None) or str(error)
