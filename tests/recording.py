"""An intake that keeps what drivers tell it, and sources that run under a supervisor with it."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from edge_agent.core.reading import Value
from edge_agent.sources.base import DriverContext
from edge_agent.sources.broker import BrokerSettings
from edge_agent.sources.registry import build_drivers, source_type
from edge_agent.sources.supervisor import Supervisor


class RecordingIntake:
    """Keeps readings (point, value), reasons, acknowledgements and states. `acknowledge` answers each at once."""

    def __init__(self) -> None:
        self.readings: list[tuple[str, Value | None]] = []
        self.reasons: list[str] = []
        self.refused: list[tuple[str, str]] = []
        self.states: list[tuple[str, str, str]] = []
        self.held: list[Callable[[], None]] = []
        self.acknowledge = True
        self._lock = threading.Lock()

    def reading(
        self, point: str, value: Value | None, *, reason: str = "", done: Callable[[], None] | None = None
    ) -> None:
        with self._lock:
            self.readings.append((point, value))
            self.reasons.append(reason)
            if done is not None and not self.acknowledge:
                self.held.append(done)
        if done is not None and self.acknowledge:
            done()

    def online(self, source: str) -> None:
        self.states.append((source, "online", ""))

    def offline(self, source: str, error: str, hint: str = "") -> None:
        self.states.append((source, error, hint))

    def count_refused(self, source: str, reason: str) -> None:
        self.refused.append((source, reason))

    def state(self, source: str) -> str:
        """Return "online", or the error of a source that is offline."""
        return next((state for name, state, _ in reversed(self.states) if name == source), "")

    def is_online(self, source: str) -> bool:
        """Return whether a source is online."""
        return self.state(source) == "online"

    def values(self, point: str) -> list[Value | None]:
        """Return all values that a point had."""
        return [value for name, value in self.readings if name == point]


@dataclass
class Running:
    """Sources that run."""

    intake: RecordingIntake
    supervisor: Supervisor


def now() -> int:
    """Return an instant in microseconds."""
    return time.monotonic_ns() // 1000


@dataclass
class Started:
    """Starts sources, and stops them all."""

    running: list[Running] = field(default_factory=list)

    def run(
        self,
        sources: Mapping[str, Mapping[str, Any]],
        *,
        brokers: Mapping[str, Mapping[str, Any]] | None = None,
        passwords: Mapping[str, str] | None = None,
        intake: RecordingIntake | None = None,
    ) -> Running:
        """Start sources as a configuration would have them."""
        settings = {name: source_type(table["type"]).settings.model_validate(table) for name, table in sources.items()}
        context = DriverContext(
            agent_name="test",
            machine_id="0123",
            brokers={name: BrokerSettings.model_validate(table) for name, table in (brokers or {}).items()},
            passwords=passwords or {},
        )
        intake = intake or RecordingIntake()
        running = Running(intake, Supervisor(build_drivers(settings, context), intake, now))
        running.supervisor.start()
        self.running.append(running)
        return running

    def stop(self) -> None:
        """Stop all."""
        for running in self.running:
            running.supervisor.stop()
