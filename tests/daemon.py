"""The daemon as a process, for system tests: started, killed, asked over its API, its log kept."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.helpers import free_port, wait_until

AUTH_CODE = "MFhjT0s2ODIDWA=="
_RUN = "from edge_agent.cli import main; main()"


class Daemon:
    """`edge-agent run` on a configuration; `tables` is what follows [agent], [iotcall] and [web] in it."""

    def __init__(self, folder: Path, base_url: str, tables: str, *, agent: str = "") -> None:
        self.folder = folder
        self.state_dir = folder / "state"
        self.port = free_port()
        self.config = folder / "config.toml"
        self.log = folder / "daemon.log"
        self._base_url = base_url
        self._agent = agent
        self._process: subprocess.Popen[bytes] | None = None
        self.env = {**os.environ, "IOTCALL_AUTH_CODE": AUTH_CODE, "GPIOZERO_PIN_FACTORY": "mock"}
        self.configure(tables)

    def configure(self, tables: str) -> None:
        """Write the configuration file."""
        self.config.write_text(
            f'[agent]\nname = "test"\nstate_dir = "{self.state_dir}"\n{self._agent}\n'
            f'[web]\nlisten = "127.0.0.1:{self.port}"\n[iotcall]\nbase_url = "{self._base_url}"\n{tables}',
            encoding="utf-8",
        )

    def start(self, *, ready: bool = True) -> "Daemon":
        """Start it, and wait until systemd would be told READY=1."""
        path = str(self.folder / "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
            Path(path).unlink(missing_ok=True)
            notified.bind(path)
            notified.settimeout(20)
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-c", _RUN, "--config", str(self.config), "run"],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env={**self.env, "NOTIFY_SOCKET": path},
                )
            if ready:
                assert notified.recv(100) == b"READY=1", self.log.read_text()
        return self

    def command(self, *words: str, code: int = 0) -> str:
        """Run another command on the same configuration; return its stdout."""
        done = subprocess.run(
            [sys.executable, "-c", _RUN, "--config", str(self.config), *words],
            capture_output=True,
            text=True,
            env=self.env,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done.stdout if code == 0 else done.stdout + done.stderr

    def get(self, path: str) -> Any:
        """Return what the API answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def outbox(self) -> list[dict[str, Any]]:
        """Return all rows, from the running agent."""
        rows: list[dict[str, Any]] = self.get("/api/v1/outbox")
        return rows

    def inject(self, point: str, value: Any) -> None:
        """Put a reading into it."""
        self.post("/api/v1/inject", {"point": point, "value": value})

    def post(self, path: str, body: Any) -> Any:
        """Return what the API answers to a command, which it must not refuse."""
        token = (self.state_dir / "web-token").read_text().strip()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        connection.request("POST", path, json.dumps(body), headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        assert answer.status == 200, content
        return json.loads(content)

    def wait_for_calls(self, state: str, count: int, timeout_s: float = 15) -> None:
        """Wait until so many rows are in a state."""
        wait_until(lambda: sum(row["state"] == state for row in self.outbox()) == count, timeout_s)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    @property
    def pid(self) -> int:
        """Return its process id."""
        assert self._process is not None
        return self._process.pid

    def wait(self, timeout_s: float = 10) -> int:
        """Return its exit status once it has ended."""
        assert self._process is not None
        return self._process.wait(timeout_s)

    def kill(self) -> None:
        """End it as a power cut would, but for the disk's cache."""
        self.signal(signal.SIGKILL)
        self.wait()

    def stop(self) -> int:
        """End it as systemd does; return its exit status."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def close(self) -> None:
        """End it however it is."""
        if self._process is not None and self._process.poll() is None:
            self.kill()
