"""Rows of the outbox as values, and as the JSON that commands and the API show."""

import json
import sqlite3
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any, NamedTuple, Protocol

from edge_agent.core.events import AlarmRecord, EventKind, Owed, State, TermMemory
from edge_agent.core.times import iso


class Clocks(Protocol):
    """What delivery must know of time; `edge_agent.system.clock.Clock` is one."""

    boot_id: str

    def now(self) -> int:
        """Return CLOCK_BOOTTIME in microseconds."""

    def wall(self) -> int:
        """Return Unix time in microseconds."""

    def synced(self) -> bool:
        """Return whether the wall clock is known to be right."""

    def observe(self, date: datetime) -> None:
        """Take the Date header of an answer of IoTCall."""


@dataclass(frozen=True, slots=True)
class Call:
    """A row: one request to trigger a rule. Instants `_boot` and `_at` are of boot `boot_id`, in microseconds."""

    id: int
    kind: str
    rule: str
    alarm: str | None
    instance: str | None
    episode: int
    origin: str
    """`call`, `repeat`, or `hand`."""
    priority: int
    state: str
    reason: str
    boot_id: str
    created_boot: int
    created_wall: int
    created_synced: bool
    lived: int
    """For how long it existed in earlier boots."""
    fresh_at_age: int
    """How old it was when somebody last had it tried again: it expires from there."""
    attempts: int
    strikes: int
    next_attempt_at: int | None
    sending: bool
    last_result: str | None
    last_error: str | None
    ambiguous: tuple[int, ...]
    """The instants of attempts whose answer is unknown."""
    finished_wall: int | None
    finished_synced: bool
    activation_id: str | None
    outcome: str | None
    parent: int | None
    withdrawn: bool = False
    """Its alarm cleared while it was being sent: it is not tried again. From the second version on."""

    def age(self, clocks: Clocks) -> int:
        """Return for how long it is known to have existed, in microseconds.

        Time switched off counts only where the wall clock was right before and after.
        """
        if self.boot_id == clocks.boot_id:
            return clocks.now() - self.created_boot
        known = self.lived + clocks.now()
        if self.created_synced and clocks.synced():
            return max(clocks.wall() - self.created_wall, known)
        return known

    def as_json(self, clocks: Clocks, zone: tzinfo) -> dict[str, Any]:
        """Return the object of `outbox list --json`."""
        skew = clocks.wall() - clocks.now()
        this_boot = self.boot_id == clocks.boot_id
        created = self.created_boot + skew if this_boot else self.created_wall
        due = self.next_attempt_at
        pending = self.state in ("waiting", "failed") and not self.sending
        placed = self.finished_wall if self.state == "placed" else None
        return {
            "id": self.id,
            "kind": self.kind,
            "rule": self.rule,
            "alarm": self.alarm,
            "instance": self.instance,
            "state": self.state,
            "reason": self.reason or None,
            "created_at": iso(created, zone),
            "attempts": self.attempts + self.sending,
            "next_attempt_at": iso(due + skew, zone) if pending and due is not None else None,
            "last_error": self.last_error,
            "last_result": self.last_result,
            "ambiguous": bool(self.ambiguous),
            "placed_at": None if placed is None else iso(placed, zone),
            "activation_id": self.activation_id,
            "outcome": self.outcome,
            "parent": self.parent,
        }


@dataclass(frozen=True, slots=True)
class ClocksNote:
    """What the clocks showed at one moment of a boot: what the next boot knows of this one."""

    boot_id: str
    boot: int
    wall: int
    synced: bool


def note_clocks(db: sqlite3.Connection, clocks: Clocks) -> None:
    """Write down what the clocks show, within a transaction."""
    note = json.dumps([clocks.boot_id, clocks.now(), clocks.wall(), clocks.synced()])
    db.execute("INSERT OR REPLACE INTO meta VALUES ('clocks', ?)", (note,))


def read_clocks(text: str) -> ClocksNote:
    """Return what `note_clocks` wrote. ValueError, TypeError: it is none."""
    boot_id, boot, wall, synced = json.loads(text)
    return ClocksNote(str(boot_id), int(boot), int(wall), bool(synced))


class Subject(NamedTuple):
    """What an event is about."""

    alarm: str | None
    instance: str | None
    rule: str | None
    call: int | None = None
    """The row of the call that was made, held back, placed and so on."""


def log_event(
    db: sqlite3.Connection, clocks: Clocks, event: str, reason: str, subject: Subject, wall: int | None = None
) -> None:
    """Write an event, within a transaction; `wall` is now where it is left out."""
    db.execute(
        "INSERT INTO events (wall, synced, event, alarm, instance, rule, call, reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (clocks.wall() if wall is None else wall, clocks.synced(), str(event), *subject, storable(reason)),
    )


def storable(text: str) -> str:
    """Return a text as SQLite can keep it: a sensor's JSON may hold halves of characters."""
    return text.encode("utf-8", "replace").decode()


def call_of(row: sqlite3.Row) -> Call:
    """Return a row of the table `calls` as a value."""
    values = dict(row)
    values["created_synced"] = bool(values["created_synced"])
    values["sending"] = bool(values["sending"])
    values["finished_synced"] = bool(values["finished_synced"])
    values["withdrawn"] = bool(values.get("withdrawn"))
    values["ambiguous"] = tuple(json.loads(values["ambiguous"]))
    return Call(**values)


def alarm_key(alarm: str, instance: str | None) -> str:
    """Return the key of an alarm instance in the table `alarms`."""
    return json.dumps([alarm, instance])


def dump_record(record: AlarmRecord) -> str:
    """Return an alarm record as JSON."""
    owed = record.owed and {"kind": record.owed.kind, "rules": record.owed.rules}
    fields = {name: getattr(record, name) for name in AlarmRecord.__slots__}
    return json.dumps({**fields, "owed": owed})


def load_record(text: str) -> AlarmRecord:
    """Return the alarm record that `dump_record` wrote, also that of an earlier version, which lacks some of it.

    Raises:
        ValueError, KeyError, TypeError: it is none.
    """
    fields = json.loads(text)
    owed = fields["owed"] and Owed(EventKind(fields["owed"]["kind"]), tuple(fields["owed"]["rules"]))
    read = {
        "state": State(fields["state"]),
        "owed": owed,
        "terms": tuple(TermMemory(*term) for term in fields.get("terms", ())),
        "raised_at": tuple(fields.get("raised_at", ())),
    }
    return AlarmRecord(**{**fields, **read})
