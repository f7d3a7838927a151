"""The sender's side of the outbox: what is due, what is being sent, what came of it. Each method is one transaction."""

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from edge_agent.core.fields import SECOND
from edge_agent.delivery.policy import LINE, STRIKING, CallState, Verdict
from edge_agent.delivery.rows import Call, Clocks, ClocksNote, Subject, alarm_key, call_of, load_record, log_event
from edge_agent.delivery.store import Store
from edge_agent.iotcall.outcome import Outcome, Result

DEFAULT_EXPIRES = 86_400 * SECOND
"""Of calls whose rule the configuration no longer has."""
_MOST_AMBIGUOUS = 1_000
_LOOK_AGAIN = 60 * SECOND
"""Ages jump when the wall clock turns out to be right: what is late is looked up at least this often."""
CLEARED = "cleared"
"""The reason of a call that was withdrawn since its alarm cleared (cancel_on_clear)."""
_OPEN = "(state = 'waiting' OR (state = 'failed' AND next_attempt_at IS NOT NULL))"
_LOST = Outcome(Result.AMBIGUOUS, "the agent ended before the answer was recorded")


@dataclass(frozen=True, slots=True)
class Due:
    """What of a rule waits: the sender's view of it."""

    rule: str
    at: int
    """The earliest next attempt."""
    fresh_at: int | None
    """The same of those that were certainly not delivered yet; None: of each an attempt's answer is unknown."""
    priority: int
    first: int
    """The oldest row."""
    for_line: bool
    """Some of it waits for the line."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Until when nothing of a rule is sent, and the result that asked for it."""

    until: int
    result: str


