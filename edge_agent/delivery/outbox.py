"""The outbox: calls, alarm records and events on disk. Each method is one transaction, safe from any thread."""

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge_agent.core.events import AlarmRecord, Changes, Event, EventKind
from edge_agent.core.fields import SECOND
from edge_agent.delivery.policy import LINE, STRIKING, CallState, Verdict
from edge_agent.delivery.rows import Call, Clocks, alarm_key, call_of, dump_record, load_record
from edge_agent.delivery.store import Store
from edge_agent.iotcall.outcome import Outcome, Result

_CALLS = (EventKind.CALL, EventKind.REPEAT)
_OPEN = "state = 'waiting' AND sending = 0"
_LINE = ", ".join(f"'{result}'" for result in LINE)


@dataclass(frozen=True, slots=True)
class Due:
    """What of a rule waits: the sender's view of it."""

    rule: str
    at: int
    """The earliest next attempt."""
    priority: int
    first: int
    """The oldest row."""
    for_line: bool
    """Some of it waits for the line."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What is in the outbox, counted."""

    changes: int
    counts: dict[str, int]
    """{state: rows}, every state"""
    waiting_auth: int
    waiting_line: int
    failed_rules: dict[str, str]
    """{rule whose last finished call failed or expired: the error}"""


class Outbox:
    """What must not be lost. What a method has returned from is on disk."""

    def __init__(self, store: Store, clocks: Clocks) -> None:
        self._store = store
        self._clocks = clocks
        self._summary: Summary | None = None

    # The engine's side --------------------------------------------------------------------------------------------

    def commit(self, changes: Changes) -> None:
        """Write alarm records, events and the calls that they make, in one transaction."""
        skew = self._clocks.wall() - self._clocks.now()
        synced = self._clocks.synced()
        with self._store.transaction() as db:
            db.executemany(
                "INSERT OR REPLACE INTO alarms VALUES (?, ?)",
                [(alarm_key(record.alarm, record.instance), dump_record(record)) for record in changes.records],
            )
            for event in changes.events:
                _log(db, event.at + skew, event.kind, event.reason, event.alarm, event.instance, event.rule)
                if event.rule is not None:
                    self._call(db, event, event.at + skew, synced=synced)
            self._note_clocks(db)

    def _call(self, db: sqlite3.Connection, event: Event, wall: int, *, synced: bool) -> None:
        """Insert the row of a call made or held back; one made after all is the row that was held back."""
        who = (event.rule, event.alarm, event.instance, event.episode)
        state = CallState.WAITING if event.kind in _CALLS else CallState.SUPPRESSED
        due = self._clocks.now() if event.kind in _CALLS else None
        if event.kind in _CALLS:
            held = db.execute(
                "SELECT max(id) FROM calls WHERE state = 'suppressed'"
                " AND rule = ? AND alarm = ? AND instance IS ? AND episode = ?",
                who,
            ).fetchone()[0]
            if held is not None:
                db.execute(
                    "UPDATE calls SET state = ?, reason = ?, origin = ?, boot_id = ?, created_boot = ?,"
                    " created_wall = ?, created_synced = ?, next_attempt_at = ? WHERE id = ?",
                    (state, event.reason, event.kind, self._clocks.boot_id, event.at, wall, synced, due, held),
                )
                return
        self._insert(db, (*who, event.kind, event.priority.rank, state, event.reason), (event.at, wall, synced), due)

    def _insert(
        self,
        db: sqlite3.Connection,
        what: tuple[object, ...],
        when: tuple[int, int, bool],
        due: int | None,
    ) -> int:
        row = db.execute(
            "INSERT INTO calls (kind, rule, alarm, instance, episode, origin, priority, state, reason,"
            " boot_id, created_boot, created_wall, created_synced, next_attempt_at)"
            " VALUES ('call', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*what, self._clocks.boot_id, *when, due),
        ).lastrowid
        assert row is not None  # noqa: S101 - an INSERT has one
        return row

    def _note_clocks(self, db: sqlite3.Connection) -> None:
        clocks = self._clocks
        note = json.dumps([clocks.boot_id, clocks.now(), clocks.wall(), clocks.synced()])
        db.execute("INSERT OR REPLACE INTO meta VALUES ('clocks', ?)", (note,))

    def records(self) -> list[AlarmRecord]:
        """Return what alarms remember, its instants moved to this boot's clock.

        Of the time between two boots only what the wall clock vouches for, right on both sides, has passed.
        """
        shift = self._shift()
        rows = self._store.read("SELECT record FROM alarms")
        return [load_record(row["record"]).shifted(shift) for row in rows]

    def _shift(self) -> int:
        rows = self._store.read("SELECT value FROM meta WHERE key = 'clocks'")
        if not rows:
            return 0
        boot_id, boot, wall, synced = json.loads(rows[0]["value"])
        if boot_id == self._clocks.boot_id:
            return 0
        away = max(self._clocks.wall() - wall, 0) if synced and self._clocks.synced() else 0
        return int(self._clocks.now() - away - boot)

    def keep_records(self, records: Iterable[AlarmRecord]) -> None:
        """Make these the only alarm records; nothing is written where they are already."""
        wanted = {alarm_key(record.alarm, record.instance): dump_record(record) for record in records}
        known = {row["key"]: row["record"] for row in self._store.read("SELECT key, record FROM alarms")}
        if wanted == known:
            return
        with self._store.transaction() as db:
            db.executemany("DELETE FROM alarms WHERE key = ?", [(key,) for key in known.keys() - wanted.keys()])
            db.executemany(
                "INSERT OR REPLACE INTO alarms VALUES (?, ?)",
                [pair for pair in wanted.items() if known.get(pair[0]) != pair[1]],
            )
            self._note_clocks(db)

    def triggers(self, rule: str, per: int) -> list[int]:
        """Return the instants of the last `per` at which the rule was triggered, ambiguous attempts included."""
        rows = self._store.read(
            "SELECT * FROM calls WHERE rule = ? AND state != 'suppressed' ORDER BY id DESC LIMIT 1000", rule
        )
        now = self._clocks.now()
        calls = [call_of(row) for row in rows]
        made = [now - call.age(self._clocks) for call in calls]
        unsure = [at for call in calls if call.boot_id == self._clocks.boot_id for at in call.ambiguous]
        return sorted(at for at in made + unsure if at > now - per)

    # The sender's side --------------------------------------------------------------------------------------------

    def resume(self) -> list[Call]:
        """Begin after a start: what was being sent when the agent ended is ambiguous. Returns those calls."""
        now = self._clocks.now()
        broken = [call_of(row) for row in self._store.read("SELECT * FROM calls WHERE sending = 1")]
        other = self._store.read(
            "SELECT 1 FROM calls WHERE state IN ('waiting', 'failed') AND next_attempt_at IS NOT NULL"
            " AND boot_id != ? LIMIT 1",
            self._clocks.boot_id,
        )
        if not broken and not other:
            return []
        with self._store.transaction() as db:
            for call in broken:
                state = CallState.FAILED if call.origin == "hand" else call.state
                db.execute(
                    "UPDATE calls SET sending = 0, attempts = attempts + 1, state = ?, last_result = ?, last_error = ?,"
                    " ambiguous = ?, next_attempt_at = ? WHERE id = ?",
                    (
                        state, Result.AMBIGUOUS, "the agent ended before the answer was recorded",
                        json.dumps([*call.ambiguous, now]), None if call.origin == "hand" else now, call.id,
                    ),
                )  # fmt: skip
            db.execute(
                "UPDATE calls SET next_attempt_at = ? WHERE state IN ('waiting', 'failed')"
                " AND next_attempt_at IS NOT NULL AND (boot_id != ? OR next_attempt_at > ?)",
                (now, self._clocks.boot_id, now + 900 * SECOND),
            )
        return broken

    def due(self) -> list[Due]:
        """Return what waits, a line for each rule, or for each call where `coalesce` is off (see `next_of`)."""
        rows = self._store.read(
            "SELECT rule, min(next_attempt_at) AS at, min(priority) AS priority, min(id) AS first,"
            f" max(last_result IN ({_LINE})) AS for_line"
            f" FROM calls WHERE {_OPEN} GROUP BY rule"
        )
        return [Due(row["rule"], row["at"] or 0, row["priority"], row["first"], bool(row["for_line"])) for row in rows]

    def next_of(self, rule: str) -> int | None:
        """Return the most urgent waiting call of a rule."""
        rows = self._store.read(
            f"SELECT id FROM calls WHERE {_OPEN} AND rule = ? ORDER BY next_attempt_at > ?, priority, id LIMIT 1",
            rule, self._clocks.now(),
        )  # fmt: skip
        return int(rows[0]["id"]) if rows else None

    def revivable(self) -> list[Call]:
        """Return failed calls that are tried once more while their alarm is still raised."""
        return [
            call_of(row)
            for row in self._store.read(
                "SELECT * FROM calls WHERE state = 'failed' AND next_attempt_at IS NOT NULL AND sending = 0"
            )
        ]

    def still_raised(self, call: Call) -> bool:
        """Return whether the episode that made a call is not over."""
        if call.alarm is None:
            return False
        rows = self._store.read("SELECT record FROM alarms WHERE key = ?", alarm_key(call.alarm, call.instance))
        if not rows:
            return False
        record = load_record(rows[0]["record"])
        return record.state.active and record.episode == call.episode

    def begin(self, rule: str, only: int | None) -> list[Call]:
        """Mark, before anything is sent, which calls an attempt is for: `only` one, or all of the rule that wait."""
        where, values = (f"{_OPEN} AND rule = ?", (rule,))
        if only is not None:
            where, values = ("sending = 0 AND state IN ('waiting', 'failed') AND id = ?", (str(only),))
        with self._store.transaction() as db:
            calls = [call_of(row) for row in db.execute(f"SELECT * FROM calls WHERE {where} ORDER BY id", values)]
            db.executemany("UPDATE calls SET sending = 1 WHERE id = ?", [(call.id,) for call in calls])
        return calls

    def waiting(self, rule: str, only: int | None) -> list[Call]:
        """Return the calls that `begin` would mark."""
        if only is not None:
            return [call_of(row) for row in self._store.read("SELECT * FROM calls WHERE id = ?", only)]
        return [call_of(row) for row in self._store.read(f"SELECT * FROM calls WHERE {_OPEN} AND rule = ?", rule)]

    def finish(self, verdicts: Sequence[tuple[Call, Verdict]], outcome: Outcome) -> None:
        """Record what came of an attempt for each call that it was for."""
        now, wall = self._clocks.now(), self._clocks.wall()
        with self._store.transaction() as db:
            for call, verdict in verdicts:
                state = verdict.state
                if call.state == CallState.FAILED and state is CallState.WAITING:
                    state = CallState.FAILED  # one more try of a failed call never makes it wait again
                finished = state is not CallState.WAITING
                ambiguous = [*call.ambiguous, now] if outcome.result is Result.AMBIGUOUS else call.ambiguous
                db.execute(
                    "UPDATE calls SET state = ?, sending = 0, attempts = ?, strikes = ?, next_attempt_at = ?,"
                    " last_result = ?, last_error = ?, ambiguous = ?, finished_wall = ? WHERE id = ? AND state = ?",
                    (
                        state, call.attempts + 1, call.strikes + (outcome.result in STRIKING),
                        None if verdict.wait is None else now + verdict.wait, outcome.result,
                        None if outcome.result is Result.PLACED else outcome.message,
                        json.dumps(ambiguous), wall if finished else None, call.id, call.state,
                    ),
                )  # fmt: skip
                if finished and state != call.state and db.execute("SELECT changes()").fetchone()[0]:
                    _log(db, wall, state, outcome.message, call.alarm, call.instance, call.rule)

    def rest(self, calls: Sequence[Call]) -> None:
        """Let calls wait on that only rode along in an attempt which came to nothing."""
        if calls:
            with self._store.transaction() as db:
                db.executemany("UPDATE calls SET sending = 0 WHERE id = ?", [(call.id,) for call in calls])

    def hurry(self, rule: str) -> None:
        """Make what of a rule waits for the line due now."""
        with self._store.transaction() as db:
            db.execute(
                f"UPDATE calls SET next_attempt_at = ? WHERE {_OPEN} AND rule = ? AND last_result IN ({_LINE})",
                (self._clocks.now(), rule),
            )

    def unsure(self, rule: str) -> bool:
        """Return whether a call of the rule waits whose last answer is unknown."""
        sql = f"SELECT 1 FROM calls WHERE {_OPEN} AND rule = ? AND last_result = 'ambiguous' LIMIT 1"
        return bool(self._store.read(sql, rule))

    def postpone(self, rule: str, at: int, reason: str) -> None:
        """Let the waiting calls of a rule wait until an instant, for a reason."""
        with self._store.transaction() as db:
            db.execute(
                f"UPDATE calls SET next_attempt_at = ?, reason = ? WHERE {_OPEN} AND rule = ?", (at, reason, rule)
            )

    def release(self, results: Sequence[Result]) -> int:
        """Make all calls due now that wait after one of these results; return how many."""
        marks = ", ".join("?" for _ in results)
        now = self._clocks.now()
        with self._store.transaction() as db:
            return db.execute(
                f"UPDATE calls SET next_attempt_at = ? WHERE {_OPEN} AND last_result IN ({marks})"
                " AND next_attempt_at > ?",
                (now, *results, now),
            ).rowcount

    def give_up(self, call: Call) -> None:
        """Stop trying a failed call once more."""
        with self._store.transaction() as db:
            db.execute("UPDATE calls SET next_attempt_at = NULL WHERE id = ?", (call.id,))

    def expire(self, expires: Mapping[str, int | None]) -> list[Call]:
        """Give up the calls that have waited too long by their rule's `expires` (µs); return them."""
        rows = self._store.read(f"SELECT * FROM calls WHERE {_OPEN}")
        old = []
        for call in map(call_of, rows):
            limit = expires.get(call.rule)
            if limit is not None and call.age(self._clocks) >= limit:
                old.append(call)
        if old:
            wall = self._clocks.wall()
            with self._store.transaction() as db:
                for call in old:
                    db.execute(
                        "UPDATE calls SET state = 'expired', next_attempt_at = NULL, finished_wall = ? WHERE id = ?",
                        (wall, call.id),
                    )
                    _log(db, wall, CallState.EXPIRED, "not delivered in time", call.alarm, call.instance, call.rule)
        return old

    # People's side ------------------------------------------------------------------------------------------------

    def add_by_hand(self, rule: str) -> Call:
        """Insert a call that somebody asked for, already marked as being sent."""
        now, wall = self._clocks.now(), self._clocks.wall()
        with self._store.transaction() as db:
            what = (rule, None, None, 0, "hand", 0, CallState.WAITING, "by hand")
            row = self._insert(db, what, (now, wall, self._clocks.synced()), None)
            db.execute("UPDATE calls SET sending = 1 WHERE id = ?", (row,))
            _log(db, wall, EventKind.CALL, "by hand", None, None, rule)
            return call_of(db.execute("SELECT * FROM calls WHERE id = ?", (row,)).fetchone())

    def retry(self, row: int) -> bool:
        """Make a waiting, failed or expired call due now; return whether it was one of these."""
        with self._store.transaction() as db:
            return bool(
                db.execute(
                    "UPDATE calls SET state = 'waiting', next_attempt_at = ?, strikes = 0, finished_wall = NULL,"
                    " created_boot = CASE state WHEN 'expired' THEN ? ELSE created_boot END,"
                    " boot_id = CASE state WHEN 'expired' THEN ? ELSE boot_id END"
                    " WHERE id = ? AND sending = 0 AND state IN ('waiting', 'failed', 'expired')",
                    (self._clocks.now(), self._clocks.now(), self._clocks.boot_id, row),
                ).rowcount
            )

    def cancel(self, row: int) -> bool:
        """Withdraw a call that waits, or a failed one that is still tried; return whether it was one."""
        wall = self._clocks.wall()
        with self._store.transaction() as db:
            call = db.execute("SELECT * FROM calls WHERE id = ? AND sending = 0", (row,)).fetchone()
            if call is None or call["state"] not in (CallState.WAITING, CallState.FAILED):
                return False
            db.execute(
                "UPDATE calls SET state = 'cancelled', next_attempt_at = NULL, reason = 'by hand', finished_wall = ?"
                " WHERE id = ?",
                (wall, row),
            )
            _log(db, wall, CallState.CANCELLED, "by hand", call["alarm"], call["instance"], call["rule"])
            return True

    def rows(self, state: str | None = None, limit: int | None = None) -> list[Call]:
        """Return rows, oldest first; with `limit` the newest so many."""
        where, values = ("WHERE state = ?", [state]) if state else ("", [])
        rows = self._store.read(
            f"SELECT * FROM calls {where} ORDER BY id DESC LIMIT ?", *values, -1 if limit is None else limit
        )
        return [call_of(row) for row in reversed(rows)]

    def get(self, row: int) -> Call | None:
        """Return one row."""
        rows = self._store.read("SELECT * FROM calls WHERE id = ?", row)
        return call_of(rows[0]) if rows else None

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
            "SELECT rule, coalesce(last_error, 'expired') AS error FROM calls WHERE state IN ('failed', 'expired') AND"
            " id IN (SELECT max(id) FROM calls WHERE state NOT IN ('waiting', 'suppressed') GROUP BY rule)"
        )
        return Summary(
            changes,
            counted,
            waits.get(Result.AUTH, 0),
            sum(waits.get(result, 0) for result in LINE),
            {row["rule"]: row["error"] for row in failed},
        )

    def events(self, before: int | None, limit: int) -> list[dict[str, Any]]:
        """Return events, newest first, with `wall` in Unix microseconds."""
        rows = self._store.read(
            "SELECT * FROM events WHERE id < ? ORDER BY id DESC LIMIT ?", 2**62 if before is None else before, limit
        )
        return [dict(row) for row in rows]

    def prune(self, keep_rows: int, keep_events: int, max_events: int) -> None:
        """Delete finished rows and events that are older than these (µs of wall time), and events beyond a number."""
        wall = self._clocks.wall()
        if not self._clocks.synced():
            return  # a clock that is years ahead would delete everything
        old_rows = "finished_wall < ? OR (state = 'suppressed' AND created_wall < ?)"
        newest = self._store.read("SELECT coalesce(max(id), 0) FROM events")[0][0]
        bounds = (wall - keep_events, newest - max_events)
        if not self._store.read(
            f"SELECT 1 WHERE EXISTS (SELECT 1 FROM calls WHERE {old_rows})"
            " OR EXISTS (SELECT 1 FROM events WHERE wall < ? OR id <= ?)",
            wall - keep_rows, wall - keep_rows, *bounds,
        ):  # fmt: skip
            return
        with self._store.transaction() as db:
            db.execute(f"DELETE FROM calls WHERE {old_rows}", (wall - keep_rows, wall - keep_rows))
            db.execute("DELETE FROM events WHERE wall < ? OR id <= ?", bounds)

    def close(self) -> None:
        """Note the clocks, for delays that go on after a power-off, and close the database."""
        with self._store.transaction() as db:
            self._note_clocks(db)
        self._store.close()


def _log(
    db: sqlite3.Connection,
    wall: int,
    event: str,
    reason: str,
    alarm: str | None,
    instance: str | None,
    rule: str | None,
) -> None:
    db.execute(
        "INSERT INTO events (wall, event, alarm, instance, rule, reason) VALUES (?, ?, ?, ?, ?, ?)",
        (wall, str(event), alarm, instance, rule, reason),
    )
