"""What a test may name: points, alarms, instances and rules of the configuration; with a suggestion for a near miss."""

from collections.abc import Iterable

from edge_agent.config.settings import Config
from edge_agent.config.words import did_you_mean, either, near_miss, quote
from edge_agent.core.engine import ONLINE
from edge_agent.core.reading import point_name, split_point
from edge_agent.core.settings import AlarmSettings
from edge_agent.tools.replay.player import Player

_SOME_INSTANCE = "NAME"
Words = tuple[str, str]
"""(what is wrong, what would be right)"""


class Names:
    """The names of one configuration."""

    def __init__(self, config: Config) -> None:
        self._config = config
        player = Player(config)
        player.begin(0)
        self._refuses = player.engine.refuses
        self._specs = player.engine.settings.sources

    def point(self, point: str) -> Words | None:
        """Return what is wrong with a point that is to have readings."""
        wrong = self._refuses(point)
        if wrong is None:
            return None
        meant = self._meant(point)
        return wrong, f"did you mean {quote(meant)}?" if meant else "write a point as an alarm's input names it"

    def _meant(self, point: str) -> str | None:
        """Return the point that was most likely meant: a name that is nearly right, an instance that was forgotten."""
        source, instance, field = split_point(point)
        known = source if source in self._specs else near_miss(source, self._specs)
        if known is None:
            return None
        spec = self._specs[known]
        inside = (instance or _SOME_INSTANCE) if spec.instances else None
        points = [*(point_name(known, each, inside) for each in spec.fields or (None,)), point_name(known, ONLINE)]
        wanted = point_name(known, field, inside)
        right = wanted if self._refuses(wanted) is None else near_miss(wanted, points)
        return right if right is not None and self._refuses(right) is None else None

    def alarm(self, name: str) -> Words | None:
        """Return what is wrong with an alarm that something is expected of."""
        alarms = self._config.alarms
        if name not in alarms:
            return f"there is no alarm {quote(name)}", _choose(name, alarms, "the configuration has no alarms")
        if not alarms[name].enabled:
            return f"{name} has enabled = false, so nothing comes of it", "enable it, or remove this"
        return None

    def rule(self, alarm: str, rule: str) -> Words | None:
        """Return what is wrong with a rule that a known alarm is to call."""
        rules = self._config.iotcall.rules
        if rule not in rules:
            return f"there is no IoTCall rule {quote(rule)}", _choose(rule, rules, "the configuration has no rules")
        called = self._config.alarms[alarm].call
        if rule in called:
            return None
        return f"{alarm} never calls {rule}", f"it calls {either(called)}" if called else "it has no call"

    def instance(self, alarm: str, instance: str, points: Iterable[str]) -> Words | None:
        """Return what is wrong with an instance of a known alarm, in a test with readings of these points."""
        sources = self._instance_sources(self._config.alarms[alarm])
        if not sources:
            return f"{alarm} has no instances", "remove this key"
        split = map(split_point, points)
        there = list(dict.fromkeys(found for source, found, _ in split if source in sources and found is not None))
        if instance in there:
            return None
        example = point_name(sources[0], None, instance)
        hint = f"its readings are of {either(map(quote, there))}" if there else f"give readings of {quote(example)}"
        return f"this test has no reading of {quote(instance)}", did_you_mean(instance, there, hint)

    def _instance_sources(self, alarm: AlarmSettings) -> list[str]:
        """Return the sources by whose instances an alarm comes several times."""
        parts = [split_point(condition.input) for condition in alarm.conditions]
        known = self._config.sources
        return [
            source
            for source, instance, field in parts
            if instance is None and field != ONLINE and source in known and known[source].has_instances()
        ]


def _choose(name: str, known: Iterable[str], none: str) -> str:
    known = list(known)
    if near_miss(name, known) is not None or not known:
        return did_you_mean(name, known, none)
    return f"there is {either(map(quote, known))}"
