"""Reads the configuration file and checks it as a whole: every error at once, each with its line and a remedy."""

import os
import re
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from edge_agent.config import inputs, references
from edge_agent.config.document import read_document
from edge_agent.config.errors import ConfigError, Problems
from edge_agent.config.examples import example_of, source_example
from edge_agent.config.files import look_at_files, read_broker_secret, read_iotcall_secret, with_absolute_files
from edge_agent.config.lines import Path as KeyPath
from edge_agent.config.overrides import Override, apply_overrides
from edge_agent.config.secrets import Secret
from edge_agent.config.settings import AgentSettings, Config, default_state_dir
from edge_agent.config.tables import check_table
from edge_agent.config.words import did_you_mean, either, key_path, kind, name_words, quote
from edge_agent.core.fields import NAME_PATTERN, Settings
from edge_agent.core.own import OWN_SOURCE
from edge_agent.core.settings import AlarmSettings, ScheduleSettings
from edge_agent.iotcall.settings import IotcallSettings, RuleSettings
from edge_agent.sources import registry
from edge_agent.sources.base import SourceSettings, SourceType
from edge_agent.sources.broker import BrokerSettings
from edge_agent.web.settings import WebSettings

__all__ = ["ConfigError", "load"]

TABLES = ("agent", "iotcall", "mqtt", "sources", "alarms", "schedules", "web")
LATER_TABLES = ("webhook", "heartbeat", "publish", "outputs", "fallback", "test_calls", "standby", "contacts")
_MAX_NAME = 64

Model = TypeVar("Model", bound=Settings)


def load(
    path: Path | str, *, secrets: bool, env: Mapping[str, str] = os.environ, overrides: Iterable[Override] = ()
) -> Config:
    """Return the configuration of a file; with `secrets` the AuthCode and passwords too, and all files are looked at.

    `overrides` are put into the document first.

    Raises:
        ConfigError: the file cannot be used; it holds every reason.
    """
    file = Path(path)
    document, lines = read_document(file)
    problems = Problems(str(path), lines)
    apply_overrides(problems, document, overrides)
    absolute = Path(os.path.abspath(file))  # noqa: PTH100 - resolve() would follow links: files lie beside the link
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python's about a user's regular expression: no lines of ours
        config = _Loader(problems, document, absolute, env).load(with_secrets=secrets)
    if config is None or problems:
        raise problems.error()
    return config


