"""A real mosquitto on a free port, for tests: password, TLS, persistence; stopped, killed, paused, started again."""

import contextlib
import os
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any, Literal

import paho.mqtt.publish

from tests.helpers import free_port, need, wait_until


class Broker:
    """One mosquitto. `start` may follow `stop` or `kill`: same port, same persistent store."""

    def __init__(
        self,
        directory: Path,
        *,
        password: tuple[str, str] | None = None,
        tls: Path | None = None,
        client_certificates: bool = False,
        extra: tuple[str, ...] = (),
    ) -> None:
        self.port = free_port()
        self.host = "127.0.0.1"
        self._program = need("mosquitto")
        self._directory = directory
        self._password = password
        self._tls = tls
        self._process: subprocess.Popen[bytes] | None = None
        lines = [
            f"listener {self.port} 127.0.0.1",
            "persistence true",
            f"persistence_location {directory}/",
            "autosave_on_changes false",
            "max_queued_messages 0",
            f"log_dest file {directory}/mosquitto.log",
            "log_type all",
            *(["user root"] if os.geteuid() == 0 else []),
            *extra,
        ]
        if password is None:
            lines.append("allow_anonymous true")
        else:
            file = directory / "passwords"
            subprocess.run([need("mosquitto_passwd"), "-c", "-b", str(file), *password], check=True)
            lines += ["allow_anonymous false", f"password_file {file}"]
        if tls is not None:
            lines += [f"cafile {tls}/ca.crt", f"certfile {tls}/server.crt", f"keyfile {tls}/server.key"]
            lines += ["require_certificate true"] if client_certificates else []
        self._configuration = directory / "mosquitto.conf"
        self._configuration.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def start(self) -> "Broker":
        """Start it, and wait until it listens."""
        command = [self._program, "-c", str(self._configuration)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self._listens)
        return self

    def stop(self) -> None:
        """End it; its persistent store is written."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash would."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Let it hold its connections and say nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def publish(self, topic: str, payload: str | bytes, *, qos: Literal[0, 1, 2] = 1, retain: bool = False) -> None:
        """Publish one message; at QoS 1 return when the broker has it."""
        options: dict[str, Any] = {}
        if self._password is not None:
            options["auth"] = {"username": self._password[0], "password": self._password[1]}
        if self._tls is not None:
            options["tls"] = {"ca_certs": f"{self._tls}/ca.crt"}
            client = self._tls / "client.crt"
            if client.exists():
                options["tls"] |= {"certfile": str(client), "keyfile": f"{self._tls}/client.key"}
        paho.mqtt.publish.single(topic, payload, qos=qos, retain=retain, hostname=self.host, port=self.port, **options)

    def log(self) -> str:
        """Return what it logged."""
        return (self._directory / "mosquitto.log").read_text(encoding="utf-8", errors="replace")

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((self.host, self.port), timeout=1):
            return True
        return False

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGCONT)
            process.send_signal(number)
            process.wait(10)


def make_certificates(directory: Path, names: str = "IP:127.0.0.1,DNS:localhost") -> Path:
    """Make an authority, a server's certificate for these names, and a client's; return the directory."""
    openssl = need("openssl")
    directory.mkdir(parents=True, exist_ok=True)

    def run(*arguments: str) -> None:
        subprocess.run([openssl, *arguments], check=True, cwd=directory, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    run("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.crt", "-days", "2", "-subj", "/CN=test authority")
    (directory / "san").write_text(f"subjectAltName={names}\n", encoding="ascii")
    for name in ("server", "client"):
        run("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        signing = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "san")
        run("x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.crt", *signing)
    return directory
