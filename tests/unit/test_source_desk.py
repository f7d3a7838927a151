"""Where sources report: stamps, what is connected, and one log line for a source's garbage."""

import logging

import pytest

from edge_agent.core.fields import SECOND
from edge_agent.core.points import SourceSpec
from edge_agent.core.reading import Reading
from edge_agent.inbox import Inbox
from edge_agent.source_desk import BadReadings, SourceDesk, source_spec
from edge_agent.sources.gpio import GpioSettings
from edge_agent.sources.mqtt import MqttSettings


class Clock:
    """A clock that a test moves."""

    now = 0

    def __call__(self) -> int:
        return self.now


def test_readings_are_stamped_where_they_come_in() -> None:
    """The instant is that of the intake; the rest is passed on as it is."""
    inbox, clock = Inbox(), Clock()
    desk = SourceDesk(inbox, clock)
    clock.now = 7
    desk.reading("door", value=True)
    desk.reading("door", None, reason="noise")
    assert inbox.take(0)[0] == [Reading("door", True, 7), Reading("door", None, 7, "noise")]


def test_online_is_a_reading_when_it_changes_and_since_is_when_it_did() -> None:
    """A new error of a source that is offline already is shown, and is no new reading."""
    inbox, clock = Inbox(), Clock()
    desk = SourceDesk(inbox, clock)
    desk.offline("door", "not opened yet")
    clock.now = 5
    desk.offline("door", "no chip", "buy one")
    link = desk.links()["door"]
    assert (link.online, link.since, link.error, link.hint) == (False, 0, "no chip", "buy one")
    clock.now = 9
    desk.online("door")
    assert desk.links()["door"].since == 9
    assert [(item.value, item.at) for item in inbox.take(0)[0] if isinstance(item, Reading)] == [(False, 0), (True, 9)]
    desk.keep(["window"])
    assert desk.links() == {}


def test_garbage_is_logged_once_and_again_after_an_hour_of_peace(caplog: pytest.LogCaptureFixture) -> None:
    """A line that is noisy for a week is one log line."""
    caplog.set_level(logging.WARNING)
    watch = BadReadings()
    for minute in range(120):
        watch.look({"boiler": minute}, minute * 60 * SECOND, lambda _: "no number")
    assert len(caplog.records) == 1
    assert "no number" in caplog.text
    watch.look({"boiler": 119}, 300 * 60 * SECOND, lambda _: "")
    watch.look({"boiler": 120}, 301 * 60 * SECOND, lambda _: "")
    assert len(caplog.records) == 2


def test_what_the_engine_is_told_of_a_source() -> None:
    """Each type's keys that the engine applies, and nothing else."""
    pin = GpioSettings.model_validate({"type": "gpio", "pin": 17, "debounce": "50ms"})
    assert source_spec(pin) == SourceSpec(debounce=50_000)
    topic = MqttSettings.model_validate({"type": "mqtt", "topic": "a/+", "reject": [85.0], "scale": 0.1, "min": 1.0})
    assert source_spec(topic) == SourceSpec((), instances=True, reject=(85.0,), scale=0.1, min=1.0)