class Dispatch:
    """Rows that wait, and what attempts make of them."""

    def __init__(self, store: Store, clocks: Clocks) -> None:
        self._store = store
        self._clocks = clocks
        self._due: tuple[int, list[Due]] = (-1, [])
        self._expiry: tuple[int, int] = (-1, 0)
        """Nothing expires before this instant, as of so many changes of the store."""

    # Starting -----------------------------------------------------------------------------------------------------

    def shift(self, db: sqlite3.Connection, last: ClocksNote, by: int) -> None:
        """Move the instants of rows to another boot's clock, within a transaction; note how long they lived."""
        if last.synced:  # what was created before the clock was right can be told now
            db.execute(
                "UPDATE calls SET created_wall = ? + created_boot, created_synced = 1 WHERE boot_id = ?",
                (last.wall - last.boot, last.boot_id),
            )
        db.execute(
            "UPDATE calls SET next_attempt_at = next_attempt_at + ?,"
            " lived = lived + max(CASE boot_id WHEN ? THEN ? - created_boot ELSE ? END, 0)",
            (by, last.boot_id, last.boot, last.boot),
        )
        for row in db.execute("SELECT id, ambiguous FROM calls WHERE ambiguous != '[]'").fetchall():
            moved = json.dumps([at + by for at in json.loads(row["ambiguous"])])
            db.execute("UPDATE calls SET ambiguous = ? WHERE id = ?", (moved, row["id"]))
        db.execute("UPDATE holds SET until = until + ?", (by,))

    def resume(self) -> list[Call]:
        """Begin after a start: what was being sent when the agent ended is ambiguous. Returns those calls."""
        broken = [call_of(row) for row in self._store.read("SELECT * FROM calls WHERE sending = 1")]
        if broken:
            self.finish([(call, _after_loss(call)) for call in broken], _LOST)
        self.release_budget()
        return broken

    def holds(self) -> dict[str, Hold]:
        """Return which rules are held, and until when."""
        return {row["rule"]: Hold(row["until"], row["result"]) for row in self._store.read("SELECT * FROM holds")}

    # What is due --------------------------------------------------------------------------------------------------

    def due(self) -> list[Due]:
        """Return what waits, a line for each rule, the most urgent first; looked up again only after a change."""
        changes = self._store.changes
        if self._due[0] != changes:
            self._due = (changes, self._look_up_due())
        return self._due[1]

    def _look_up_due(self) -> list[Due]:
        rows = self._store.read(
            "SELECT rule, min(next_attempt_at) AS at, min(iif(ambiguous = '[]', next_attempt_at, NULL)) AS fresh_at,"
            " min(priority) AS priority, min(id) AS first, max(last_result IN ('offline', 'not_iotcall')) AS for_line"
            " FROM calls WHERE state = 'waiting' AND sending = 0 GROUP BY rule ORDER BY min(priority), min(id)"
        )
        return [
            Due(row["rule"], row["at"], row["fresh_at"], row["priority"], row["first"], bool(row["for_line"]))
            for row in rows
        ]

    def next_of(self, rule: str) -> int | None:
        """Return the most urgent waiting call of a rule; one that may have been delivered comes after the others.

        Of those that wait for the line any attempt is as good to find it: the most urgent goes, whoever is due.
        """
        rows = self._store.read(
            "SELECT id FROM calls WHERE state = 'waiting' AND sending = 0 AND rule = ?"
            " ORDER BY next_attempt_at > ? AND coalesce(last_result, '') NOT IN (?, ?), ambiguous != '[]', priority, id"
            " LIMIT 1",
            rule, self._clocks.now(), *LINE,
        )  # fmt: skip
        return int(rows[0]["id"]) if rows else None

    def revivable(self) -> list[Call]:
        """Return the failed calls whose time it is to be tried once more."""
        sql = "SELECT * FROM calls WHERE state = 'failed' AND next_attempt_at <= ? AND sending = 0 ORDER BY id"
        return [call_of(row) for row in self._store.read(sql, self._clocks.now())]

    def still_raised(self, call: Call) -> bool:
        """Return whether the episode that made a call is not over."""
        if call.alarm is None:
            return False
        rows = self._store.read("SELECT record FROM alarms WHERE key = ?", alarm_key(call.alarm, call.instance))
        if not rows:
            return False
        record = load_record(rows[0]["record"])
        return record.state.active and record.episode == call.episode

    def give_up(self, calls: Iterable[Call]) -> None:
        """Stop trying failed calls once more."""
        ids = [(call.id,) for call in calls]
        sql = "UPDATE calls SET next_attempt_at = NULL WHERE id = ? AND state = 'failed' AND sending = 0"
        if ids:
            self._store.write(lambda db: db.executemany(sql, ids))

    # An attempt ---------------------------------------------------------------------------------------------------

    def open_calls(self, rule: str, ids: Sequence[int] | None) -> list[Call]:
        """Return the calls that `begin` would mark now."""
        if ids is None:
            sql = "SELECT * FROM calls WHERE state = 'waiting' AND sending = 0 AND rule = ? ORDER BY id"
            return [call_of(row) for row in self._store.read(sql, rule)]
        sql = (
            "SELECT * FROM calls WHERE state IN ('waiting', 'failed') AND sending = 0"
            " AND id IN (SELECT value FROM json_each(?)) ORDER BY id"
        )
        return [call_of(row) for row in self._store.read(sql, json.dumps(list(ids)))]

    def begin(self, rule: str, ids: Sequence[int] | None) -> list[Call]:
        """Mark, before anything is sent, which calls an attempt is for: certain ones, or all of the rule that wait."""

        def change(db: sqlite3.Connection) -> list[Call]:
            calls = self.open_calls(rule, ids)
            db.executemany("UPDATE calls SET sending = 1 WHERE id = ?", [(call.id,) for call in calls])
            return calls

        return self._store.write(change)

    def finish(
        self,
        verdicts: Sequence[tuple[Call, Verdict]],
        outcome: Outcome,
        rode: Sequence[Call] = (),
        hold: tuple[str, Hold] | None = None,
    ) -> None:
        """Record what came of an attempt for each call that it was for.

        Those in `rode` only rode along, and wait on as before. A call that was withdrawn meanwhile stays so.
        """

        def change(db: sqlite3.Connection) -> None:
            now, wall = self._clocks.now(), self._clocks.wall()  # the same for all: one attempt
            for call, verdict in verdicts:
                self._finish_one(db, call, verdict, outcome, (now, wall))
            db.executemany("UPDATE calls SET sending = 0 WHERE id = ?", [(call.id,) for call in rode])
            self._withdraw_late(db, [call.id for call in (*(call for call, _ in verdicts), *rode)])
            if hold is not None:
                db.execute("INSERT OR REPLACE INTO holds VALUES (?, ?, ?)", (hold[0], hold[1].until, hold[1].result))

        self._store.write(change)

    def _finish_one(
        self, db: sqlite3.Connection, call: Call, verdict: Verdict, outcome: Outcome, at: tuple[int, int]
    ) -> None:
        now, wall = at
        state = verdict.state
        ended = state is not CallState.WAITING
        unsure = call.ambiguous
        if outcome.result is Result.AMBIGUOUS:
            unsure = (*unsure, now)[-_MOST_AMBIGUOUS:]
        written = db.execute(
            "UPDATE calls SET state = ?, sending = 0, attempts = ?, strikes = ?, next_attempt_at = ?,"
            " last_result = ?, last_error = ?, ambiguous = ?, finished_wall = ?, finished_synced = ?"
            " WHERE id = ? AND state = ?",
            (
                state, call.attempts + 1, call.strikes + (outcome.result in STRIKING),
                None if verdict.wait is None else now + verdict.wait, outcome.result,
                None if outcome.result is Result.PLACED else outcome.message, json.dumps(unsure),
                wall if ended else None, ended and self._clocks.synced(), call.id, call.state,
            ),
        ).rowcount  # fmt: skip
        if written and ended and state != call.state:
            log_event(db, self._clocks, state, outcome.message, _subject(call), wall)

    # Withdrawing --------------------------------------------------------------------------------------------------

    def withdraw(self, db: sqlite3.Connection, alarm: str, instance: str | None, episode: int) -> None:
        """Withdraw what of an episode's calls still waits, within a transaction: its alarm has cleared.

        What is being sent may be placed yet; if it is not, it is withdrawn then.
        """
        mine = f"{_OPEN} AND alarm = ? AND instance IS ? AND episode = ?"
        which = (alarm, instance, episode)
        self._cancel(db, db.execute(f"SELECT * FROM calls WHERE {mine} AND sending = 0 ORDER BY id", which).fetchall())  # noqa: S608 - constants
        db.execute(f"UPDATE calls SET withdrawn = 1 WHERE {mine} AND sending = 1", which)  # noqa: S608 - constants

    def _withdraw_late(self, db: sqlite3.Connection, ids: Sequence[int]) -> None:
        """Withdraw those of some calls whose alarm cleared while they were being sent, in vain."""
        sql = f"SELECT * FROM calls WHERE {_OPEN} AND withdrawn AND id IN (SELECT value FROM json_each(?)) ORDER BY id"  # noqa: S608 - constants
        self._cancel(db, db.execute(sql, (json.dumps(ids),)).fetchall())

    def _cancel(self, db: sqlite3.Connection, rows: Iterable[sqlite3.Row]) -> None:
        wall, synced = self._clocks.wall(), self._clocks.synced()
        for call in map(call_of, rows):
            db.execute(
                "UPDATE calls SET state = 'cancelled', next_attempt_at = NULL, reason = ?, finished_wall = ?,"
                " finished_synced = ? WHERE id = ?",
                (CLEARED, wall, synced, call.id),
            )
            log_event(db, self._clocks, CallState.CANCELLED, CLEARED, _subject(call), wall)

    # Changes of many ----------------------------------------------------------------------------------------------

    def postpone(self, rule: str, at: int, reason: str) -> None:
        """Let those calls of a rule that may have been delivered wait until an instant, for a reason."""
        where = "state = 'waiting' AND sending = 0 AND rule = ? AND ambiguous != '[]' AND next_attempt_at < ?"
        if not self._store.read(f"SELECT 1 FROM calls WHERE {where} LIMIT 1", rule, at):  # noqa: S608 - a constant
            return
        told = "iif(reason LIKE 'budget%', reason, ? || '; ' || reason)"
        sql = f"UPDATE calls SET next_attempt_at = ?, reason = {told} WHERE {where}"  # noqa: S608 - constants
        self._store.write(lambda db: db.execute(sql, (at, reason, rule, at)))

    def release_budget(self) -> None:
        """Make calls due now that wait for their rule's budget: it may be another one by now."""
        where = "state = 'waiting' AND sending = 0 AND reason LIKE 'budget%'"
        if self._store.read(f"SELECT 1 FROM calls WHERE {where} LIMIT 1"):  # noqa: S608 - a constant
            sql = f"UPDATE calls SET next_attempt_at = min(next_attempt_at, ?) WHERE {where}"  # noqa: S608 - a constant
            self._store.write(lambda db: db.execute(sql, (self._clocks.now(),)))

    def release_line(self) -> int:
        """Make all calls due now that wait for the line; return how many."""
        return self._release(LINE)

    def release_auth(self) -> int:
        """Make all calls due now that wait for another AuthCode, and lift what holds their rules."""
        return self._release((Result.AUTH,))

    def _release(self, results: Sequence[Result]) -> int:
        now = self._clocks.now()
        wanted = json.dumps(results)
        if not self._store.read(
            "SELECT 1 WHERE EXISTS (SELECT 1 FROM holds WHERE result IN (SELECT value FROM json_each(?)))"
            " OR EXISTS (SELECT 1 FROM calls WHERE state = 'waiting'"
            " AND last_result IN (SELECT value FROM json_each(?)))",
            wanted, wanted,
        ):  # fmt: skip
            return 0

        def change(db: sqlite3.Connection) -> int:
            db.execute("DELETE FROM holds WHERE result IN (SELECT value FROM json_each(?))", (wanted,))
            return db.execute(
                "UPDATE calls SET next_attempt_at = ? WHERE state = 'waiting' AND sending = 0"
                " AND last_result IN (SELECT value FROM json_each(?)) AND next_attempt_at > ?",
                (now, wanted, now),
            ).rowcount

        return self._store.write(change)

    def expire(self, expires: Mapping[str, int | None]) -> list[Call]:
        """Give up the calls that have waited too long by their rule's `expires` (µs); return them."""
        changes, now = self._store.changes, self._clocks.now()
        if self._expiry[0] == changes and now < self._expiry[1]:
            return []
        old = []
        soonest = now + _LOOK_AGAIN
        for rule, age in self._ages():
            limit = expires.get(rule, DEFAULT_EXPIRES)
            if limit is None:
                continue
            if age >= limit:
                calls = self.open_calls(rule, None)
                old += [call for call in calls if call.age(self._clocks) - call.fresh_at_age >= limit]
            else:
                soonest = min(soonest, now + limit - age)
        self._expiry = (changes, soonest)
        if old:
            self._store.write(lambda db: self._expire(db, old))
        return old

    def _ages(self) -> list[tuple[str, int]]:
        """Return the age of each rule's oldest waiting call."""
        clocks = self._clocks
        rows = self._store.read(
            "SELECT rule, max(CASE WHEN boot_id = ?1 THEN ?2 - created_boot"
            " ELSE max(lived + ?2, iif(created_synced AND ?3, ?4 - created_wall, 0)) END - fresh_at_age) AS age"
            " FROM calls WHERE state = 'waiting' AND sending = 0 GROUP BY rule",
            clocks.boot_id, clocks.now(), clocks.synced(), clocks.wall(),
        )  # fmt: skip
        return [(row["rule"], row["age"]) for row in rows]

    def _expire(self, db: sqlite3.Connection, calls: Sequence[Call]) -> None:
        wall, synced = self._clocks.wall(), self._clocks.synced()
        for call in calls:
            db.execute(
                "UPDATE calls SET state = 'expired', next_attempt_at = NULL, finished_wall = ?, finished_synced = ?"
                " WHERE id = ? AND state = 'waiting' AND sending = 0",
                (wall, synced, call.id),
            )
            log_event(db, self._clocks, CallState.EXPIRED, "not delivered in time", _subject(call))


def _subject(call: Call) -> Subject:
    return Subject(call.alarm, call.instance, call.rule, call.id)


def _after_loss(call: Call) -> Verdict:
    """Return what becomes of a call whose answer was lost with the agent: again, but never one made by hand."""
    if call.origin == "hand":
        return Verdict(CallState.FAILED, None)
    return Verdict(CallState(call.state), 0)
