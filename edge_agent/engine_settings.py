"""What a configuration tells the engine: the same for the daemon and for a replay."""

from edge_agent.config.settings import Config
from edge_agent.core.engine import EngineSettings
from edge_agent.core.own import OWN_FIELDS, OWN_SOURCE
from edge_agent.core.points import SourceSpec
from edge_agent.core.schedules import Schedule
from edge_agent.source_desk import source_spec


def engine_settings(config: Config) -> EngineSettings:
    """Return what a configuration tells the engine. The agent's own points are a source like the others."""
    sources = {name: source_spec(source) for name, source in config.sources.items()}
    zone = config.zone()
    return EngineSettings(
        {**sources, OWN_SOURCE: SourceSpec(fields=OWN_FIELDS)},
        config.alarms,
        {name: (rule.max_calls, rule.per) for name, rule in config.iotcall.rules.items()},
        {name: Schedule(schedule, zone) for name, schedule in config.schedules.items()},
    )
