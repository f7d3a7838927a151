"""From an MQTT message to readings: which sources want its topic, under which names, and when it is acknowledged."""

import logging
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from edge_agent.core.reading import Value, point_name
from edge_agent.sources import _topics
from edge_agent.sources._packets import Publish, subscription_identifiers
from edge_agent.sources._payload import PayloadDecoder
from edge_agent.sources.base import Intake
from edge_agent.sources.decode import Bad

_log = logging.getLogger("edge_agent.sources")
_MAX_ROUTES = 20_000
_MAX_INSTANCE = 1024

Acknowledge = Callable[[], None]


class Subscriber:
    """One source's side of a broker's connection."""

    def __init__(self, name: str, settings: Any) -> None:
        self.name = name
        self.settings = settings
        self.decode: PayloadDecoder = settings.decoder()
        self.accepts_retained: bool = settings.retained == "accept"
        self.match = _topics.matcher(settings.topic)
        self.identifier = subscription_identifier(settings.topic)
        self._instances: set[str] = set()
        self._full = False

    def point(self, topic: str) -> str | None:
        """Return the point that a topic which matches is about; None if it is past max_instances."""
        if not self.settings.has_instances():
            return self.name
        instance = self.match(topic) or ""
        if instance not in self._instances:
            if len(instance) > _MAX_INSTANCE:
                return None
            if len(self._instances) >= self.settings.max_instances:
                if not self._full:
                    self._full = True
                    _log.warning(
                        "source=%s max_instances=%d new instances are refused", self.name, len(self._instances)
                    )
                return None
            self._instances.add(instance)
        return point_name(self.name, None, instance)


def subscription_identifier(topic_filter: str) -> int:
    """Return a number for a filter, the same in each run: messages queued while away carry the one they had."""
    return zlib.crc32(topic_filter.encode()) % 268_435_455 + 1


class Route:
    """Where a topic's messages go, for one source."""

    __slots__ = ("accepts_retained", "decode", "identifier", "point")

    def __init__(self, subscriber: Subscriber, point: str) -> None:
        self.point = point
        self.decode = subscriber.decode
        self.accepts_retained = subscriber.accepts_retained
        self.identifier = subscriber.identifier


class _Countdown:
    """Acknowledges once it was called as often as a message has readings."""

    __slots__ = ("_acknowledge", "_calls")

    def __init__(self, count: int, acknowledge: Acknowledge) -> None:
        self._calls = [None] * (count - 1)
        self._acknowledge = acknowledge

    def __call__(self) -> None:
        try:
            self._calls.pop()  # atomic: calls may come from any thread
        except IndexError:
            self._acknowledge()


class Router:
    """Turns messages into readings. Only the driver's thread uses it."""

    def __init__(self, subscribers: Mapping[str, Subscriber], *, by_identifier: bool) -> None:
        self._subscribers = list(subscribers.values())
        self._by_identifier = by_identifier
        self._routes: dict[bytes, tuple[Route, ...]] = {}

    def pass_on(self, message: Publish, intake: Intake, acknowledge: Acknowledge | None, *, retained: bool) -> bool:
        """Give the intake what the message says; return False if nobody wants its topic.

        `acknowledge` (None at QoS 0) is called by the intake, or here when there is no reading to wait for.
        """
        routes = self._routes.get(message.topic) or self._find(message.topic, intake)
        if len(routes) != 1 or self._by_identifier or retained:
            return self._pass_on_to(routes, message, intake, acknowledge, retained)
        route = routes[0]  # by far the most: one source
        decoded = route.decode(message.payload)
        if type(decoded) is Bad:
            intake.reading(route.point, None, reason=decoded.reason, done=acknowledge)
        elif type(decoded) is list:
            _give(_named(route.point, decoded), intake, acknowledge)
        else:
            intake.reading(route.point, decoded, done=acknowledge)  # type: ignore[arg-type] # neither list nor Bad
        return True

    def _pass_on_to(
        self,
        routes: tuple[Route, ...],
        message: Publish,
        intake: Intake,
        acknowledge: Acknowledge | None,
        retained: bool,  # noqa: FBT001 - the message's flag
    ) -> bool:
        readings: list[tuple[str, Value | Bad]] = []
        for route in _identified(routes, message) if self._by_identifier else routes:
            if route.accepts_retained or not retained:
                decoded = route.decode(message.payload)
                readings += _named(route.point, decoded) if isinstance(decoded, list) else [(route.point, decoded)]
        _give(readings, intake, acknowledge)
        return bool(routes) or self.wants(message.topic)

    def wants(self, topic: bytes) -> bool:
        """Return whether a source's filter matches the topic (as far as it is text)."""
        text = topic.decode("utf-8", "replace")
        return any(subscriber.match(text) is not None for subscriber in self._subscribers)

    def _find(self, topic: bytes, intake: Intake) -> tuple[Route, ...]:
        """Find who wants a topic, and remember it; what was refused is not remembered: it is counted each time."""
        try:
            text = topic.decode()
        except UnicodeDecodeError:
            self._refuse_topic(topic, intake)
            return ()
        routes = []
        refused = False
        for subscriber in self._subscribers:
            if subscriber.match(text) is None:
                continue
            point = subscriber.point(text)
            if point is None:
                refused = True
                intake.count_refused(subscriber.name, f"more than {subscriber.settings.max_instances} instances")
            else:
                routes.append(Route(subscriber, point))
        found = tuple(routes)
        if found and not refused:
            if len(self._routes) >= _MAX_ROUTES:
                self._routes.clear()
            self._routes[topic] = found
        return found

    def _refuse_topic(self, topic: bytes, intake: Intake) -> None:
        text = topic.decode("utf-8", "replace")
        names = [subscriber.name for subscriber in self._subscribers if subscriber.match(text) is not None]
        for name in names or [self._subscribers[0].name]:
            intake.count_refused(name, "a topic that is not UTF-8")


def _identified(routes: tuple[Route, ...], message: Publish) -> tuple[Route, ...]:
    """Return the routes whose subscription this copy of the message is for; all, where the broker does not say."""
    identifiers = subscription_identifiers(message.properties)
    return tuple(route for route in routes if route.identifier in identifiers) or routes


def _named(point: str, decoded: list[tuple[str, Value | Bad]]) -> list[tuple[str, Value | Bad]]:
    return [(f"{point}.{field}", value) for field, value in decoded]


def _give(readings: list[tuple[str, Value | Bad]], intake: Intake, acknowledge: Acknowledge | None) -> None:
    if not readings:
        _call(acknowledge)
        return
    done = acknowledge
    if acknowledge is not None and len(readings) > 1:
        done = _Countdown(len(readings), acknowledge)
    for point, value in readings:
        if isinstance(value, Bad):
            intake.reading(point, None, reason=value.reason, done=done)
        else:
            intake.reading(point, value, done=done)


def _call(acknowledge: Acknowledge | None) -> None:
    if acknowledge is not None:
        acknowledge()
