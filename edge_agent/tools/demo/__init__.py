"""The demo: the whole path on any machine, without hardware, account or broker; it checks what it tells."""

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TextIO

from edge_agent.tools.demo.broker import BrokerKind
from edge_agent.tools.demo.narrator import Narrator
from edge_agent.tools.demo.play import Play, Scene
from edge_agent.tools.demo.processes import DemoError
from edge_agent.tools.demo.scenes import SCENES
from edge_agent.tools.demo.stage import Stage

__all__ = ["BrokerKind", "DemoError", "show"]

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SIGNALLED = 128


class _Ended(BaseException):
    """A signal that ends the demo; no error, so that nothing on the way takes it for one."""


def show(
    wanted: BrokerKind | None = None,
    *,
    keep: bool = False,
    out: TextIO | None = None,
    scenes: Sequence[Scene] = SCENES,
    stage: Callable[..., Stage] = Stage,
) -> int:
    """Show the demo; return 0 when all of it happened as told, 1 when not, 128 + n when ended by signal n.

    Raises:
        DemoError: a part of it does not start, or ended.
    """
    narrator = Narrator(out or sys.stdout)
    narrator.plain(
        "A freezer, a door, a boiler, a broker and IoTCall itself are simulated; edge-agent is the real one.",
        "Nobody is phoned. It ends by itself in about half a minute; Ctrl-C ends it at once.",
    )
    built = stage(wanted, keep=keep)
    try:
        with _ending_signals(), built:
            _introduce(narrator, built)
            all_so = Play(built, narrator, scenes).run()
            narrator.plain(f"  {narrator.elapsed_s:.0f} s. {_VERDICT[all_so]}")
    except _Ended as ended:
        narrator.plain("", "Ended, and cleaned up.")
        return _SIGNALLED + int(ended.args[0])
    finally:
        if built.kept:
            narrator.plain(f"  Kept: {built.kept}")
    return 0 if all_so else 1


_VERDICT = {
    True: "All of it happened as told: no alarm without its call, and no call twice.",
    False: "It did not all happen as told: see above.",
}


def _introduce(narrator: Narrator, stage: Stage) -> None:
    narrator.title("The stage")
    narrator.say(f"IoTCall         a simulator, on {stage.sandbox.url}")
    if stage.broker_trouble:
        narrator.say(f"                ({stage.broker_trouble}; so another is used)")
    name = "mosquitto" if stage.broker_kind is BrokerKind.MOSQUITTO else "embedded (amqtt)"
    narrator.say(f"MQTT broker     {name}, on 127.0.0.1:{stage.mqtt_port}, for the freezers")
    narrator.say(f"serial port     {stage.boiler.port}, for the boiler's meter")
    narrator.say("contact         at a simulated pin, for the door")
    narrator.say(f"configuration   {stage.config}")
    narrator.say(f"edge-agent      runs as process {stage.start_agent()} and sees all its sensors")


@contextmanager
def _ending_signals() -> Iterator[None]:
    """Make the signals that end a program unwind it, once: nothing interrupts the cleaning up."""

    def end(number: int, _frame: FrameType | None) -> None:
        for each in _ENDING:
            signal.signal(each, signal.SIG_IGN)
        raise _Ended(number)

    before = {number: signal.signal(number, end) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
