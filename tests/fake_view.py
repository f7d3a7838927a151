"""A running agent as the web room sees it, made of fixed words; commands are written down."""

from typing import Any

from edge_agent.core.reading import Value
from edge_agent.web.view import Counters, Refused

STATES = ("waiting", "placed", "failed", "expired", "cancelled", "suppressed")
AT = "2026-01-31T09:00:00.250+09:00"


class FakeView:
    """A View. What it answers can be changed by setting its attributes."""

    name = "pump-house-3"

    def __init__(self) -> None:
        self.commands: list[tuple[str, Any]] = []
        self.silent: list[str] = []
        self.uptime_s = 12.0
        self.rows: list[dict[str, Any]] = []
        self.numbers = Counters(
            readings={"freezer": (7, 2)},
            online={"freezer": True, "door": False},
            alarms=[("freezer-warm", "f1", "raised"), ("door-open", None, "normal")],
            calls={**dict.fromkeys(STATES, 0), "waiting": 3},
            attempts={"placed": 4, "offline": 0},
            delay_buckets=(1, 2, *(0,) * 11, 1),
            delay_sum_s=100000.5,
            queue_depth=5,
        )
        self.sources: dict[str, Any] = {
            "freezer": {
                "type": "mqtt",
                "online": True,
                "readings": 9,
                "bad_readings": 2,
                "last_reading_at": AT,
                "error": None,
            }
        }
        self.points: dict[str, Any] = {"freezer[f1]": {"value": -14.5, "quality": "good", "at": AT}}
        self.alarms: list[dict[str, Any]] = [
            {
                "alarm": "freezer-warm",
                "instance": "f1",
                "state": "raised",
                "since": AT,
                "acknowledged": False,
                "shelved_until": None,
            }
        ]
        self.faults: list[dict[str, Any]] = []
        self.problems: list[str] = []
        self.owing: list[dict[str, Any]] = []
        self.chatterers: list[dict[str, Any]] = []
        self.explained: list[dict[str, Any]] = []

    def status(self) -> dict[str, Any]:
        return {
            "agent": self.name,
            "version": "0.1.0",
            "uptime_s": self.uptime_s,
            "sources": self.sources,
            "points": self.points,
            "alarms": self.alarms,
            "outbox": self.numbers.calls,
            "iotcall": {"reachable": False, "auth_ok": True, "last_success_at": None},
            "faults": self.faults,
        }

    def outbox(self, state: str | None, limit: int | None) -> list[dict[str, Any]]:
        rows = [row for row in self.rows if state in (None, row["state"])]
        return rows if limit is None else rows[-limit:]

    def events(
        self, before: int | None, limit: int, alarm: str | None = None, instance: str | None = None
    ) -> tuple[list[dict[str, Any]], int | None]:
        if alarm is not None:
            return [{"id": 1, "alarm": alarm, "instance": instance}], None
        first = 2000 if before is None else before - 1
        ids = range(first, max(0, first - limit), -1)
        return [{"id": number, "event": "raised"} for number in ids], ids[-1] if ids and ids[-1] > 1 else None

    def readings(self, after: str | None) -> dict[str, Any]:
        return {"entries": [{"time": AT, "point": "door", "value": True}], "next": after or "a-1", "lost": 0, "at": AT}

    def owed(self) -> list[dict[str, Any]]:
        return self.owing

    def chatter(self) -> list[dict[str, Any]]:
        return self.chatterers

    def explain(self, alarm: str, instance: str | None, at: str | None) -> dict[str, Any]:
        self._require(alarm)
        self.commands.append(("explain", (alarm, instance, at)))
        return {"alarm": alarm, "at": at and AT, "instances": ["f1", "f2"], "explained": self.explained}

    def _require(self, alarm: str) -> None:
        if alarm not in ("freezer-warm", "door-open"):
            raise Refused(404, f'no alarm is called {alarm!r}; did you mean "freezer-warm"?')

    def acknowledge(self, alarm: str, instance: str | None) -> int:
        self._require(alarm)
        self.commands.append(("ack", (alarm, instance)))
        return 1 if alarm == "freezer-warm" else 0

    def shelve(self, alarm: str, instance: str | None, lasts: object, until: object) -> int:
        self._require(alarm)
        if lasts in ("9d", 9 * 86400):
            raise Refused(400, "a shelf always ends: agent.max_shelve allows 1d, and this one would last 9d")
        self.commands.append(("shelve", (alarm, instance, lasts, until)))
        return 1 if alarm == "freezer-warm" else 0

    def unshelve(self, alarm: str, instance: str | None) -> int:
        self._require(alarm)
        self.commands.append(("unshelve", (alarm, instance)))
        return 1 if alarm == "freezer-warm" else 0

    def unhealthy(self) -> list[str]:
        return self.silent

    def counters(self) -> Counters:
        return self.numbers

    def inject(self, point: str, value: Value | None) -> int:
        if point == "nothing":
            raise Refused(404, "no source or point is called nothing")
        self.commands.append((point, value))
        return 1

    def call(self, rule: str) -> dict[str, Any]:
        if rule == "broken":
            raise ZeroDivisionError
        self.commands.append(("call", rule))
        return {"result": "placed", "message": "ok", "id": 7}

    def reload(self) -> list[str]:
        if self.problems:
            raise Refused(400, "\n".join(self.problems))
        return ["sources.door added"]

    def retry(self, row: int) -> int:
        if row != 1:
            raise Refused(404, f"there is no call {row}")
        return 1

    def cancel(self, row: int) -> int:
        if row == 1:
            raise Refused(409, "the call was placed already")
        return 1
