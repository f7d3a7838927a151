"""The demo's child processes and ports: started, watched, ended; none outlives the demo."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import IO

_TAIL_LINES = 12
_ROOT = Path(__file__).parents[3]
_LEAVE_OUT = (
    *("EDGE_AGENT_CONFIG", "IOTCALL_AUTH_CODE", "CREDENTIALS_DIRECTORY", "STATE_DIRECTORY", "RUNTIME_DIRECTORY"),
    *("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM"),
)
"""What a service's environment tells an agent: the demo's is none."""


class DemoError(Exception):
    """The demo cannot go on: what went wrong, and the last lines of the log that tells why."""

    def __init__(self, message: str, log: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.log = log


class Child:
    """A process with a log file, a group of its own (a terminal's Ctrl-C is the demo's affair), and pipes if wanted."""

    def __init__(self, name: str, arguments: list[str], folder: Path, *, pipes: bool = False) -> None:
        self.name = name
        self._log = folder / f"{name.replace(' ', '-')}.log"
        pipe = subprocess.PIPE if pipes else subprocess.DEVNULL
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*python(), "edge_agent.tools.demo.child", str(os.getpid()), *arguments],
                stdin=pipe,
                stdout=pipe if pipes else log,
                stderr=log,
                text=True,
                cwd=folder,
                env=environment(),
                process_group=0,
            )

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self._process.pid

    @property
    def pipes(self) -> tuple[IO[str] | None, IO[str] | None]:
        """Return its standard input and output."""
        return self._process.stdin, self._process.stdout

    def check(self) -> None:
        """Raise DemoError, with the end of its log, if it does not run."""
        status = self._process.poll()
        if status is not None:
            how = f"exit status {status}" if status >= 0 else signal.Signals(-status).name
            raise DemoError(f"{self.name} has ended ({how})", self.tail())

    def tail(self) -> tuple[str, ...]:
        """Return the last lines of its log."""
        try:
            text = self._log.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ()
        return tuple(text.splitlines()[-_TAIL_LINES:])

    def kill(self) -> None:
        """End it at once (SIGKILL), as a power cut would."""
        self._process.kill()
        self._reap()

    def end(self, timeout_s: float = 6.0) -> None:
        """End it in an orderly way, or else at once. May be called twice."""
        self._process.terminate()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._reap()

    def _reap(self) -> None:
        self._process.wait()
        for pipe in self.pipes:
            if pipe is not None:
                with contextlib.suppress(OSError):  # what it did not read any more
                    pipe.close()


class Port:
    """A free port of 127.0.0.1 that stays ours until `release`, whether somebody listens on it or not.

    It is bound but not listened on: connections to it are refused, and nobody else is given it. A server that sets
    SO_REUSEADDR, as all do, can listen on it beside.
    """

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", 0))
        self.number: int = self._socket.getsockname()[1]

    def release(self) -> None:
        """Give it back."""
        self._socket.close()


def python() -> list[str]:
    """Return how to run a module of ours: the same Python, nothing imported from the working directory."""
    return [sys.executable, "-P", "-m"]


def environment() -> dict[str, str]:
    """Return the children's environment: ours, without a service's, with mock pins, and finding the same edge_agent."""
    found = {name: value for name, value in os.environ.items() if name not in _LEAVE_OUT}
    found["GPIOZERO_PIN_FACTORY"] = "mock"
    if str(_ROOT) not in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")):
        found["PYTHONPATH"] = os.pathsep.join(filter(None, (str(_ROOT), found.get("PYTHONPATH"))))
    return found


def run_command(folder: Path, *arguments: str, timeout_s: float = 15.0) -> str:
    """Return what an `edge-agent` command prints, run as a process. Raises DemoError where it fails."""
    try:
        done = subprocess.run(
            [*python(), "edge_agent", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            text=True,
            cwd=folder,
            env=environment(),
            timeout=timeout_s,
        )
    except subprocess.CalledProcessError as error:
        raise DemoError(f"edge-agent {' '.join(arguments)} failed", tuple(error.stderr.splitlines())) from error
    except subprocess.TimeoutExpired as error:
        raise DemoError(f"edge-agent {' '.join(arguments)} did not end in {timeout_s:g} s") from error
    return done.stdout
