"""The running agent as the web room and the commands see it: views made on demand, commands put into the inbox."""

from dataclasses import replace
from datetime import tzinfo
from typing import TYPE_CHECKING, Any

from edge_agent import __version__
from edge_agent.agent_people import AgentPeople
from edge_agent.agent_reload import ReloadRefusedError
from edge_agent.config.settings import Config
from edge_agent.core.engine import ONLINE
from edge_agent.core.fields import SECOND
from edge_agent.core.instants import iso_micros, parse_time
from edge_agent.core.reading import Reading, Value, split_point
from edge_agent.core.times import iso, nearest_iso
from edge_agent.delivery.policy import CallState
from edge_agent.question import NotAnsweredError, NotTakenError
from edge_agent.recorder import as_json
from edge_agent.web.token import load_token
from edge_agent.web.view import Counters, Refused

if TYPE_CHECKING:
    from edge_agent.agent import Agent

_RECORDED_WITHIN_S = 5.0


class AgentView:
    """Read by many threads, owned by none: it keeps nothing but the token."""

    def __init__(self, agent: "Agent") -> None:
        self._agent = agent
        self.name = agent.config.agent.name
        self.token = load_token(agent.config.state_dir)
        self._people = AgentPeople(agent)
        self._zone_of: tuple[Config, tzinfo] | None = None

    def _zone(self) -> tzinfo:
        """Return the configuration's time zone, looked up once for each configuration."""
        config = self._agent.config
        if self._zone_of is None or self._zone_of[0] is not config:
            self._zone_of = (config, config.zone())
        return self._zone_of[1]

    def _iso(self, at: int | None) -> str | None:
        return None if at is None else nearest_iso(self._agent.clock.wall_at(at), self._zone())

    # Views --------------------------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """Return what `status --json` prints."""
        agent = self._agent
        waits = agent.outbox.summary()
        last = agent.sender.last_success_wall
        return {
            "agent": agent.config.agent.name,
            "version": __version__,
            "uptime_s": round((agent.clock.now() - agent.started_at) / SECOND, 1),
            "sources": self._sources(),
            "points": self._points(),
            "alarms": self._alarms(),
            "outbox": waits.counts,
            "iotcall": {
                "reachable": agent.sender.reachable,
                "auth_ok": not waits.waiting_auth,
                "last_success_at": None if last is None else iso(last, self._zone()),
            },
            "faults": [
                {"what": fault.what, "since": self._iso(fault.since), "hint": fault.hint}
                for fault in agent.look_for_faults()
            ],
        }

    def _sources(self) -> dict[str, Any]:
        agent = self._agent
        links = agent.desk.links()
        stats = agent.engine_thread.engine.stats
        found = {}
        for name, settings in agent.config.sources.items():
            link, counted = links.get(name), stats.get(name)
            refused = agent.desk.refused.get(name, 0)
            found[name] = {
                "type": settings.type,
                "online": link is not None and link.online,
                "readings": (counted.readings if counted else 0) + refused,
                "bad_readings": (counted.bad if counted else 0) + refused,
                "last_reading_at": self._iso(counted.last_at if counted else None),
                "error": link.error if link is not None and not link.online else None,
            }
        return found

    def _points(self) -> dict[str, Any]:
        return {
            point.name: {"value": point.value, "quality": "good" if point.good else "bad", "at": self._iso(point.at)}
            for point in list(self._agent.engine_thread.engine.points.values())
            if point.at is not None
        }

    def _alarms(self) -> list[dict[str, Any]]:
        return [
            {
                "alarm": alarm.name,
                "instance": alarm.instance,
                "state": str(alarm.state),
                "since": self._iso(alarm.since),
                "acknowledged": alarm.acknowledged,
                "shelved_until": self._iso(alarm.shelved_until),
            }
            for alarm in list(self._agent.engine_thread.engine.alarms.values())
        ]

    def outbox(self, state: str | None, limit: int | None) -> list[dict[str, Any]]:
        """Return rows of the outbox."""
        agent, zone = self._agent, self._zone()
        return [call.as_json(agent.clock, zone) for call in agent.outbox.rows(state, limit)]

    def events(
        self, before: int | None, limit: int, alarm: str | None = None, instance: str | None = None
    ) -> tuple[list[dict[str, Any]], int | None]:
        """Return events newest first, and the cursor of what is older."""
        zone = self._zone()
        rows = self._agent.outbox.history.events(before, limit, alarm, instance)
        events = [
            {
                "id": row["id"],
                "time": iso(row["wall"], zone),
                **{key: row[key] for key in ("event", "alarm", "instance", "rule", "reason")},
            }
            for row in rows
        ]
        return events, rows[-1]["id"] if len(rows) == limit else None

    def readings(self, after: str | None) -> dict[str, Any]:
        """Return what the engine has taken since a cursor, in its order; the first question begins a recording."""
        thread, zone = self._agent.engine_thread, self._zone()
        try:
            page = thread.ask(lambda: thread.recorded(after), _RECORDED_WITHIN_S)
        except (NotTakenError, NotAnsweredError):
            raise Refused(409, "the engine is busy; try again") from None
        return {
            "entries": [as_json(entry, page.skew, zone) for entry in page.entries],
            "next": page.cursor,
            "lost": page.lost,
            "at": iso_micros(page.at + page.skew, zone),
        }

    def owed(self) -> list[dict[str, Any]]:
        """Return the calls that are held back now."""
        return self._people.owed()

    def chatter(self) -> list[dict[str, Any]]:
        """Return who chattered in the last week, the worst first."""
        zone = self._zone()
        agent = self._agent
        found = []
        for each in agent.outbox.history.chatter(agent.clock.wall()):
            alarm = agent.engine_thread.engine.alarms.get((each.alarm, each.instance))
            advice = alarm.chatter.advice() if alarm is not None and alarm.chattering_until is not None else ""
            found.append((replace(each, suggestion=advice) if advice else each).as_json(zone))
        return found

    def explain(self, alarm: str, instance: str | None, at: str | None) -> dict[str, Any]:
        """Return why an alarm did, or did not, call."""
        zone = self._zone()
        try:
            wall = None if at is None else parse_time(at, zone)
        except ValueError as error:
            raise Refused(400, f"at: {error}") from None
        return self._people.explain(alarm, instance, wall, zone)

    def unhealthy(self) -> list[str]:
        """Return the names of threads that do not beat."""
        return self._agent.unhealthy()

    def counters(self) -> Counters:
        """Return the numbers for /metrics."""
        agent = self._agent
        tally = agent.sender.tally
        sources = self._sources()
        return Counters(
            readings={
                name: (each["readings"] - each["bad_readings"], each["bad_readings"]) for name, each in sources.items()
            },
            online={name: each["online"] for name, each in sources.items()},
            alarms=[(each["alarm"], each["instance"], each["state"]) for each in self._alarms()],
            calls=agent.outbox.summary().counts,
            attempts=dict(tally.attempts),
            delay_buckets=tuple(tally.delays),
            delay_sum_s=tally.delay_sum_s,
            queue_depth=len(agent.inbox),
        )

    # Commands -----------------------------------------------------------------------------------------------------

    def inject(self, point: str, value: Value | None) -> int:
        """Put a reading into the engine."""
        agent = self._agent
        reason = agent.engine_thread.engine.refuses(point)
        if reason is not None:
            raise Refused(404, reason)
        source, _, field = split_point(point)
        settings = agent.config.sources.get(source)
        is_level = field == ONLINE or (settings is not None and settings.type == "gpio")
        if is_level and value is not None and not isinstance(value, bool):
            raise Refused(400, f"{point} is only ever true or false")
        agent.inbox.put(Reading(point, value, agent.clock.now(), "" if value is not None else "injected"))
        return 1

    def call(self, rule: str) -> dict[str, Any]:
        """Trigger a rule, one attempt now."""
        if rule not in self._agent.config.iotcall.rules:
            raise Refused(404, f"no IoTCall rule is called {rule!r}")
        row, outcome = self._agent.sender.call_by_hand(rule)
        return {"result": str(outcome.result), "message": outcome.message, "id": row}

    def acknowledge(self, alarm: str, instance: str | None) -> int:
        """Acknowledge an alarm."""
        return self._people.acknowledge(alarm, instance)

    def shelve(self, alarm: str, instance: str | None, lasts: object, until: object) -> int:
        """Hold an alarm's calls back for a while."""
        return self._people.shelve(alarm, instance, lasts, until, self._zone())

    def unshelve(self, alarm: str, instance: str | None) -> int:
        """End the shelving of an alarm."""
        return self._people.unshelve(alarm, instance)

    def reload(self) -> list[str]:
        """Read the configuration again, and return what changed."""
        try:
            return self._agent.reloader.reload()
        except ReloadRefusedError as refused:
            raise Refused(400, str(refused)) from None

    def retry(self, row: int) -> int:
        """Make a call due now."""
        call = self._agent.outbox.get(row)
        if call is None or not self._agent.outbox.retry(row):
            raise self._refused(row, "retried")
        self._agent.sender.retried(call.rule)
        return 1

    def cancel(self, row: int) -> int:
        """Withdraw a call."""
        if not self._agent.outbox.cancel(row):
            raise self._refused(row, "withdrawn")
        return 1

    def _refused(self, row: int, what: str) -> Refused:
        call = self._agent.outbox.get(row)
        if call is None:
            return Refused(404, f"there is no call {row}")
        state = "being sent" if call.sending else CallState(call.state)
        return Refused(409, f"call {row} is {state} and cannot be {what}")
