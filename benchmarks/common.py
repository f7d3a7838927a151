"""What the subjects share: the processes (broker, sink, publisher, floor, agent) and the sizes of the work."""

import http.client
import json
import os
import queue
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

ROOT = Path(__file__).parents[1]
TIMEOUT_S = 60.0
_TICKS = os.sysconf("SC_CLK_TCK")


class BrokenError(Exception):
    """A figure could not be had: something does not work, or was lost on the way."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much work is done: in full, or a fraction of it with --quick."""

    rounds: int
    messages: int
    """Of a flood, below the limit, before the one above it."""
    calls: int
    """Of a round of the latency, 10 a second."""
    commits: int
    starts: int
    idle_s: float
    lines: int
    """Of a file for simulate."""


FULL = Size(rounds=5, messages=50_000, calls=80, commits=200, starts=7, idle_s=30.0, lines=3_153_600)
QUICK = Size(rounds=1, messages=10_000, calls=30, commits=50, starts=3, idle_s=3.0, lines=200_000)


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def folder(stack: ExitStack) -> Path:
    """Return a new folder on a disk: /tmp is memory on many machines, and a commit there costs nothing."""
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edge-agent-bench-", dir="/var/tmp")))


class Process:
    """A program that was started, and is ended at the end of `with`."""

    def __init__(self, *command: str | Path, env: dict[str, str] | None = None, log: Path | None = None) -> None:
        self.started_at = time.monotonic()
        with (log or Path(os.devnull)).open("ab") as errors:
            self._process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors if log else None,
                text=True,
                cwd=ROOT,
                env={**os.environ, **(env or {})},
            )
        self.pid = self._process.pid

    @classmethod
    def module(cls, name: str, *arguments: object) -> Self:
        """Start a module of this package."""
        return cls(sys.executable, "-m", f"benchmarks.{name}", *map(str, arguments))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(10.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    @property
    def stdin(self) -> IO[str]:
        """Return where it reads."""
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def stdout(self) -> IO[str]:
        """Return what it prints."""
        assert self._process.stdout is not None
        return self._process.stdout

    def line(self) -> str:
        """Return the next line that it prints."""
        line = self.stdout.readline()
        if not line:
            raise BrokenError(f"{self._process.args!r} ended")
        return line.rstrip("\n")

    def ended(self) -> bool:
        """Return whether it has ended by itself."""
        return self._process.poll() is not None

    def cpu_s(self) -> float:
        """Return the CPU time that it has used, of all its threads."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def scheduled_s(self) -> float:
        """Return the time that its present threads have run: finer than `cpu_s`, and without threads that ended."""
        threads = Path(f"/proc/{self.pid}/task").iterdir()
        return sum(int((each / "schedstat").read_text(encoding="ascii").split()[0]) for each in threads) / 1e9

    def rss_mb(self) -> float:
        """Return its resident memory in megabytes (2^20 bytes)."""
        return self._status("VmRSS") / 1024

    def threads(self) -> int:
        """Return how many threads it has."""
        return self._status("Threads")

    def descriptors(self) -> int:
        """Return how many files it has open."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def _status(self, key: str) -> int:
        for line in Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name == key:
                return int(value.split()[0])
        raise BrokenError(f"/proc tells no {key}")


def broker(stack: ExitStack) -> int:
    """Start mosquitto for one subject; return its port."""
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        raise BrokenError("mosquitto is not installed: apt install mosquitto")
    port = free_port()
    config = folder(stack) / "mosquitto.conf"
    # Without the two limits mosquitto drops what a subscriber has not read yet; all else is its default.
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nmax_queued_bytes 0\nlog_type none\n",
        encoding="ascii",
    )
    process = stack.enter_context(Process(program, "-c", config))
    wait_for(lambda: _connects(port) or process.ended(), "mosquitto")
    if process.ended():
        raise BrokenError("mosquitto did not start")
    return port


def _connects(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1.0).close()
    except OSError:
        return False
    return True


