"""A throw-away machine for system tests: a real systemd as PID 1 over a copy-on-write view of this machine's files."""

import ctypes
import fcntl
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.helpers import missing, need, wait_until

ROOT = Path(__file__).parents[1]

# nsenter from root keeps what would change the machine outside: its clock, its modules, its power.
_KEPT_OUT = "-sys_time,-sys_module,-sys_boot,-wake_alarm"

# Of this machine's environment nothing comes along. /usr/bin stands first: it has the distribution's Python.
_ENVIRONMENT = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin:/usr/local/sbin:/usr/local/bin", "LANG": "C.UTF-8"}


_CLONE_NEWNET = 0x40000000


@dataclass(frozen=True, slots=True)
class Machine:
    """A booted systemd. Its network is loopback alone."""

    root: Path
    systemd_pid: int

    def run(self, *command: str, timeout_s: float = 30) -> subprocess.CompletedProcess[str]:
        """Run a command inside it."""
        return subprocess.run(
            self._inside(["-a"], *command),
            check=False, capture_output=True, text=True, timeout=timeout_s, env=_ENVIRONMENT,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def popen(self, *command: str) -> subprocess.Popen[bytes]:
        """Start a program with its files and network. It is a process of outside: whoever starts it ends it."""
        return subprocess.Popen(
            self._inside(["-m", "-n"], *command),
            env=_ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def connect(self, port: int) -> socket.socket:
        """Return a connection to a server of its loopback."""
        with ThreadPoolExecutor(1) as pool:  # a thread changes its network for itself alone, and ends
            return pool.submit(self._connect, port).result()

    def _connect(self, port: int) -> socket.socket:
        with Path(f"/proc/{self.systemd_pid}/ns/net").open("rb") as network:
            if ctypes.CDLL(None, use_errno=True).setns(network.fileno(), _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
        return socket.create_connection(("127.0.0.1", port), timeout=5)

    def _inside(self, namespaces: list[str], *command: str) -> list[str]:
        enter = ["nsenter", "-t", str(self.systemd_pid), *namespaces, "--"]
        return [*enter, "setpriv", f"--bounding-set={_KEPT_OUT}", f"--inh-caps={_KEPT_OUT}", *command]

    def show(self, key: str) -> str:
        """Return a property of the service."""
        return self.run("systemctl", "show", "edge-agent", "--value", "-p", key).stdout.strip()

    def journal(self) -> str:
        """Return what the service, and systemd about it, logged."""
        return self.run("journalctl", "-u", "edge-agent", "-o", "cat", "--no-pager").stdout

    def restarted(self, times: int) -> bool:
        """Return whether systemd restarted the service that often, and it is ready again."""
        return self.show("NRestarts") == str(times) and self.show("ActiveState") == "active"

    def drop_in(self, name: str, text: str) -> Path:
        """Write a drop-in of the unit; systemd sees it at its next daemon-reload."""
        folder = self.root / "etc/systemd/system/edge-agent.service.d"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
        return folder / name


@contextmanager
def booted(base: Path, install: Callable[[Path], None]) -> Iterator[Machine]:
    """Boot a systemd in an empty folder, after `install(root)` put files into it; power off at the end."""
    if os.geteuid() != 0:
        missing("needs root, to boot a systemd")
    for program in ("systemd-nspawn", "nsenter", "setpriv", "pgrep"):
        need(program)
    overlay = f"lowerdir=/,upperdir={base}/up,workdir={base}/work"
    with _alone(), _mounted(base, "-t", "tmpfs", "-o", "mode=755", "none"):
        for name in ("up", "work", "root"):
            (base / name).mkdir()
        root = base / "root"
        with _mounted(root, "-t", "overlay", "overlay", "-o", overlay):
            (root / "etc/fstab").unlink(missing_ok=True)
            (root / "etc/machine-id").write_text(os.urandom(16).hex() + "\n", encoding="ascii")
            install(root)
            with _running(root) as machine:
                yield machine


@contextmanager
def _alone() -> Iterator[None]:
    """Wait until no other run has a machine (two would meet in one control group), and leave no control group."""
    with Path(need("systemd-nspawn")).open("rb") as program:
        fcntl.flock(program, fcntl.LOCK_EX)  # the program itself serves as the lock: no file is left behind
        before = _control_groups()
        try:
            yield
        finally:
            for group in sorted(_control_groups() - before, reverse=True):
                with suppress(OSError):
                    group.rmdir()


def _control_groups() -> set[Path]:
    """Return the control groups of machines: nspawn moves itself into `supervisor` and the machine into `payload`."""
    tops = [path for name in ("payload", "supervisor") for path in Path("/sys/fs/cgroup").rglob(name)]
    return {path for top in tops for path in (top, *top.rglob("*")) if path.is_dir()}


@contextmanager
def _mounted(target: Path, *arguments: str) -> Iterator[None]:
    result = subprocess.run(["mount", *arguments, str(target)], check=False, capture_output=True, text=True, timeout=30)
    if result.returncode != 0:
        missing(f"needs the right to mount: {result.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(target)], check=True, timeout=30)


@contextmanager
def _running(root: Path) -> Iterator[Machine]:
    flags = ["-q", "-b", "-D", str(root), "-M", f"edge-agent-{os.getpid()}", "--register=no", "--keep-unit"]
    flags += ["--private-network", "--link-journal=no", "--console=pipe", "--kill-signal=SIGRTMIN+3"]
    with (root.parent / "console.log").open("wb") as console:
        nspawn = subprocess.Popen(
            [need("systemd-nspawn"), *flags, "systemd.unit=basic.target"],
            stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True,
        )  # fmt: skip
    machine = None
    try:
        wait_until(lambda: _up(nspawn, root), timeout_s=60, step_s=0.1)
        machine = _up(nspawn, root)
        assert machine is not None
        yield machine
    finally:
        _power_off(nspawn, machine)


def _power_off(nspawn: subprocess.Popen[bytes], machine: Machine | None) -> None:
    """End the machine in good order if it can, else at once. The end of its first process ends all others in it."""
    try:
        if machine is not None and nspawn.poll() is None:
            os.kill(machine.systemd_pid, signal.SIGRTMIN + 4)
            nspawn.wait(timeout=30)
    finally:
        if nspawn.poll() is None:
            for pid in _children(nspawn):
                os.kill(pid, signal.SIGKILL)
            nspawn.terminate()
            nspawn.wait(timeout=10)


def _children(nspawn: subprocess.Popen[bytes]) -> list[int]:
    command = ["pgrep", "-P", str(nspawn.pid), "-x", "systemd"]
    result = subprocess.run(command, check=False, capture_output=True, text=True, timeout=10)
    return [int(pid) for pid in result.stdout.split()]


def _up(nspawn: subprocess.Popen[bytes], root: Path) -> Machine | None:
    """Return the machine once its systemd says that it runs."""
    assert nspawn.poll() is None, (root.parent / "console.log").read_text(errors="replace")
    children = _children(nspawn)
    if not children:
        return None
    machine = Machine(root, children[0])
    state = machine.run("systemctl", "is-system-running").stdout.strip()
    return machine if state in {"running", "degraded"} else None
