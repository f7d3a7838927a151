"""The world that the demo's agent watches: freezers that tell their temperature by MQTT, a boiler at a serial line."""

import contextlib
import json
import os
import threading
import tty
from collections.abc import Callable

from paho.mqtt.client import Client, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion

from edge_agent.tools.demo.processes import DemoError

_EVERY_S = 0.5
_CONNECT_S = 15.0
_AGAIN_S = 0.05


class Freezers:
    """Thermometers that publish to a broker."""

    def __init__(self) -> None:
        self._client = Client(CallbackAPIVersion.VERSION2, client_id="demo-freezers", protocol=MQTTv311)
        self._connected = threading.Event()
        self._client.on_connect = lambda *_: self._connected.set()
        self._lock = threading.Lock()
        self._temperatures: dict[str, float] = {}

    def connect(self, port: int, check: Callable[[], None]) -> None:
        """Wait for the broker and connect; `check` raises where it will never come."""
        for _ in range(round(_CONNECT_S / _AGAIN_S)):
            check()
            with contextlib.suppress(OSError):
                self._client.connect("127.0.0.1", port, keepalive=30)
                break
            threading.Event().wait(_AGAIN_S)
        self._client.loop_start()
        if not self._connected.wait(_CONNECT_S):
            check()
            raise DemoError(f"the MQTT broker does not answer within {_CONNECT_S:g} s")

    def disconnect(self) -> None:
        """End the connection."""
        self._client.disconnect()
        self._client.loop_stop()

    def tell(self, name: str, temperature: float) -> None:
        """Let a freezer have, and publish, a temperature."""
        with self._lock:
            self._temperatures[name] = temperature
            self._publish(name)

    def tell_all(self) -> None:
        """Publish every temperature again."""
        with self._lock:  # an old value must not come after a new one
            for name in self._temperatures:
                self._publish(name)

    def _publish(self, name: str) -> None:
        payload = json.dumps({"temperature": self._temperatures[name]})
        self._client.publish(f"demo/{name}/freezer", payload, qos=1)


class Boiler:
    """A meter at a pseudo terminal: what it writes, whoever opens `port` reads, as from a serial adapter."""

    def __init__(self) -> None:
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)  # held open: the line stays up while nobody else has it open
        os.set_blocking(self._master, False)
        self.port = os.ttyname(self._slave)
        self._lock = threading.Lock()
        self._temperature, self._pressure = 71.0, 1.4

    def close(self) -> None:
        """Unplug it."""
        os.close(self._master)
        os.close(self._slave)

    def tell(self, *, temperature: float | None = None, pressure: float | None = None) -> str:
        """Write a line, with other values where some are given; return it."""
        with self._lock:
            self._temperature = self._temperature if temperature is None else temperature
            self._pressure = self._pressure if pressure is None else pressure
            line = f"T={self._temperature:.1f} P={self._pressure:.2f}"
            self.write(f"{line}\r\n".encode())
        return line

    def write(self, data: bytes) -> None:
        """Write; while nobody reads, what the line cannot hold is lost, as it is on a real one."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._master, data)


class Routine:
    """Has all sensors say again, twice a second, what they measure: an agent that looks away misses nothing."""

    def __init__(self, freezers: Freezers, boiler: Boiler) -> None:
        self._freezers, self._boiler = freezers, boiler
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sensors", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(_EVERY_S):
            self._freezers.tell_all()
            self._boiler.tell()