class _Loader:
    def __init__(self, problems: Problems, document: dict[str, Any], path: Path, env: Mapping[str, str]) -> None:
        self._problems = problems
        self._document = document
        self._path = path
        self._env = env

    def load(self, *, with_secrets: bool) -> Config | None:
        """Check all tables, then what they say of each other; None where a table is wrong."""
        self._check_top()
        agent = self._single("agent", AgentSettings)
        web = self._single("web", WebSettings)
        iotcall = self._iotcall()
        mqtt = self._named(("mqtt",), BrokerSettings, "mqtt")
        sources = self._sources()
        alarms = self._named(("alarms",), AlarmSettings, "alarm")
        schedules = self._named(("schedules",), ScheduleSettings, "schedule")
        self._check_alarms(sources)
        state_dir = self._state_dir(agent)
        auth_code = self._auth_code(iotcall) if with_secrets else None
        passwords = self._passwords(mqtt) if with_secrets else {}
        if self._problems or agent is None or web is None or iotcall is None or state_dir is None:
            return None
        return Config(
            path=self._path,
            state_dir=state_dir,
            agent=agent,
            iotcall=iotcall,
            mqtt=_right(mqtt),
            sources=_right(sources),
            alarms=_right(alarms),
            schedules=_right(schedules),
            web=web,
            auth_code=auth_code,
            passwords=passwords,
        )

    def _check_top(self) -> None:
        if not self._document:
            self._problems.add((), "holds no configuration", "begin with a copy of config.example.toml")
        for key in self._document:
            if key in LATER_TABLES:
                self._problems.add_later((key,))
            elif key not in TABLES:
                hint = did_you_mean(key, TABLES, f"known tables: {', '.join(TABLES)}")
                self._problems.add((key,), "unknown table", hint)

    def _single(self, name: str, model: type[Model]) -> Model | None:
        return check_table(self._problems, (name,), self._document.get(name, {}), model, example_of(name))

    def _tables(self, *path: str) -> dict[str, Any]:
        """Return a table of tables as it stands in the file; {} where it is not there, or something else."""
        found: object = self._document
        for part in path:
            found = found.get(part) if isinstance(found, dict) else None
        return found if isinstance(found, dict) else {}

    def _members(self, path: tuple[str, ...], table: object) -> dict[str, dict[str, Any]]:
        """Return the tables of a table of tables that have a right name."""
        hint = f"must be a table with a name of its own, [{key_path(path)}.NAME]"
        if not isinstance(table, dict):
            self._problems.add(path, f"is {kind(table)}", hint)
            return {}
        members = {}
        for name, member in table.items():
            if not isinstance(member, dict):
                self._problems.add((*path, name), f"is {kind(member)}", hint)
            elif re.fullmatch(NAME_PATTERN, name) is None or len(name) > _MAX_NAME:
                self._problems.add((*path, name), *name_words(name))
            else:
                members[name] = member
        return members

    def _named(self, path: tuple[str, ...], model: type[Model], example: str) -> dict[str, Model | None]:
        table = self._tables(*path[:-1]).get(path[-1], {})
        return {
            name: self._with_files(self._check((*path, name), member, model, example))
            for name, member in self._members(path, table).items()
        }

    def _check(self, path: KeyPath, table: object, model: type[Model], example: str) -> Model | None:
        return check_table(self._problems, path, table, model, example_of(example))

    def _iotcall(self) -> IotcallSettings | None:
        table = self._document.get("iotcall", {})
        rules = self._named(("iotcall", "rules"), RuleSettings, "rule")
        if isinstance(table, dict):
            table = {key: value for key, value in table.items() if key != "rules"}
        settings = self._with_files(self._check(("iotcall",), table, IotcallSettings, "iotcall"))
        return settings and settings.replaced(rules=_right(rules))

    def _sources(self) -> dict[str, SourceSettings | None]:
        brokers = self._tables("mqtt")
        sources = {}
        for name, table in self._members(("sources",), self._document.get("sources", {})).items():
            sources[name] = self._source(name, table, brokers)
        references.check_pins(self._problems, self._tables("sources"))
        return sources

    def _source(self, name: str, table: dict[str, Any], brokers: Mapping[str, Any]) -> SourceSettings | None:
        path = ("sources", name)
        if name == OWN_SOURCE:
            self._problems.add(path, "the name agent is taken by the agent's own points", "take another name")
        found = self._source_type(path, table.get("type"))
        if found is None:
            return None
        source = check_table(self._problems, path, table, found.settings, source_example(found.example))
        if source is not None:
            references.check_fields(self._problems, name, source)
        if "broker" in found.settings.model_fields:
            broker = references.check_broker(self._problems, name, table.get("broker"), brokers)
            source = source and source.replaced(broker=broker)
        return source

    def _source_type(self, path: KeyPath, name: object) -> SourceType | None:
        """Return a source's type; only its own module is imported."""
        at = (*path, "type")
        try:
            if isinstance(name, str):
                return registry.source_type(name)
        except KeyError:
            pass
        except (ImportError, AttributeError) as error:  # a plug-in, or what it needs, is not installed
            self._problems.add(at, f"{quote(name)} cannot be loaded: {error}", "install what this type needs")
            return None
        known = registry.names()
        choice = either(map(quote, known))
        if name is None:
            self._problems.add(at, "is missing", f"add type = {choice}")
        elif isinstance(name, str):
            hint = did_you_mean(name, known, f"take {choice}")
            self._problems.add(at, f"there is no source type {quote(name)}", hint)
        else:
            self._problems.add(at, f"is {kind(name)}", f"must be {choice}")
        return None

    def _check_alarms(self, sources: Mapping[str, SourceSettings | None]) -> None:
        rules, raw = self._tables("iotcall", "rules"), self._tables("sources")
        alarms, schedules = self._tables("alarms"), self._tables("schedules")
        for name, table in alarms.items():
            if isinstance(table, dict):
                inputs.check_inputs(self._problems, name, table, raw, sources)
                references.check_call(self._problems, name, table.get("call"), rules)
                references.check_schedule(self._problems, name, table.get("schedule"), schedules)
        references.check_inhibitors(self._problems, alarms)

    def _state_dir(self, agent: AgentSettings | None) -> Path | None:
        if agent is not None and agent.state_dir is not None:
            return self._path.parent / agent.state_dir
        try:
            return default_state_dir(self._path, self._env)
        except RuntimeError:
            hint = 'add state_dir = "/var/lib/edge-agent"'
            self._problems.add(("agent", "state_dir"), "is missing, and your home directory is unknown", hint)
            return None

    def _with_files(self, settings: Model | None) -> Model | None:
        return settings and with_absolute_files(settings, self._path.parent)

    def _auth_code(self, settings: IotcallSettings | None) -> Secret | None:
        """Return the AuthCode; without an IoTCall rule none is needed."""
        if settings is None:
            return None
        look_at_files(self._problems, ("iotcall",), settings)
        needed = self._tables("iotcall", "rules") or settings.auth_code_file is not None
        return read_iotcall_secret(self._problems, settings, self._env) if needed else None

    def _passwords(self, brokers: Mapping[str, BrokerSettings | None]) -> dict[str, Secret]:
        passwords = {}
        for name, settings in _right(brokers).items():
            look_at_files(self._problems, ("mqtt", name), settings)
            password = read_broker_secret(self._problems, name, settings, self._env)
            if password is not None:
                passwords[name] = password
        return passwords


def _right(tables: Mapping[str, Model | None]) -> dict[str, Model]:
    return {name: settings for name, settings in tables.items() if settings is not None}
