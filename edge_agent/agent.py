"""The agent: builds the parts, starts them, supervises them, stops them. The only module that knows them all."""

import logging
import signal
import sqlite3
import threading
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING

from edge_agent.agent_faults import current_faults
from edge_agent.agent_reload import Reloader, ReloadRefusedError, plan_drivers
from edge_agent.agent_view import AgentView
from edge_agent.auth_watch import AuthWatch
from edge_agent.config.settings import Config
from edge_agent.core.engine import Engine
from edge_agent.core.fields import SECOND
from edge_agent.delivery.attempts import Trigger
from edge_agent.delivery.outbox import Outbox
from edge_agent.delivery.rows import Subject, log_event
from edge_agent.delivery.sender import Sender
from edge_agent.delivery.statedir import StateLock
from edge_agent.delivery.store import open_store
from edge_agent.engine_settings import engine_settings
from edge_agent.engine_thread import EngineThread
from edge_agent.faults import Fault, FaultBook
from edge_agent.inbox import Inbox
from edge_agent.own_points import own_points
from edge_agent.source_desk import BadReadings, SourceDesk
from edge_agent.sources.supervisor import Restarts, Supervisor
from edge_agent.system.clock import Clock
from edge_agent.system.sdnotify import notify, watchdog_interval_s
from edge_agent.web.address import split_listen

if TYPE_CHECKING:
    from edge_agent.web.server import WebServer

_log = logging.getLogger(__name__)
HUNG_AFTER = 30 * SECOND
"""A thread that has not beaten for so long is said to hang; a broker may take 20 s to be reached."""
_TURN_S = 1.0
_STOP_WITHIN = 4 * SECOND
_WEB_RETRY = 5 * SECOND
_WEB_CHANGE_AFTER = SECOND
"""The answer to the request that asked for a reload must get out by the server that took it."""
_PRUNE_EVERY = 3600 * SECOND
_MEND_EVERY = 3 * SECOND
_LOCK_PATIENCE_S = 1.0
"""A command that only looks has the lock for a moment."""


