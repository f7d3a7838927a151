"""What the subjects share: the processes (broker, sink, publisher, floor, agent), their figures, and the table."""

import http.client
import json
import os
import queue
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

ROOT = Path(__file__).parents[1]
TIMEOUT_S = 60.0
_TICKS = os.sysconf("SC_CLK_TCK")
_HEADER = ("", "floor", "agent", "ratio", "target", "")


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


FULL = Size(rounds=5, messages=50_000, calls=80, commits=200, starts=7, idle_s=30.0)
QUICK = Size(rounds=1, messages=10_000, calls=30, commits=50, starts=3, idle_s=3.0)


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table. `at_least` and `at_most` are targets for the ratio, `limit` for the agent's own figure."""

    what: str
    floor: float | None
    agent: float
    unit: str = ""
    at_least: float | None = None
    at_most: float | None = None
    limit: float | None = None

    def ratio(self) -> float | None:
        """Return agent / floor."""
        return self.agent / self.floor if self.floor else None

    def target(self) -> str:
        """Return what is aimed at, in words."""
        if self.limit is not None:
            return f"<= {_figure(self.limit)}{self.unit}"
        if self.at_least is not None:
            return f">= {self.at_least:g} x"
        return "" if self.at_most is None else f"<= {self.at_most:g} x"

    def verdict(self) -> str:
        """Return whether the target is met; "" without one."""
        ratio = self.ratio()
        met = [
            *([self.agent <= self.limit] if self.limit is not None else []),
            *([ratio >= self.at_least] if self.at_least is not None and ratio is not None else []),
            *([ratio <= self.at_most] if self.at_most is not None and ratio is not None else []),
        ]
        return "" if not met else "ok" if all(met) else "MISS"

    def cells(self) -> tuple[str, ...]:
        """Return the line's cells."""
        ratio = self.ratio()
        return (
            self.what,
            "" if self.floor is None else f"{_figure(self.floor)}{self.unit}",
            f"{_figure(self.agent)}{self.unit}",
            "" if ratio is None else f"{ratio:.2f} x",
            self.target(),
            self.verdict(),
        )


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def table(rows: Sequence[Row]) -> str:
    """Return the lines, aligned: words to the left, figures to the right."""
    lines = [_HEADER, *(row.cells() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if 0 < place < 4 else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def median(values: Iterable[float]) -> float:
    """Return the median."""
    return statistics.median(values)


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the value that `percent` of the values do not exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * percent / 100))]


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def folder(stack: ExitStack) -> Path:
    """Return a new folder on a disk: /tmp is memory on many machines, and a commit there costs nothing."""
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edge-agent-bench-", dir="/var/tmp")))  # noqa: S108 - a new folder under a random name


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
            raise BrokenError(f"{self._process.args} ended")
        return line.rstrip("\n")

    def ended(self) -> bool:
        """Return whether it has ended by itself."""
        return self._process.poll() is not None

    def cpu_s(self) -> float:
        """Return the CPU time that it has used, of all its threads."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

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


def wait_for(condition: Any, what: str, timeout_s: float = TIMEOUT_S) -> None:
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

    def publish(self, topic: str, values: Sequence[float], *, qos: int, rate: float = 0.0) -> list[int]:
        """Publish the values; return the instants in ns (see publisher.py)."""
        return self._ask({"topic": topic, "qos": qos, "values": values, "rate": rate, "retain": 0})

    def retain(self, topic: str, value: float) -> None:
        """Have the broker keep a value."""
        self._ask({"topic": topic, "qos": 1, "values": [value], "rate": 0, "retain": 1})

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
[iotcall.rules.high]
url_key = "HIGH"
max_calls = 0
[iotcall.rules.low]
url_key = "LOW"
max_calls = 0

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
call = "high"

[web]
listen = "127.0.0.1:{web}"
"""
LOW = """
[alarms.low]
input = "value"
below = 50
call = "low"
"""
"""With it, values that alternate around 50 make a call each."""


class Agent(Process):
    """The whole daemon, from start to armed (READY=1) when it is made."""

    def __init__(  # noqa: PLR0913 - what a subject may choose
        self, home: Path, port: int, url: str, *, topic: str, qos: int = 1, more: str = ""
    ) -> None:
        self.web = free_port()
        self.home = home
        config = home / "config.toml"
        config.write_text(
            _CONFIG.format(url=url, port=port, topic=topic, qos=qos, web=self.web) + more,
            encoding="utf-8",
        )
        address = home / "notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(address))
            manager.settimeout(TIMEOUT_S)
            super().__init__(
                sys.executable,
                *("-c", "from edge_agent.cli import main; main()", "--config", config, "run"),
                env={"NOTIFY_SOCKET": str(address), "IOTCALL_AUTH_CODE": "secret"},
                log=home / "log",
            )
            try:
                while b"READY=1" not in manager.recv(4096):
                    pass
            except TimeoutError:
                log = (home / "log").read_text(encoding="utf-8", errors="replace")
                raise BrokenError(f"the agent is not armed after {TIMEOUT_S:g} s:\n{log}") from None
            self.armed_after_s = time.monotonic() - self.started_at

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
