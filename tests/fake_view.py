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

    def events(self, before: int | None, limit: int) -> tuple[list[dict[str, Any]], int | None]:
        first = 2000 if before is None else before - 1
        ids = range(first, max(0, first - limit), -1)
        return [{"id": number, "event": "raised"} for number in ids], ids[-1] if ids and ids[-1] > 1 else None

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

    def retry(self, row: int) -> int:
        if row != 1:
            raise Refused(404, f"there is no call {row}")
        return 1

    def cancel(self, row: int) -> int:
        if row == 1:
            raise Refused(409, "the call was placed already")
        return 1
