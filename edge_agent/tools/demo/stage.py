"""The demo's stage: a temporary folder, a configuration, sandbox, broker, sensors, and the real agent as a process."""

import contextlib
import http.client
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from edge_agent.iotcall.sandbox import Fault, FaultKind, Sandbox
from edge_agent.tools.demo import broker
from edge_agent.tools.demo.broker import BrokerKind
from edge_agent.tools.demo.contact import PIN, MockContact
from edge_agent.tools.demo.processes import Child, DemoError, Port, run_command
from edge_agent.tools.demo.sensors import Boiler, Freezers, Routine

AUTH_CODE = "the-demo's-AuthCode"
RULES = {"freezer": "15demofreezer28b89", "door": "15demodoor28b89", "boiler": "15demoboiler28b89"}
"""{the rule's name here: its URL key}"""
ON_DELAY_S = 2.0
DEBOUNCE_S = 0.2
_READY_S = 20.0
_STEP_S = 0.02
_CONFIG = """\
# What the demo watches. A real one says /dev/ttyUSB0 and the broker's name, and has IoTCall's own address by default.
[agent]
name = "demo"
state_dir = "{folder}/state"

[iotcall]
base_url = "{iotcall}"
auth_code_file = "{folder}/auth-code"

[iotcall.rules.freezer]
url_key = "{freezer}"

[iotcall.rules.door]
url_key = "{door}"

[iotcall.rules.boiler]
url_key = "{boiler}"

[mqtt.broker]
host = "127.0.0.1"
port = {mqtt}
version = "{version}"

[sources.freezer]
type = "mqtt"
topic = "demo/+/freezer"
value = "temperature"

[sources.door]
type = "gpio"
pin = {pin}
debounce = "{debounce:g}s"

[sources.boiler]
type = "serial"
port = "{serial}"
format = "keyvalue"
fields = {{ temperature = "T", pressure = "P" }}

[alarms.freezer-warm]
input = "freezer"
above = -15.0
deadband = 2.0
on_delay = "{on_delay:g}s"
priority = "high"
call = "freezer"

[alarms.door-open]
input = "door"
is = true
call = "door"

[alarms.boiler-pressure]
input = "boiler.pressure"
below = 0.8
deadband = 0.2
call = "boiler"

[alarms.boiler-hot]
input = "boiler.temperature"
above = 90.0
call = "boiler"

[web]
listen = "127.0.0.1:{web}"
"""


