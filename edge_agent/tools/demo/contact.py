"""A contact at a simulated pin: moved by the demo, inside the agent's process, as a mock pin exists only there.

The demo writes a line to the agent's standard input, the agent's side answers on its standard output.
"""

import select
import threading
import time
from typing import IO, Any

PIN = 17
OPEN, CLOSED = "open", "closed"
_EDGE_S = 0.003
_ANSWER_S = 10.0


class MockContact:
    """The demo's end. The contact stays as it is while no agent runs: give each new one its pipes by `connect`."""

    def __init__(self) -> None:
        self.level = OPEN
        self._commands: IO[str] | None = None
        self._answers: IO[str] | None = None

    def connect(self, commands: IO[str] | None, answers: IO[str] | None) -> None:
        """Go on with the agent that reads these commands and gives these answers."""
        self._commands, self._answers = commands, answers

    def bounce(self, level: str, edges: int) -> float:
        """Move it to a level with so many edges, as a real contact bounces; return how many seconds that took."""
        self.level = level
        if self._commands is None or self._answers is None:
            raise OSError("no agent is there to move the contact in")
        self._commands.write(f"{level} {edges}\n")
        self._commands.flush()
        there, _, _ = select.select([self._answers], [], [], _ANSWER_S)
        answer = self._answers.readline() if there else ""
        if not answer:
            raise OSError("the agent's process does not move the contact")
        return float(answer)


def install_pin(level: str) -> Any:
    """Return the mock pin, already at a level: a contact that is closed before the agent starts."""
    from gpiozero import Device
    from gpiozero.pins.mock import MockFactory

    Device.pin_factory = MockFactory()
    pin = Device.pin_factory.pin(PIN)
    pin.pull = "up"
    _drive(pin, level)
    return pin


def follow_commands(pin: Any, commands: IO[str], answers: IO[str]) -> None:
    """Move the pin as told, from a thread of its own, until the commands end."""

    def follow() -> None:
        for line in commands:
            level, edges = line.split()
            answers.write(f"{_bounce(pin, level, int(edges)):.4f}\n")
            answers.flush()

    threading.Thread(target=follow, name="contact", daemon=True).start()


def _bounce(pin: Any, level: str, edges: int) -> float:
    other = OPEN if level == CLOSED else CLOSED
    began = time.monotonic()
    for left in range(edges - 1, -1, -1):
        _drive(pin, other if left % 2 else level)
        if left:
            time.sleep(_EDGE_S)
    return time.monotonic() - began


def _drive(pin: Any, level: str) -> None:
    if level == CLOSED:
        pin.drive_low()  # it connects the pin to ground
    else:
        pin.drive_high()
