"""The agent: builds the parts, starts them, supervises them, stops them. The only module that knows them all."""

import logging
import signal
import sqlite3
import threading
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING

from edge_agent.agent_faults import current_faults
from edge_agent.agent_view import AgentView
from edge_agent.auth_watch import AuthWatch
from edge_agent.config.errors import ConfigError
from edge_agent.config.settings import Config
from edge_agent.core.engine import Engine, EngineSettings
from edge_agent.core.fields import SECOND
from edge_agent.delivery.attempts import Trigger
from edge_agent.delivery.outbox import Outbox
from edge_agent.delivery.sender import Sender
from edge_agent.delivery.statedir import StateLock
from edge_agent.delivery.store import open_store
from edge_agent.engine_thread import EngineThread
from edge_agent.faults import Fault, FaultBook
from edge_agent.inbox import Inbox
from edge_agent.source_desk import BadReadings, SourceDesk, source_spec
from edge_agent.sources.base import DriverContext
from edge_agent.sources.registry import build_drivers
from edge_agent.sources.supervisor import Supervisor
from edge_agent.system.clock import Clock, machine_id
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
_PRUNE_EVERY = 3600 * SECOND
_MEND_EVERY = 3 * SECOND
_LOCK_PATIENCE_S = 1.0
"""A command that only looks has the lock for a moment."""


def engine_settings(config: Config) -> EngineSettings:
    """Return what a configuration tells the engine."""
    return EngineSettings(
        {name: source_spec(source) for name, source in config.sources.items()},
        config.alarms,
        {name: (rule.max_calls, rule.per) for name, rule in config.iotcall.rules.items()},
    )


class Agent:
    """A running agent. `reload` reads the configuration again; ConfigError leaves the old one in force."""

    def __init__(self, config: Config, reload: Callable[[], Config]) -> None:
        """Take the state folder, open the outbox, restore the alarms.

        Raises:
            StateError: the state folder cannot be used.
        """
        self.config = config
        self._reload = reload
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
        self.sources = self._supervisor(config)
        self.view = AgentView(self)
        self._web: WebServer | None = None
        self._web_try_at = 0
        self._prune_at = self.clock.now() + 60 * SECOND
        self._mend_at = self.clock.now()
        self._seen_set_aside = self.store.set_aside
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._hangup = False

    # Building -----------------------------------------------------------------------------------------------------

    def _restored_engine(self) -> Engine:
        settings = engine_settings(self.config)
        for call in self.outbox.dispatch.resume():
            _log.warning("event=ambiguous id=%d rule=%s error='the agent ended while sending'", call.id, call.rule)
        triggers = {rule: self.outbox.triggers(rule, per) for rule, (_, per) in settings.budgets.items()}
        engine = Engine(settings, self.clock.now(), self.outbox.records(), triggers)
        self.outbox.keep_records(engine.records())
        return engine

    def _client(self) -> Trigger:
        from edge_agent.iotcall.client import Client  # noqa: PLC0415 - requests takes its time: not before it is armed

        return Client(self.config.iotcall, self.auth.code)

    def _count_trigger(self, rule: str, at: int) -> None:
        self.inbox.put(lambda: self.engine_thread.engine.count_trigger(rule, at))

    def _supervisor(self, config: Config) -> Supervisor:
        passwords = {broker: secret.reveal() for broker, secret in config.passwords.items()}
        context = DriverContext(config.agent.name, machine_id(), config.mqtt, passwords)
        return Supervisor(build_drivers(config.sources, context), self.desk, self.clock.now)

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
                self.reload()
            self.supervise()
        except Exception:  # noqa: BLE001 - the top of a thread; the watchdog is not fed where it goes on like this
            _log.exception("event=supervision_failed")

    def start(self) -> None:
        """Start every thread; returns when the agent is armed."""
        self.engine_thread.start()
        self.sources.start()
        self.sender.start()
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
        parts: tuple[EngineThread | Sender, ...] = (self.engine_thread, self.sender)
        for part in parts:
            if not part.alive():
                _log.error("event=thread_died part=%s", type(part).__name__)
                part.start()
        if self._web is None and now >= self._web_try_at:
            self._start_web()
        if self.auth.changed():
            _log.info("event=auth_code_changed")
            self.sender.auth_changed()
        if now >= self._prune_at:
            self._prune_at = now + _PRUNE_EVERY
            self._prune()
        self._look_after_store(now)
        self.look_for_faults()
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
        if self.store.set_aside != self._seen_set_aside:
            self._seen_set_aside = self.store.set_aside
            self.inbox.put(lambda: self.outbox.keep_records(self.engine_thread.engine.records()))

    def _prune(self) -> None:
        keep = self.config.agent
        try:
            self.outbox.prune(keep.keep_rows, keep.keep_events, keep.max_events)
        except sqlite3.Error as error:
            _log.warning("event=prune_failed error=%r", str(error))

    def _start_web(self) -> None:
        if not self.config.web.listen:
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

    def reload(self) -> None:
        """Read the configuration again; a bad one is refused, and the old one stays."""
        notify("RELOADING=1")
        try:
            config = self._reload()
        except ConfigError as error:
            self._refuse([str(problem) for problem in error.problems])
        else:
            if config.state_dir != self.config.state_dir:
                self._refuse(["agent.state_dir cannot change while the agent runs; restart it"])
            else:
                self._apply(config)
                self.faults.clear("config")
                _log.info("event=reloaded config=%s", config.path)
        notify("READY=1")

    def _refuse(self, problems: list[str]) -> None:
        for problem in problems:
            _log.error("event=reload_refused problem=%r", problem)
        what = f"config: the changed configuration was refused: {problems[0]}"
        self.faults.set(what, self.clock.now(), "run edge-agent check, mend the file, and reload")

    def _apply(self, config: Config) -> None:
        old, self.config = self.config, config
        self.clock.trusted = config.agent.clock == "trusted"
        logging.getLogger("edge_agent").setLevel(config.agent.log_level.upper())
        code = self.auth.code()
        self.auth.configure(config)
        self._replace_engine(engine_settings(config))
        self.sender.configure(config.iotcall.rules, self._client)
        if self.auth.code() != code:
            self.sender.auth_changed()
        if (old.sources, old.mqtt, old.passwords, old.agent.name) != (
            config.sources, config.mqtt, config.passwords, config.agent.name,
        ):  # fmt: skip
            self.sources.stop()
            self.desk.keep(config.sources)
            self.sources = self._supervisor(config)
            self.sources.start()
        if old.web != config.web and self._web is not None:
            self._web.stop()
            self._web = None
        if self._web is None:
            self._start_web()

    def _replace_engine(self, settings: EngineSettings) -> None:
        done = threading.Event()

        def replace() -> None:
            self.engine_thread.replace(settings)
            self.outbox.keep_records(self.engine_thread.engine.records())
            done.set()

        self.inbox.put(replace)
        done.wait(5.0)