class Stage:
    """All that the demo needs, from `with` to its end; then nothing of it is left, unless the folder is kept."""

    folder: Path
    sandbox: Sandbox
    freezers: Freezers
    boiler: Boiler
    config: Path

    def __init__(
        self, wanted: BrokerKind | None = None, *, keep: bool = False, sandbox: Callable[..., Sandbox] = Sandbox
    ) -> None:
        self._wanted = wanted
        self._keep = keep
        self._make_sandbox = sandbox
        self._close = contextlib.ExitStack()
        self._broker: Child | None = None
        self._agent: Child | None = None
        self.broker_kind = BrokerKind.MOSQUITTO
        self.broker_trouble = ""
        """Why the first choice of broker did not serve."""
        self.kept = ""
        """The folder that stays."""
        self.contact = MockContact()

    # From the beginning to the end --------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as opened:
            self._open(opened)
            self._close = opened.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close.close()

    def _open(self, closing: contextlib.ExitStack) -> None:
        kinds = broker.available(self._wanted)
        self.folder = Path(tempfile.mkdtemp(prefix="edge-agent-demo-"))
        if self._keep:
            self.kept = str(self.folder)
        else:
            closing.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self._ports = {name: Port() for name in ("iotcall", "mqtt", "web")}
        for port in self._ports.values():
            closing.callback(port.release)
        self.sandbox = self._open_sandbox(closing)
        self.freezers = self._open_broker(closing, kinds)
        self.boiler = Boiler()
        closing.callback(self.boiler.close)
        closing.callback(Routine(self.freezers, self.boiler).stop)
        self.config = self._write_config()
        closing.callback(self.end_agent)

    def _open_sandbox(self, closing: contextlib.ExitStack) -> Sandbox:
        log = closing.enter_context((self.folder / "iotcall.log").open("w", encoding="utf-8", buffering=1))
        sandbox = self._make_sandbox(
            AUTH_CODE,
            port=self._ports["iotcall"].number,
            keys=RULES.values(),
            on_line=lambda line: print(line, file=log),
        )
        sandbox.start()
        closing.callback(sandbox.stop)
        return sandbox

    def _open_broker(self, closing: contextlib.ExitStack, kinds: list[BrokerKind]) -> Freezers:
        """Start the first of these brokers that serves."""
        for kind in kinds:
            self.broker_kind = kind
            self._broker = broker.start(kind, self.mqtt_port, self.folder)
            closing.callback(self._broker.end)
            freezers = Freezers()
            closing.callback(freezers.disconnect)
            try:
                freezers.connect(self.mqtt_port, self._broker.check)
            except DemoError as error:
                self.broker_trouble = f"{kind}: {error}"
                if kind is kinds[-1]:
                    raise
            else:
                break
        return freezers

    def _write_config(self) -> Path:
        code = self.folder / "auth-code"
        code.touch(mode=0o600)
        code.write_text(f"{AUTH_CODE}\n", encoding="utf-8")
        text = _CONFIG.format(
            folder=self.folder,
            iotcall=self.sandbox.url,
            **RULES,
            mqtt=self.mqtt_port,
            version=self.broker_kind.version,
            pin=PIN,
            debounce=DEBOUNCE_S,
            serial=self.boiler.port,
            on_delay=ON_DELAY_S,
            web=self._ports["web"].number,
        )
        path = self.folder / "config.toml"
        path.write_text(text, encoding="utf-8")
        return path

    # What can be done on it ---------------------------------------------------------------------------------------

    @property
    def mqtt_port(self) -> int:
        """Return the broker's port."""
        return self._ports["mqtt"].number

    def start_agent(self) -> int:
        """Start the agent; return its process id once it sees all its sensors."""
        agent = Child("edge-agent", ["agent", str(self.config), self.contact.level], self.folder, pipes=True)
        self._agent = agent
        self.contact.connect(*agent.pipes)
        if not self.wait(self._sees_all, _READY_S):
            raise DemoError(f"edge-agent does not see all its sensors after {_READY_S:g} s", agent.tail())
        return agent.pid

    def move_contact(self, level: str, edges: int) -> float:
        """Move the door's contact, bouncing; return how many seconds it bounced."""
        try:
            return self.contact.bounce(level, edges)
        except OSError as error:
            if self._agent is not None:
                self._agent.check()
            raise DemoError(f"the contact cannot be moved: {error}") from error

    def kill_agent(self) -> None:
        """Kill the agent: no warning, no last words."""
        if self._agent is not None:
            self._agent.kill()
            self._agent = None

    def end_agent(self) -> None:
        """End the agent in an orderly way, if it runs."""
        if self._agent is not None:
            self._agent.end()
            self._agent = None

    def cut_line(self) -> None:
        """Let IoTCall refuse connections, and cut those there are."""
        self.sandbox.set_fault(Fault(FaultKind.DOWN))

    def mend_line(self) -> None:
        """Let IoTCall be there again, at the same address."""
        self.sandbox.set_fault(None)

    def outbox_list(self) -> list[str]:
        """Return the lines of `edge-agent outbox list --state waiting`: what waits on disk."""
        return run_command(
            self.folder, "--config", str(self.config), "outbox", "list", "--state", "waiting"
        ).splitlines()

    def status(self) -> dict[str, Any] | None:
        """Return the agent's own account of itself; None while it does not answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self._ports["web"].number, timeout=5.0)
        try:
            connection.request("GET", "/api/v1/status")
            answer = json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError):
            return None
        finally:
            connection.close()
        return answer if isinstance(answer, dict) else None

    def bad_readings(self, source: str) -> int:
        """Return how many bad readings of a source the agent has counted."""
        count: int = (self.status() or {}).get("sources", {}).get(source, {}).get("bad_readings", 0)
        return count

    def alarm_is(self, state: str, alarm: str, instance: str | None = None) -> bool:
        """Return whether the agent says that an alarm is in a state."""
        return (alarm, instance, state) in {
            (item["alarm"], item["instance"], item["state"]) for item in (self.status() or {}).get("alarms", ())
        }

    def wait(self, holds: Callable[[], object], timeout_s: float) -> bool:
        """Wait for a condition; return whether it came true. Raises DemoError when a process ends that should not."""
        deadline = time.monotonic() + timeout_s
        while not holds():
            for child in (self._broker, self._agent):
                if child is not None:
                    child.check()
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return False
            time.sleep(min(_STEP_S, left_s))
        return True

    def _sees_all(self) -> bool:
        sources = (self.status() or {}).get("sources", {})
        return bool(sources) and all(source["online"] for source in sources.values())
