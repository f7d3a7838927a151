"""The outbox: calls, alarm records and events on disk. Each method is one transaction, safe from any thread.

Here are the engine's side and that of people; the sender's is `Dispatch`, what happened tells `History`.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from edge_agent.core.events import AlarmRecord, Changes, Event, EventKind
from edge_agent.delivery.dispatch import Dispatch
from edge_agent.delivery.history import History
from edge_agent.delivery.policy import LINE, CallState
from edge_agent.delivery.rows import (
    Call,
    Clocks,
    ClocksNote,
    Subject,
    alarm_key,
    call_of,
    dump_record,
    load_record,
    log_event,
    note_clocks,
    read_clocks,
    storable,
)
from edge_agent.delivery.store import Store
from edge_agent.iotcall.outcome import Result

_CALLS = (EventKind.CALL, EventKind.REPEAT)
_STUCK_ATTEMPTS = 3
_NO_EXPRESS: Mapping[str, bool] = {}
_KEEP_RECORD = "INSERT OR REPLACE INTO alarms VALUES (?, ?)"


@dataclass(frozen=True, slots=True)
class Summary:
    """What is in the outbox, counted."""

    changes: int
    counts: dict[str, int]
    """{state: rows}, every state"""
    waiting_auth: int
    waiting_line: int
    line_error: str | None
    """Why the line could not be used the last time."""
    line_taken: bool
    """Something else than IoTCall answered: a captive portal, a proxy."""
    stuck_rules: dict[str, str]
    """{rule a call of which IoTCall itself has not taken in several attempts: the last error}"""
    failed_rules: dict[str, str]
    """{rule whose last finished call failed or expired: the error}"""


class Outbox:
    """What must not be lost. What a method has returned from is on disk, or said to be in memory (`Store.trouble`)."""

    def __init__(self, store: Store, clocks: Clocks) -> None:
        self._store = store
        self._clocks = clocks
        self.dispatch = Dispatch(store, clocks)
        """The sender's side."""
        self.history = History(store)
        """What happened."""
        self._summary: Summary | None = None

    # Starting and ending ------------------------------------------------------------------------------------------

    def enter_boot(self) -> None:
        """Move all instants of an earlier boot to this boot's clock; call it first, as the owner of the state folder.

        Of the time between two boots only what the wall clock vouches for, right on both sides, has passed. In the
        same boot nothing is done.
        """
        last = self._last_clocks()
        if last is None or last.boot_id == self._clocks.boot_id:
            return
        away = max(self._clocks.wall() - last.wall, 0) if last.synced and self._clocks.synced() else 0
        shift = self._clocks.now() - away - last.boot

        def change(db: sqlite3.Connection) -> None:
            records = [load_record(row["record"]).shifted(shift) for row in db.execute("SELECT record FROM alarms")]
            db.executemany(_KEEP_RECORD, map(_alarm_row, records))
            self.dispatch.shift(db, last, shift)
            note_clocks(db, self._clocks)

        self._store.write(change)

    def note_auth_code(self, code: str) -> None:
        """Make due what waits for another AuthCode, where this one is another than at the last start.

        Of the code only 16 bits of a hash are kept: enough to notice a change, and of no use to anybody else.
        """
        mark = hashlib.sha256(code.encode()).hexdigest()[:4]
        if [row["value"] for row in self._store.read("SELECT value FROM meta WHERE key = 'auth'")] != [mark]:
            self._store.write(lambda db: db.execute("INSERT OR REPLACE INTO meta VALUES ('auth', ?)", (mark,)))
            self.dispatch.release_auth()

    def _last_clocks(self) -> ClocksNote | None:
        rows = self._store.read("SELECT value FROM meta WHERE key = 'clocks'")
        return read_clocks(rows[0]["value"]) if rows else None

    def close(self) -> None:
        """Note the clocks, for delays that go on after a power-off, and close the database."""
        self._store.write(lambda db: note_clocks(db, self._clocks))
        self._store.close()

    # The engine's side --------------------------------------------------------------------------------------------

    def commit(self, changes: Changes, express: Mapping[str, bool] = _NO_EXPRESS) -> dict[str, list[Call]]:
        """Write alarm records, events and the calls that they make, in one transaction.

        Args:
            changes: what the engine made of a batch of readings.
            express: {rule that the sender stands ready for: whether it coalesces}. Its new calls are written as being
                sent already, which saves a second commit before the request; but not where older ones wait.

        Returns:
            {rule: those calls}.
        """
        return self._store.write(lambda db: self._commit(db, changes, express))

    def _commit(self, db: sqlite3.Connection, changes: Changes, express: Mapping[str, bool]) -> dict[str, list[Call]]:
        skew = self._clocks.wall() - self._clocks.now()
        synced = self._clocks.synced()
        db.executemany(_KEEP_RECORD, map(_alarm_row, changes.records))
        older = "SELECT 1 FROM calls WHERE state = 'waiting' AND rule = ? LIMIT 1"
        begun: dict[str, list[int]] = {rule: [] for rule in express if db.execute(older, (rule,)).fetchone() is None}
        for event in changes.events:
            subject = _subject(event)
            row = None
            if event.rule is not None:
                ids = begun.get(event.rule) if event.kind in _CALLS else None
                goes = ids is not None and (not ids or express[event.rule])
                row = self._call(db, event, (self._clocks.boot_id, event.at, event.at + skew, synced), sending=goes)
                if goes and ids is not None:
                    ids.append(row)
            log_event(db, self._clocks, event.kind, event.reason, subject._replace(call=row), event.at + skew)
            if event.withdraws and event.alarm is not None:
                self.dispatch.withdraw(db, event.alarm, subject.instance, event.episode)
        note_clocks(db, self._clocks)
        return {rule: [_row(db, row) for row in ids] for rule, ids in begun.items() if ids}

    def _call(self, db: sqlite3.Connection, event: Event, created: tuple[object, ...], *, sending: bool) -> int:
        """Write the row of a call made or held back, and return its id; one made after all is the row held back."""
        alarm, instance, rule, _ = _subject(event)
        reason = storable(event.reason)
        what = (rule, alarm, instance, event.episode, event.kind, event.priority.rank, reason)
        if event.kind not in _CALLS:
            return self._insert(db, what, created, ("suppressed", False, None))
        now = self._clocks.now()
        held = db.execute(
            "SELECT max(id) FROM calls WHERE state = 'suppressed'"
            " AND alarm = ? AND episode = ? AND rule = ? AND instance IS ?",
            (alarm, event.episode, rule, instance),
        ).fetchone()[0]
        if held is None:
            return self._insert(db, what, created, ("waiting", sending, now))
        db.execute(
            "UPDATE calls SET state = 'waiting', sending = ?, reason = ?, origin = ?, boot_id = ?, created_boot = ?,"
            " created_wall = ?, created_synced = ?, lived = 0, next_attempt_at = ? WHERE id = ?",
            (sending, reason, event.kind, *created, now, held),
        )
        return int(held)

    def _insert(
        self,
        db: sqlite3.Connection,
        what: tuple[object, ...],
        created: tuple[object, ...],
        state: tuple[str, bool, int | None],
    ) -> int:
        """Insert a row; `state` is its state, whether it is being sent, and its next attempt."""
        row = db.execute(
            "INSERT INTO calls (kind, rule, alarm, instance, episode, origin, priority, reason,"
            " boot_id, created_boot, created_wall, created_synced, state, sending, next_attempt_at)"
            " VALUES ('call', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*what, *created, *state),
        ).lastrowid
        assert row is not None  # noqa: S101 - an INSERT has one
        return row

    def records(self) -> list[AlarmRecord]:
        """Return what alarms remember."""
        return [load_record(row["record"]) for row in self._store.read("SELECT record FROM alarms")]

    def keep_records(self, records: Iterable[AlarmRecord]) -> None:
        """Make these the only alarm records; nothing is written where they are already."""
        wanted = dict(map(_alarm_row, records))
        known = {row["key"]: row["record"] for row in self._store.read("SELECT key, record FROM alarms")}
        if wanted == known:
            return
        gone = known.keys() - wanted.keys()

        def change(db: sqlite3.Connection) -> None:
            db.executemany("DELETE FROM alarms WHERE key = ?", [(key,) for key in gone])
            # An alarm that comes back begins to count its episodes anew: these rows are none of its own.
            db.executemany("UPDATE calls SET episode = -1 WHERE alarm = ? AND instance IS ?", map(json.loads, gone))
            pairs = [pair for pair in wanted.items() if known.get(pair[0]) != pair[1]]
            db.executemany(_KEEP_RECORD, pairs)
            note_clocks(db, self._clocks)

        self._store.write(change)

    def triggers(self, rule: str, per: int) -> list[int]:
        """Return the instants of the last `per` at which the rule was triggered, ambiguous attempts included."""
        now = self._clocks.now()
        rows = self._store.read(
            "SELECT * FROM calls WHERE rule = ? AND state != 'suppressed' AND (ambiguous != '[]'"
            " OR CASE boot_id WHEN ? THEN created_boot > ? ELSE lived + ? < ? END)",
            rule, self._clocks.boot_id, now - per, now, per,
        )  # fmt: skip
        calls = [call_of(row) for row in rows]
        made = [now - call.age(self._clocks) for call in calls]
        unsure = {at for call in calls for at in call.ambiguous}  # rows of one attempt share its instant
        return sorted(at for at in (*made, *unsure) if at > now - per)

    # People's side ------------------------------------------------------------------------------------------------

    def add_by_hand(self, rule: str) -> Call:
        """Insert a call that somebody asked for, already marked as being sent."""

        def change(db: sqlite3.Connection) -> Call:
            clocks = self._clocks
            created = (clocks.boot_id, clocks.now(), clocks.wall(), clocks.synced())
            what = (rule, None, None, 0, "hand", 0, "by hand")
            row = self._insert(db, what, created, ("waiting", True, None))
            log_event(db, clocks, EventKind.CALL, "by hand", Subject(None, None, rule, row))
            return _row(db, row)

        return self._store.write(change)

    def retry(self, row: int) -> bool:
        """Make a waiting, failed or expired call due now; return whether it was one of these.

        What its rule was told to wait is over, its attempts are counted anew, and so is the time until it expires.
        """

        def change(db: sqlite3.Connection) -> bool:
            found = db.execute(
                "SELECT * FROM calls WHERE id = ? AND sending = 0 AND state IN ('waiting', 'failed', 'expired')", (row,)
            ).fetchone()
            if found is None:
                return False
            call = call_of(found)
            db.execute(
                "UPDATE calls SET state = 'waiting', next_attempt_at = ?, strikes = 0, finished_wall = NULL,"
                " fresh_at_age = ? WHERE id = ?",
                (self._clocks.now(), call.age(self._clocks), row),
            )
            db.execute("DELETE FROM holds WHERE rule = ?", (call.rule,))
            return True

        return self._store.write(change)

    def cancel(self, row: int) -> bool:
        """Withdraw a call that waits, or a failed one that is still tried; return whether it was one."""

        def change(db: sqlite3.Connection) -> bool:
            call = db.execute(
                "SELECT * FROM calls WHERE id = ? AND sending = 0"
                " AND (state = 'waiting' OR (state = 'failed' AND next_attempt_at IS NOT NULL))",
                (row,),
            ).fetchone()
            if call is None:
                return False
            db.execute(
                "UPDATE calls SET state = 'cancelled', next_attempt_at = NULL, reason = 'by hand',"
                " finished_wall = ?, finished_synced = ? WHERE id = ?",
                (self._clocks.wall(), self._clocks.synced(), row),
            )
            subject = Subject(call["alarm"], call["instance"], call["rule"], row)
            log_event(db, self._clocks, CallState.CANCELLED, "by hand", subject)
            return True

        return self._store.write(change)

    def rows(self, state: str | None = None, limit: int | None = None) -> list[Call]:
        """Return rows, oldest first; with `limit` the newest so many."""
        rows = self._store.read(
            "SELECT * FROM calls WHERE ? IS NULL OR state = ? ORDER BY id DESC LIMIT ?",
            state, state, -1 if limit is None else limit,
        )  # fmt: skip
        return self._calls(reversed(rows))

    def get(self, row: int) -> Call | None:
        """Return one row."""
        calls = self._calls(self._store.read("SELECT * FROM calls WHERE id = ?", row))
        return calls[0] if calls else None

    def _calls(self, rows: Iterable[sqlite3.Row]) -> list[Call]:
        """Return rows as values; what an agent that has not run in this boot had planned is no plan any more."""
        last = self._last_clocks()
        calls = map(call_of, rows)
        if last is None or last.boot_id == self._clocks.boot_id:
            return list(calls)
        return [replace(call, next_attempt_at=None) for call in calls]

    def summary(self) -> Summary:
        """Return what is in the outbox, counted; looked up again only after a change."""
        changes = self._store.changes
        if self._summary is None or self._summary.changes != changes:
            self._summary = self._count(changes)
        return self._summary

    def _count(self, changes: int) -> Summary:
        counted: dict[str, int] = {str(state): 0 for state in CallState}
        waits: dict[str, int] = {}
        sql = "SELECT state, last_result, count(*) AS number FROM calls GROUP BY state, last_result"
        for row in self._store.read(sql):
            counted[row["state"]] += row["number"]
            if row["state"] == CallState.WAITING and row["last_result"] is not None:
                waits[row["last_result"]] = row["number"]
        failed = self._store.read(
            "SELECT rule, coalesce(last_error, 'expired') AS error FROM calls WHERE state IN ('failed', 'expired')"
            " AND id IN (SELECT max(id) FROM calls WHERE state IN ('placed', 'failed', 'expired') GROUP BY rule)"
        )
        line = "SELECT last_result, last_error FROM calls WHERE state = 'waiting' AND last_result IN (?, ?)"
        last = self._store.read(f"{line} ORDER BY id DESC LIMIT 1", *LINE)
        stuck = self._store.read(
            "SELECT rule, last_error FROM calls WHERE state = 'waiting' AND attempts >= ? AND last_error IS NOT NULL"
            " AND last_result NOT IN (?, ?, ?) ORDER BY id",
            _STUCK_ATTEMPTS, Result.AUTH, *LINE,
        )  # fmt: skip
        return Summary(
            changes,
            counted,
            waits.get(Result.AUTH, 0),
            sum(waits.get(result, 0) for result in LINE),
            last[0]["last_error"] if last else None,
            bool(last) and last[0]["last_result"] == Result.NOT_IOTCALL,
            {row["rule"]: row["last_error"] for row in stuck},
            {row["rule"]: row["error"] for row in failed},
        )

    def prune(self, keep_rows: int, keep_events: int, max_events: int) -> None:
        """Delete finished rows and events that are older than these (µs of wall time), and events beyond a number.

        Only what the wall clock, right then and now, says is old: with what came before it.
        """
        # A clock that is years ahead would delete everything: until it is right nothing is old, but too many are.
        wall = self._clocks.wall() if self._clocks.synced() else 0
        row = self._store.read(
            "SELECT coalesce(max(id), 0) FROM calls WHERE (finished_synced AND finished_wall < ?)"
            " OR (state = 'suppressed' AND created_synced AND created_wall < ?)",
            wall - keep_rows, wall - keep_rows,
        )[0][0]  # fmt: skip
        event = self._store.read(
            "SELECT max((SELECT coalesce(max(id), 0) FROM events WHERE synced AND wall < ?),"
            " (SELECT coalesce(max(id), 0) FROM events) - ?)",
            wall - keep_events, max_events,
        )[0][0]  # fmt: skip
        rows = (row, wall - keep_rows)
        if not self._store.read(
            f"SELECT 1 WHERE EXISTS (SELECT 1 FROM calls WHERE {_OVER}) OR EXISTS (SELECT 1 FROM events WHERE id <= ?)",
            *rows, event,
        ):  # fmt: skip
            return

        def change(db: sqlite3.Connection) -> None:
            db.execute(f"DELETE FROM calls WHERE {_OVER}", rows)
            db.execute("DELETE FROM events WHERE id <= ?", (event,))

        self._store.write(change)


_OVER = (
    "id <= ? AND state != 'waiting' AND sending = 0 AND (state != 'failed' OR next_attempt_at IS NULL)"
    " AND coalesce(finished_wall, created_wall) < ?"
)


def _subject(event: Event) -> Subject:
    return Subject(event.alarm, event.instance if event.instance is None else storable(event.instance), event.rule)


def _row(db: sqlite3.Connection, row: int) -> Call:
    return call_of(db.execute("SELECT * FROM calls WHERE id = ?", (row,)).fetchone())


def _alarm_row(record: AlarmRecord) -> tuple[str, str]:
    return alarm_key(record.alarm, record.instance), dump_record(record)
