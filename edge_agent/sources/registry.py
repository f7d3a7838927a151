"""Which source types there are: modules of this package, and plug-ins of the entry-point group `edge_agent.sources`."""

import importlib
import importlib.metadata
import pkgutil
from collections.abc import Mapping
from functools import cache

from edge_agent.sources.base import Driver, DriverContext, NumericSettings, SourceSettings, SourceType

GROUP = "edge_agent.sources"
_ROOM = frozenset({"base", "broker", "decode", "registry", "supervisor"})
"""Modules of this package that are no source type; those whose name begins with "_" are none either."""
_ENGINES = (set(NumericSettings.model_fields) | {"debounce"}) - set(SourceSettings.model_fields)
"""Keys that say what the engine does with readings: no driver looks at them."""


@cache
def _modules() -> frozenset[str]:
    package = importlib.import_module("edge_agent.sources")
    found = (module.name for module in pkgutil.iter_modules(package.__path__))
    return frozenset(name for name in found if not name.startswith("_") and name not in _ROOM)


@cache
def source_type(name: str) -> SourceType:
    """Return a source type by its name; only its own module is imported.

    Raises:
        KeyError: there is none of that name.
    """
    if name in _modules():
        kind: SourceType = importlib.import_module(f"edge_agent.sources.{name}").SOURCE_TYPE
        return kind
    for entry in importlib.metadata.entry_points(group=GROUP, name=name):
        plug_in = entry.load()
        if isinstance(plug_in, SourceType):
            return plug_in
    raise KeyError(name)


def names() -> list[str]:
    """Return the names of all source types, sorted; nothing is imported."""
    return sorted(_modules() | {entry.name for entry in importlib.metadata.entry_points(group=GROUP)})


def build_drivers(sources: Mapping[str, SourceSettings], context: DriverContext) -> list[Driver]:
    """Return the drivers of all configured sources; nothing is opened yet."""
    drivers: list[Driver] = []
    for kind in dict.fromkeys(settings.type for settings in sources.values()):
        members = {name: settings for name, settings in sources.items() if settings.type == kind}
        drivers += source_type(kind).drivers(members, context)
    return drivers


def made_of(driver: Driver, sources: Mapping[str, SourceSettings], context: DriverContext) -> object:
    """Return all that a driver was built from: one that would be built from the same need not be exchanged.

    Passwords are in there: never log it.
    """
    members = {name: sources[name] for name in driver.sources}
    brokers = {broker for settings in members.values() if (broker := getattr(settings, "broker", None)) is not None}
    agent = (context.agent_name, context.machine_id) if brokers else ()
    return (
        {name: (settings.type, settings.model_dump(exclude=_ENGINES)) for name, settings in members.items()},
        {name: (context.brokers.get(name), context.passwords.get(name), agent) for name in brokers},
    )
