"""A small language for engine tests: settings as in the configuration file, (second, value) in, (second, event) out."""

from collections.abc import Iterable, Mapping
from typing import Any

from edge_agent.core.engine import Engine, EngineSettings
from edge_agent.core.events import Event
from edge_agent.core.fields import SECOND
from edge_agent.core.points import SourceSpec
from edge_agent.core.reading import Reading, Value
from edge_agent.core.settings import AlarmSettings

BAD = None
Step = tuple[float, Value | None] | tuple[float, Value | None, str]


def settings(
    alarms: Mapping[str, Mapping[str, Any]],
    sources: Mapping[str, SourceSpec] | None = None,
    budgets: Mapping[str, tuple[int, int]] | None = None,
) -> EngineSettings:
    """Return engine settings from alarms written as in TOML; the source `s` has one value unless told otherwise."""
    models = {name: AlarmSettings.model_validate(_with_input(alarm)) for name, alarm in alarms.items()}
    return EngineSettings(sources or {"s": SourceSpec()}, models, budgets or {})


def _with_input(alarm: Mapping[str, Any]) -> dict[str, Any]:
    return dict(alarm) if {"all", "any"} & alarm.keys() else {"input": "s", **alarm}


def engine(alarm: Mapping[str, Any], source: SourceSpec | None = None, **budgets: tuple[int, int]) -> Engine:
    """Return an engine with one alarm `a` on one source `s`, begun at 0 s."""
    return Engine(settings({"a": alarm}, {"s": source or SourceSpec()}, budgets), 0)


def run(target: Engine, steps: Iterable[Step], until: float | None = None) -> list[Event]:
    """Feed (second, value[, point]) and return all events, ticking up to `until` seconds at the end."""
    for at, value, *point in steps:
        target.feed(Reading(point[0] if point else "s", value, round(at * SECOND)))
    if until is not None:
        target.tick(round(until * SECOND))
    return list(target.take().events)


def brief(events: Iterable[Event]) -> list[tuple[float, str]]:
    """Return events as (second, word)."""
    return [(event.at / SECOND, str(event.kind)) for event in events]


def story(alarm: Mapping[str, Any], steps: Iterable[Step], until: float | None = None) -> list[tuple[float, str]]:
    """Return what one alarm makes of readings, as (second, word)."""
    return brief(run(engine(alarm), steps, until))
