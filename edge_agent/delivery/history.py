"""What happened, as the database tells it: events, and the calls that they are about. Changes nothing."""

import json
import re
import sqlite3
from dataclasses import dataclass, replace
from datetime import tzinfo
from typing import Any

from edge_agent.core.fields import SECOND
from edge_agent.core.times import iso
from edge_agent.delivery.episodes import Episode, episode_at
from edge_agent.delivery.rows import Call, call_of, storable
from edge_agent.delivery.store import Store

CHATTER_AGE = 7 * 86_400 * SECOND
"""Alarms that have chattered within this time are shown."""
_NEAR = 500
"""So many events before and after an instant tell its episode, of an alarm that repeats every minute too."""
_MOST_CALLS = 200
_RAISED = re.compile(r"raised ([0-9]+) times")
_AT_LEAST = 3
"""Raises that make an alarm chatter."""
_NO_SUGGESTION = "give it an off_delay, or where it has a limit a deadband"


@dataclass(frozen=True, slots=True)
class Chatterer:
    """An alarm instance that chattered."""

    alarm: str
    instance: str | None
    raises: int
    last_wall: int
    suggestion: str

    def as_json(self, zone: tzinfo) -> dict[str, Any]:
        """Return what the API shows."""
        return {
            "alarm": self.alarm,
            "instance": self.instance,
            "raises": self.raises,
            "last_at": iso(self.last_wall, zone),
            "suggestion": self.suggestion,
        }


@dataclass(frozen=True, slots=True)
class Story:
    """What happened to an alarm instance around an instant."""

    events: list[dict[str, Any]]
    """Oldest first; also some before and after the episode."""
    episode: Episode | None
    calls: list[Call]
    """The episode's, oldest first."""


class History:
    """Looks into the events and calls of a store. Safe from any thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._chatter: tuple[int, list[sqlite3.Row]] = (-1, [])

    def events(
        self, before: int | None, limit: int, alarm: str | None = None, instance: str | None = None
    ) -> list[dict[str, Any]]:
        """Return events, newest first, with `wall` in Unix microseconds; of one alarm, or one instance of it."""
        where = "id < ?"
        values: list[object] = [2**62 if before is None else before]
        for column, wanted in (("alarm", alarm), ("instance", instance)):
            if wanted is not None:
                where += f" AND {column} = ?"
                values.append(storable(wanted))
        sql = f"SELECT * FROM events WHERE {where} ORDER BY id DESC LIMIT ?"  # noqa: S608 - constants
        return [dict(row) for row in self._store.read(sql, *values, limit)]

    def near(self, alarm: str, instance: str | None, wall: int | None) -> list[dict[str, Any]]:
        """Return the events of an alarm instance around an instant (None: the last ones), oldest first."""
        whose = (alarm, instance if instance is None else storable(instance))
        mine = "FROM events WHERE alarm = ? AND instance IS ?"
        pivot = 2**62
        if wall is not None:  # by id: a wall clock that was set orders nothing
            sql = f"SELECT coalesce(max(id), 0) {mine} AND wall <= ?"
            pivot = self._store.read(sql, *whose, wall)[0][0]
        before = self._store.read(f"SELECT * {mine} AND id <= ? ORDER BY id DESC LIMIT ?", *whose, pivot, _NEAR)
        after = self._store.read(f"SELECT * {mine} AND id > ? ORDER BY id LIMIT ?", *whose, pivot, _NEAR)
        return [dict(row) for row in (*reversed(before), *after)]

    def instances(self, alarm: str) -> list[str | None]:
        """Return the instances of an alarm of which there are events, the last one first; None: it has none."""
        sql = "SELECT instance FROM events WHERE alarm = ? GROUP BY instance ORDER BY max(id) DESC"
        return [row["instance"] for row in self._store.read(sql, alarm)]

    def story(self, alarm: str, instance: str | None, wall: int | None) -> Story:
        """Return what happened to an alarm instance in the episode of an instant; None: in the last one."""
        events = self.near(alarm, instance, wall)
        episode = episode_at(events, wall)
        if episode is None:
            return Story(events, None, [])
        ids = episode.calls()
        if episode.unnamed():  # events of the first version do not name theirs: it goes by the time
            ended = 2**62 if episode.ended_at is None else episode.ended_at
            ids += self._calls_between(alarm, instance, episode.began_at, ended)
        sql = "SELECT * FROM calls WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id DESC LIMIT ?"
        rows = self._store.read(sql, json.dumps(ids), _MOST_CALLS)
        return Story(events, episode, [call_of(row) for row in reversed(rows)])

    def _calls_between(self, alarm: str, instance: str | None, began: int, ended: int) -> list[int]:
        sql = "SELECT id FROM calls WHERE alarm = ? AND instance IS ? AND created_wall BETWEEN ? AND ? ORDER BY id"
        whose = (alarm, instance if instance is None else storable(instance))
        return [row["id"] for row in self._store.read(sql, *whose, began, ended)]

    def _raises_since(self, alarm: str, instance: str | None, event: int) -> int:
        sql = "SELECT count(*) FROM events WHERE event = 'raised' AND alarm = ? AND instance IS ? AND id > ?"
        return int(self._store.read(sql, alarm, instance, event)[0][0])

    def chatter(self, wall: int) -> list[Chatterer]:
        """Return who chattered in the week up to an instant, the worst first."""
        changes = self._store.changes
        if self._chatter[0] != changes:
            sql = "SELECT * FROM events WHERE event IN ('chattering', 'settled') ORDER BY id"
            self._chatter = (changes, self._store.read(sql))
        found: dict[tuple[str, str | None], Chatterer] = {}
        open_: dict[tuple[str, str | None], int] = {}
        for row in self._chatter[1]:
            if row["wall"] < wall - CHATTER_AGE:
                continue
            key = (row["alarm"], row["instance"])
            before = found.get(key, Chatterer(*key, 0, 0, _NO_SUGGESTION))
            found[key] = _added(before, row)
            if row["event"] == "chattering":
                open_[key] = row["id"]
            else:
                open_.pop(key, None)
        for key, began in open_.items():  # it says how often when it has settled
            found[key] = replace(found[key], raises=found[key].raises + _AT_LEAST + self._raises_since(*key, began))
        return sorted(found.values(), key=lambda each: (-each.raises, -each.last_wall))


def _added(before: Chatterer, row: sqlite3.Row) -> Chatterer:
    """Return what is known of a chatterer with one more of its events, which tells what would have calmed it."""
    told = _RAISED.match(row["reason"]) if row["event"] == "settled" else None
    suggestion = row["reason"].partition("; ")[2] if told else ""
    return Chatterer(
        before.alarm,
        before.instance,
        before.raises + (int(told.group(1)) if told else 0),
        row["wall"],
        suggestion or before.suggestion,
    )
