"""The demo's MQTT broker: mosquitto where it is installed, else amqtt, embedded, in a process of its own."""

import asyncio
import importlib.util
import shutil
import sys
from enum import StrEnum
from pathlib import Path

from edge_agent.tools.demo.processes import Child, DemoError

_MOSQUITTO_CONF = """\
listener {port} 127.0.0.1
allow_anonymous true
persistence false
user root
log_dest stderr
log_type error
log_type warning
log_type notice
"""
_WITHOUT = "install the extra (pip install 'edge-agent[demo]', or make demo), or mosquitto (sudo apt install mosquitto)"


class BrokerKind(StrEnum):
    """Which broker."""

    MOSQUITTO = "mosquitto"
    EMBEDDED = "embedded"

    @property
    def version(self) -> str:
        """Return the MQTT version that the agent is to speak with it; amqtt refuses MQTT 5."""
        return "5" if self is BrokerKind.MOSQUITTO else "3.1.1"


def available(wanted: BrokerKind | None) -> list[BrokerKind]:
    """Return the brokers that can be used here, the best first. Raises DemoError where there is none."""
    there = {
        BrokerKind.MOSQUITTO: _mosquitto() is not None,
        BrokerKind.EMBEDDED: importlib.util.find_spec("amqtt") is not None,
    }
    found = [kind for kind in BrokerKind if there[kind] and wanted in (None, kind)]
    if not found:
        raise DemoError(f"there is no MQTT broker here ({wanted or 'neither mosquitto nor amqtt'}): {_WITHOUT}")
    return found


def start(kind: BrokerKind, port: int, folder: Path) -> Child:
    """Start a broker on that port of 127.0.0.1."""
    if kind is BrokerKind.EMBEDDED:
        return Child("MQTT broker", ["broker", str(port)], folder)
    conf = folder / "mosquitto.conf"
    conf.write_text(_MOSQUITTO_CONF.format(port=port), encoding="utf-8")
    return Child("MQTT broker", ["program", str(_mosquitto()), "-c", str(conf)], folder)


def serve_embedded(port: int) -> None:
    """Be a broker, until the process ends."""
    asyncio.run(_serve(port))


async def _serve(port: int) -> None:
    from amqtt.broker import Broker

    settings = {
        "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    }
    try:
        await Broker(settings).start()
    except Exception as error:  # noqa: BLE001 - the top of this process; the log says the rest
        sys.exit(f"amqtt cannot start: {error}")
    await asyncio.Event().wait()


def _mosquitto() -> str | None:
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
