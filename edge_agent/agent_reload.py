"""Reading the configuration again while the agent runs: all of it comes into force, or nothing of it does."""

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edge_agent.config.changes import changes, require_same_state_dir
from edge_agent.config.errors import ConfigError
from edge_agent.config.settings import Config
from edge_agent.engine_settings import engine_settings
from edge_agent.question import NotAnsweredError, NotTakenError
from edge_agent.sources.base import Driver, DriverContext
from edge_agent.sources.registry import build_drivers, made_of
from edge_agent.system.clock import machine_id
from edge_agent.system.sdnotify import notify

if TYPE_CHECKING:
    from edge_agent.agent import Agent

_log = logging.getLogger(__name__)
_ENGINE_WITHIN_S = 10.0
_MAX_TOLD = 20


class ReloadRefusedError(Exception):
    """The changed configuration was not taken over, and the one before is in force: every reason, a line each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Plan:
    """A driver, and what it was made of: one made of the same goes on over a reload."""

    driver: Driver
    made_of: object = field(repr=False)


def plan_drivers(config: Config) -> dict[str, Plan]:
    """Return the drivers of all sources by their names; nothing is opened yet."""
    passwords = {broker: secret.reveal() for broker, secret in config.passwords.items()}
    context = DriverContext(config.agent.name, machine_id(), config.mqtt, passwords)
    drivers = build_drivers(config.sources, context)
    return {driver.name: Plan(driver, made_of(driver, config.sources, context)) for driver in drivers}


class Reloader:
    """Does reloads one after the other, in whatever thread asks for them."""

    def __init__(self, agent: "Agent") -> None:
        self._agent = agent
        self._one_at_a_time = threading.Lock()

    def reload(self) -> list[str]:
        """Read the configuration again, put it in force, and return what changed, in words.

        Raises:
            ReloadRefusedError: it was refused; the one before stays in force.
        """
        with self._one_at_a_time:
            notify("RELOADING=1")
            try:
                what = self._reload()
            except ReloadRefusedError as refused:
                self._tell_refused(refused.problems)
                raise
            finally:
                notify("READY=1")
            self._tell(what)
            return what

    def _reload(self) -> list[str]:
        agent = self._agent
        try:
            config = agent.read_config()
            require_same_state_dir(agent.config, config)
        except ConfigError as error:
            raise ReloadRefusedError([str(problem) for problem in error.problems]) from None
        what = changes(agent.config, config)
        self._put_in_force(config)
        return what

    def _put_in_force(self, config: Config) -> None:
        """Exchange what differs.

        What a changed driver has said already is judged by the old settings, whatever comes from a new one by the new:
        the old drivers end first, then the engine goes over to the new settings, and only then do the new ones begin.
        """
        agent = self._agent
        plans = plan_drivers(config)
        kept = {name for name, plan in plans.items() if self._is_same(name, plan)}
        online = {name for name, link in agent.desk.links().items() if link.online}
        ended = agent.sources.end_all_but(kept)
        try:
            self._exchange_settings(config)
        except BaseException:
            agent.sources.begin(ended, online)
            raise
        agent.plans = {name: agent.plans[name] if name in kept else plan for name, plan in plans.items()}
        agent.take_over(config)
        agent.sources.begin([plan.driver for name, plan in plans.items() if name not in kept], online)

    def _is_same(self, name: str, plan: Plan) -> bool:
        before = self._agent.plans.get(name)
        return before is not None and before.made_of == plan.made_of

    def _exchange_settings(self, config: Config) -> None:
        """Have the engine go over to other settings; where they are the same it is left alone."""
        agent = self._agent
        if _for_engine(config) == _for_engine(agent.config):
            return
        settings = engine_settings(config)
        triggers = self._new_triggers(settings.budgets)

        def exchange() -> None:
            agent.engine_thread.replace(settings, triggers)
            agent.keep_records()

        try:
            agent.engine_thread.ask(exchange, _ENGINE_WITHIN_S)
        except NotTakenError:
            what = "the engine is busy: nothing was changed; see edge-agent status for faults, and try again"
            raise ReloadRefusedError([what]) from None
        except NotAnsweredError:
            _log.warning("event=reload_not_on_disk note='it is in force; the disk is slow'")

    def _new_triggers(self, budgets: Mapping[str, tuple[int, int]]) -> dict[str, list[int]]:
        """Return the past triggers of rules of which the engine knows none, or not for long enough."""
        outbox, old = self._agent.outbox, self._agent.engine_thread.engine.settings.budgets
        return {
            rule: outbox.triggers(rule, per)
            for rule, (_, per) in budgets.items()
            if rule not in old or per > old[rule][1]
        }

    def _tell(self, what: list[str]) -> None:
        agent = self._agent
        agent.faults.clear("config")
        told = "; ".join(what[:_MAX_TOLD]) + (f"; and {len(what) - _MAX_TOLD} more" if len(what) > _MAX_TOLD else "")
        _log.info("event=reloaded config=%s changed=%d what=%r", agent.config.path, len(what), told)
        if what:
            agent.note_event("reloaded", told)

    def _tell_refused(self, problems: list[str]) -> None:
        for problem in problems:
            _log.error("event=reload_refused problem=%r", problem)
        what = f"config: the changed configuration was refused: {problems[0]}"
        now = self._agent.clock.now()
        self._agent.faults.set(what, now, "run edge-agent check, mend the file, and reload")


def _for_engine(config: Config) -> tuple[object, ...]:
    """Return what of a configuration the engine goes by."""
    budgets = {name: (rule.max_calls, rule.per) for name, rule in config.iotcall.rules.items()}
    return config.sources, config.alarms, config.schedules, str(config.zone()), budgets