def wait_for(condition: Callable[[], object], what: str, timeout_s: float = TIMEOUT_S) -> None:
    """Return once the condition holds; BrokenError when it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise BrokenError(f"{what}: nothing within {timeout_s:g} s")
        time.sleep(0.005)


class Sink:
    """The HTTP sink, and what arrived there."""

    def __init__(self, stack: ExitStack) -> None:
        self._process = stack.enter_context(Process.module("sink"))
        self.url = f"http://127.0.0.1:{self._process.line()}"
        self._arrivals: queue.SimpleQueue[tuple[int, str]] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self._process.stdout:
            at, key = line.split()
            self._arrivals.put((int(at), key))

    def take(self, count: int, timeout_s: float = TIMEOUT_S) -> list[tuple[int, str]]:
        """Return the next arrivals, (instant in ns, URL key) each; BrokenError when they do not come."""
        deadline = time.monotonic() + timeout_s
        arrivals: list[tuple[int, str]] = []
        while len(arrivals) < count:
            try:
                arrivals.append(self._arrivals.get(timeout=max(0.0, deadline - time.monotonic())))
            except queue.Empty:
                raise BrokenError(f"{len(arrivals)} of {count} POSTs came within {timeout_s:g} s") from None
        return arrivals

    def silent(self) -> bool:
        """Return whether there is nothing that was not taken."""
        return self._arrivals.empty()


class Publisher:
    """What publishes, in a process of its own."""

    def __init__(self, stack: ExitStack, port: int) -> None:
        self._process = stack.enter_context(Process.module("publisher", port))

    def publish(self, topics: Sequence[str], values: Sequence[float], *, qos: int, rate: float = 0.0) -> list[int]:
        """Publish the values, to the topics in turn; return the instants in ns (see publisher.py)."""
        return self._ask({"topics": topics, "qos": qos, "values": values, "rate": rate, "retain": 0})

    def retain(self, topic: str, value: float) -> None:
        """Have the broker keep a value."""
        self._ask({"topics": [topic], "qos": 1, "values": [value], "rate": 0, "retain": 1})

    def _ask(self, job: dict[str, Any]) -> list[int]:
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        instants: list[int] = json.loads(self._process.line())
        return instants


def start_floor(port: int, qos: int, topic: str, url: str, *, limit: float = 50.0) -> Process:
    """Start the floor; it has subscribed when it prints its first line."""
    return Process.module("floor", port, qos, topic, limit, f"{url}/pattern/FLOOR/call")


_CONFIG = """\
[agent]
name = "bench"
state_dir = "state"

[iotcall]
base_url = "{url}"
[iotcall.rules.people]
url_key = "AGENT"
max_calls = 0
coalesce = false

[mqtt.broker]
host = "127.0.0.1"
port = {port}

[sources.value]
type = "mqtt"
topic = "{topic}"
qos = {qos}
format = "json"
value = "value"

[alarms.high]
input = "value"
above = 50
call = "people"

[web]
listen = "127.0.0.1:{web}"
"""


class Agent(Process):
    """The whole daemon, from start to armed (READY=1) when it is made."""

    def __init__(self, home: Path, port: int, url: str, *, topic: str, qos: int = 1) -> None:
        self.web = free_port()
        self.home = home
        config = home / "config.toml"
        config.write_text(
            _CONFIG.format(url=url, port=port, topic=topic, qos=qos, web=self.web),
            encoding="utf-8",
        )
        address = home / "notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(address))
            manager.settimeout(0.5)
            super().__init__(
                sys.executable,
                *("-c", "from edge_agent.cli import main; main()", "--config", config, "run"),
                env={"NOTIFY_SOCKET": str(address), "IOTCALL_AUTH_CODE": "secret"},
                log=home / "log",
            )
            while not self._ready(manager):
                if self.ended() or time.monotonic() - self.started_at > TIMEOUT_S:
                    self.__exit__()
                    log = (home / "log").read_text(encoding="utf-8", errors="replace")
                    raise BrokenError(f"the agent does not start:\n{log}")
            self.armed_after_s = time.monotonic() - self.started_at

    @staticmethod
    def _ready(manager: socket.socket) -> bool:
        try:
            return b"READY=1" in manager.recv(4096)
        except TimeoutError:
            return False

    def status(self) -> dict[str, Any]:
        """Return /api/v1/status."""
        connection = http.client.HTTPConnection("127.0.0.1", self.web, timeout=10.0)
        try:
            connection.request("GET", "/api/v1/status")
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        return answer

    def readings(self) -> int:
        """Return how many readings the source has given."""
        return int(self.status()["sources"]["value"]["readings"])

    def wait_online(self) -> None:
        """Return once the subscription is granted."""
        wait_for(lambda: self.status()["sources"]["value"]["online"], "the agent's subscription")