class Agent:
    """A running agent. Its methods are the main thread's, but for what reloads, which may be any."""

    def __init__(self, config: Config, read_config: Callable[[], Config]) -> None:
        """Take the state folder, open the outbox, restore the alarms.

        Args:
            config: the configuration to begin with.
            read_config: reads it again, for a reload; ConfigError leaves the old one in force.

        Raises:
            StateError: the state folder cannot be used.
        """
        self.config = config
        self.read_config = read_config
        self.clock = Clock(trusted=config.agent.clock == "trusted")
        self.started_at = self.clock.now()
        self._lock = StateLock(config.state_dir, _LOCK_PATIENCE_S)
        self.store = open_store(config.state_dir)
        self.outbox = Outbox(self.store, self.clock)
        self.outbox.enter_boot()
        self.faults = FaultBook()
        self.inbox = Inbox()
        self.desk = SourceDesk(self.inbox, self.clock.now)
        self._bad_readings = BadReadings()
        self.auth = AuthWatch(config)
        self.outbox.note_auth_code(self.auth.code())
        engine = self._restored_engine()
        self.sender = Sender(self.outbox, self._client, config.iotcall.rules, self.clock, self._count_trigger)
        self.engine_thread = EngineThread(engine, self.inbox, self.outbox, self.clock, self.sender)
        self.plans = plan_drivers(config)
        self.sources = Supervisor([plan.driver for plan in self.plans.values()], self.desk, self.clock.now)
        self.reloader = Reloader(self)
        self.view = AgentView(self)
        self._own_points = own_points(self)
        self._restarts: dict[EngineThread | Sender, Restarts] = {}
        self._web: WebServer | None = None
        self._web_settings = config.web
        self._web_change_at: int | None = None
        self._web_try_at = 0
        self._prune_at = self.clock.now() + 60 * SECOND
        self._mend_at = self.clock.now()
        self._seen_set_aside = self.store.set_aside
        self._records_stale = False
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._hangup = False

    # Building -----------------------------------------------------------------------------------------------------

    def _restored_engine(self) -> Engine:
        settings = engine_settings(self.config)
        for call in self.outbox.dispatch.resume():
            _log.warning("event=ambiguous id=%d rule=%s error='the agent ended while sending'", call.id, call.rule)
        triggers = {rule: self.outbox.triggers(rule, per) for rule, (_, per) in settings.budgets.items()}
        now, wall, synced = self.clock.now(), self.clock.wall(), self.clock.synced()
        engine = Engine(settings, now, self.outbox.records(), triggers, skew=wall - now, synced=synced)
        self.outbox.keep_records(engine.records())
        return engine

    def _client(self) -> Trigger:
        from edge_agent.iotcall.client import Client  # noqa: PLC0415 - requests takes its time: not before it is armed

        return Client(self.config.iotcall, self.auth.code)

    def _count_trigger(self, rule: str, at: int) -> None:
        self.inbox.put(lambda: self.engine_thread.engine.count_trigger(rule, at))

    # Running ------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Run until SIGTERM or SIGINT. Call it in the main thread."""
        signal.signal(signal.SIGTERM, self._on_stop)
        signal.signal(signal.SIGINT, self._on_stop)
        signal.signal(signal.SIGHUP, self._on_hangup)
        self.start()
        notify("READY=1")
        _log.info("event=ready config=%s state_dir=%s", self.config.path, self.config.state_dir)
        self.sender.warm_up()
        every = min(_TURN_S, watchdog_interval_s() or _TURN_S)
        while not self._stop.is_set():
            self._wake.wait(every)
            self._wake.clear()
            self._turn()
        notify("STOPPING=1")
        self.stop()

    def _turn(self) -> None:
        try:
            if self._hangup:
                self._hangup = False
                # In a thread of its own: an engine that is busy must hold up neither the watchdog's feed nor the end.
                threading.Thread(target=self._reload, name="reload", daemon=True).start()
            self.supervise()
        except Exception:  # noqa: BLE001 - the top of a thread; the watchdog is not fed where it goes on like this
            _log.exception("event=supervision_failed")

    def _reload(self) -> None:
        try:
            self.reloader.reload()
        except ReloadRefusedError:
            pass  # it is in the log and in status
        except Exception:  # noqa: BLE001 - the top of a thread
            _log.exception("event=reload_failed")

    def start(self) -> None:
        """Start every thread; returns when the agent is armed."""
        self.engine_thread.start()
        self.sources.start()
        self.sender.start()
        self._restarts = {part: Restarts(self.clock.now()) for part in (self.engine_thread, self.sender)}
        self._start_web()

    def stop(self) -> None:
        """End within 5 s, nothing lost: what is in the inbox is committed, an attempt under way may finish."""
        _log.info("event=stopping")
        end = self.clock.now() + _STOP_WITHIN

        def left_s(most: float) -> float:
            return max(0.1, min(most, (end - self.clock.now()) / SECOND))

        self.sources.stop()
        self.engine_thread.stop(left_s(1.0))
        self.sender.stop(left_s(1.5))
        if self._web is not None:
            self._web.stop()
        # A database that another program has locked, or a disk that hangs, must not hold up the end.
        closing = threading.Thread(target=self._close, name="closing", daemon=True)
        closing.start()
        closing.join(left_s(1.5))
        self._lock.release()

    def _close(self) -> None:
        try:
            self.outbox.close()
        except sqlite3.Error as error:
            _log.error("event=close_failed error=%r", str(error))

    def _on_stop(self, _signal: int, _frame: FrameType | None) -> None:
        self._stop.set()
        self._wake.set()

    def _on_hangup(self, _signal: int, _frame: FrameType | None) -> None:
        self._hangup = True
        self._wake.set()

    # Supervising --------------------------------------------------------------------------------------------------

    def supervise(self) -> None:
        """One turn, each second: restart what died, feed the watchdog, note faults, look after files."""
        now = self.clock.now()
        for part, restarts in self._restarts.items():
            if not part.alive() and restarts.due(now):
                _log.error("event=thread_died part=%s note='started again'", type(part).__name__)
                part.start()
        self._look_after_web(now)
        if self.auth.changed():
            _log.info("event=auth_code_changed")
            self.sender.auth_changed()
        if now >= self._prune_at:
            self._prune_at = now + _PRUNE_EVERY
            self._prune()
        self._look_after_store(now)
        self.look_for_faults()
        self._own_points.look(now)
        stats = self.engine_thread.engine.stats
        bad = {name: each.bad + each.refused + self.desk.refused.get(name, 0) for name, each in stats.items()}
        self._bad_readings.look(bad, now, self.engine_thread.engine.why_bad)
        if not self.unhealthy():
            notify("WATCHDOG=1")

    def look_for_faults(self) -> list[Fault]:
        """Bring the list of faults up to date, and return it."""
        self.faults.mirror_all(current_faults(self), self.clock.now())
        return self.faults.all()

    def unhealthy(self) -> list[str]:
        """Return the names of threads that do not beat."""
        now = self.clock.now()
        beats = {"engine": self.engine_thread.beat_at, "sender": self.sender.beat_at, **self.sources.beats()}
        dead = {
            "engine": not self.engine_thread.alive(),
            "sender": not self.sender.alive(),
        }
        return [name for name, beat_at in beats.items() if now - beat_at > HUNG_AFTER or dead.get(name)]

    def _look_after_store(self, now: int) -> None:
        """Bring back to disk what is in memory only; let a new database know the alarms."""
        if self.store.trouble is not None and now >= self._mend_at:
            self._mend_at = now + _MEND_EVERY
            self.store.mend()
        if self.store.set_aside != self._seen_set_aside or self._records_stale:
            self._seen_set_aside = self.store.set_aside
            self._records_stale = False
            self.inbox.put(self.keep_records)

    def _prune(self) -> None:
        keep = self.config.agent
        try:
            self.outbox.prune(keep.keep_rows, keep.keep_events, keep.max_events)
        except sqlite3.Error as error:
            _log.warning("event=prune_failed error=%r", str(error))

    def _look_after_web(self, now: int) -> None:
        """Begin to listen where that failed before, and elsewhere where a reload has changed that."""
        if self._web_change_at is not None and now >= self._web_change_at:
            self._web_change_at = None
            if self._web is not None and self._web_settings != self.config.web:
                self._web.stop()
                self._web = None
            self._web_try_at = now
        if self._web is None and now >= self._web_try_at:
            self._start_web()

    def _start_web(self) -> None:
        self._web_settings = self.config.web
        if not self.config.web.listen:
            self.faults.clear("web")
            return
        from edge_agent.web.server import WebServer  # noqa: PLC0415 - not where it is turned off

        host, port = split_listen(self.config.web.listen)
        web = WebServer(self.view, host=host, port=port, hosts=self.config.web.hosts, token=lambda: self.view.token)
        try:
            web.start()
        except OSError as error:
            self._web_try_at = self.clock.now() + _WEB_RETRY
            what = f"web: {self.config.web.listen} cannot be listened on: {error.strerror or error}"
            self.faults.set(what, self.clock.now(), "free the port, or set web.listen to another")
        else:
            self._web = web
            self.faults.clear("web")

    # Reloading ----------------------------------------------------------------------------------------------------

    def take_over(self, config: Config) -> None:
        """Have everything but the engine and the sources go by another configuration; nothing of it can fail."""
        before, self.config = self.config, config
        self.clock.trusted = config.agent.clock == "trusted"
        logging.getLogger("edge_agent").setLevel(config.agent.log_level.upper())
        self.view.name = config.agent.name
        code = self.auth.code()
        self.auth.configure(config)
        self.sender.configure(config.iotcall.rules, self._client)
        if self.auth.code() != code:
            self.sender.auth_changed()
        self.desk.keep(config.sources)
        if before.web != config.web:
            self._web_change_at = self.clock.now() + _WEB_CHANGE_AFTER

    def keep_records(self) -> None:
        """Let the database know the engine's alarms, and no others. Call it in the engine's thread."""
        try:
            self.outbox.keep_records(self.engine_thread.engine.records())
        except (sqlite3.Error, OSError) as error:
            self._records_stale = True  # tried again within a second
            _log.warning("event=keep_records_failed error=%r", str(error))

    def note_event(self, event: str, reason: str) -> None:
        """Write an event that is about no alarm. Safe from any thread."""
        try:
            self.store.write(lambda db: log_event(db, self.clock, event, reason, Subject(None, None, None)))
        except (sqlite3.Error, OSError) as error:
            _log.warning("event=note_failed error=%r", str(error))
