"""The agent's own points: looks at what the agent knows of itself, and puts into the inbox what has changed."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from edge_agent.core.fields import SECOND
from edge_agent.core.own import OWN_SOURCE
from edge_agent.core.reading import Reading, Value, point_name
from edge_agent.delivery.policy import CallState
from edge_agent.inbox import Item
from edge_agent.system.board import Board, disk_free_percent

if TYPE_CHECKING:
    from edge_agent.agent import Agent

Sample = Callable[[], Value | None]
"""Returns what is so now; None where it is not known."""

_SLOW = 10 * SECOND
_SLOW_STEPS = {"cpu_temperature": 0.5, "disk_free_percent": 0.1}
"""What moves slowly, and by how much it must have moved to be told at once."""
_RARE = ("undervoltage",)
"""What most machines lack: to look for it in vain costs more than to read it, and is done as rarely."""
_REFRESH = 60 * SECOND
"""A number is told again after so long, so that its silence means something."""


class OwnPoints:
    """Tells only what is new: a flag or a count when it changes, a number also when it was told a minute ago.

    What is unknown is not told at all; what was known and no longer is becomes bad quality, once.
    """

    def __init__(self, put: Callable[[Item], None], samples: Mapping[str, Sample]) -> None:
        self._put = put
        self.fields = tuple(samples)
        """The names of the points that are looked at, without their source's."""
        self._watches = [_Watch(field, sample) for field, sample in samples.items()]

    def look(self, now: int) -> None:
        """Look at all that is due; call it each second, with CLOCK_BOOTTIME in microseconds."""
        for watch in self._watches:
            reading = watch.look(now)
            if reading is not None:
                self._put(reading)


class _Watch:
    """One point, and what was told of it last."""

    def __init__(self, field: str, sample: Sample) -> None:
        self._point = point_name(OWN_SOURCE, field)
        self._sample = sample
        self._step = _SLOW_STEPS.get(field, 0.0)
        self._every = _SLOW if field in _SLOW_STEPS else 0
        self._every_in_vain = _SLOW if field in _RARE else self._every
        self._look_at = 0
        self._told: Value | None = None
        self._told_at = 0

    def look(self, now: int) -> Reading | None:
        if now < self._look_at:
            return None
        value = self._sample()
        self._look_at = now + (self._every_in_vain if value is None else self._every)
        if value is None and self._told is None:
            return None
        if value is not None and not self._is_news(value, now):
            return None
        self._told, self._told_at = value, now
        return Reading(self._point, value, now, "" if value is not None else "no longer known")

    def _is_news(self, value: Value, now: int) -> bool:
        told = self._told
        if told is None or isinstance(value, bool | str) or isinstance(told, bool | str):
            return value != told
        return (value != told and abs(value - told) >= self._step) or now - self._told_at >= _REFRESH


def own_points(agent: "Agent") -> OwnPoints:
    """Return the points of a running agent. None of them costs more than a look at memory, or a small file."""
    board = Board()
    folder = agent.config.state_dir
    return OwnPoints(
        agent.inbox.put,
        {
            "iotcall_reachable": lambda: agent.sender.reachable,
            "auth_ok": lambda: not agent.outbox.summary().waiting_auth,
            "outbox_waiting": lambda: agent.outbox.summary().counts[CallState.WAITING],
            "clock_synced": agent.clock.synced,
            "cpu_temperature": board.cpu_temperature,
            "disk_free_percent": lambda: disk_free_percent(folder),
            "undervoltage": board.undervoltage,
        },
    )
