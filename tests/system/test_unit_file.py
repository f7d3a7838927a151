"""The systemd unit: systemd's own checks of it, and its life under a real systemd as PID 1 of a throw-away machine."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import need, wait_until
from tests.machine import ROOT, Machine, booted

UNIT = ROOT / "systemd/edge-agent.service"
PROGRAM = "/opt/edge-agent/venv/bin/edge-agent"
DROP_INS = sorted((ROOT / "systemd").glob("*.conf"))
EXPOSURE = 15  # of 100: systemd-analyze's 1.5


def verify(folder: Path, unit: str) -> subprocess.CompletedProcess[str]:
    """Run systemd's check of a unit in a folder; an unknown key counts only with --recursive-errors."""
    path = folder / "edge-agent.service"
    path.write_text(unit, encoding="utf-8")
    command = [need("systemd-analyze"), "verify", "--recursive-errors=yes", str(path)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


def _runnable() -> str:
    """Return the unit with a program that this machine has."""
    text = UNIT.read_text(encoding="utf-8")
    assert PROGRAM in text
    return text.replace(PROGRAM, "/bin/true")


def test_systemd_finds_nothing_wrong(tmp_path: Path) -> None:
    result = verify(tmp_path, _runnable())
    assert (result.returncode, result.stdout + result.stderr) == (0, "")


@pytest.mark.parametrize("drop_in", DROP_INS, ids=lambda path: path.name)
def test_systemd_finds_nothing_wrong_with_a_drop_in(drop_in: Path, tmp_path: Path) -> None:
    folder = tmp_path / "edge-agent.service.d"
    folder.mkdir()
    shutil.copy(drop_in, folder)
    result = verify(tmp_path, _runnable())
    assert (result.returncode, result.stdout + result.stderr) == (0, "")


def test_the_check_would_find_an_unknown_key(tmp_path: Path) -> None:
    assert verify(tmp_path, _runnable().replace("[Install]", "ProtectEverything=yes\n[Install]")).returncode != 0


def test_its_exposure_is_low() -> None:
    command = [
        need("systemd-analyze"),
        "security",
        "--offline=true",
        "--no-pager",
        f"--threshold={EXPOSURE}",
        str(UNIT),
    ]
    result = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stdout[-400:] + result.stderr


def test_it_waits_for_no_network_and_never_gives_up() -> None:
    text = UNIT.read_text(encoding="utf-8")
    assert "network-online" not in text
    assert not any(line.startswith(("Requires=", "BindsTo=", "Wants=")) for line in text.splitlines())
    assert {"Type=notify", "Restart=always", "StartLimitIntervalSec=0", "WatchdogSec=60"} <= set(text.splitlines())


# What the service runs in the throw-away machine: it looks around once, is READY, feeds the watchdog, and does what
# the file `order` in its state directory says. The notifying is the agent's own module.
STAND_IN = """#!/usr/bin/python3
import ctypes, grp, json, os, signal, socket, sqlite3, sys, threading, time
sys.path.insert(0, "/opt/edge-agent/lib")
from edge_agent.system.sdnotify import notify, watchdog_interval_s

def attempt(action):
    try:
        return action() or "done"
    except Exception as error:
        return type(error).__name__

state, running = os.environ["STATE_DIRECTORY"], os.environ["RUNTIME_DIRECTORY"]
callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(lambda a, b: 0)
array = (ctypes.c_int * 2)(2, 1)
database = sqlite3.connect(os.path.join(state, "probe.db"))
database.execute("PRAGMA journal_mode=WAL"); database.execute("CREATE TABLE IF NOT EXISTS t (a)"); database.commit()
seen = {
    "arguments": sys.argv[1:], "uid": os.getuid(), "cwd": os.getcwd(), "lg_wd": os.environ.get("LG_WD"),
    "running": running, "state_mode": os.stat(state).st_mode & 0o777,
    "file_mode": os.stat(os.path.join(state, "probe.db")).st_mode & 0o777,
    "groups": sorted(grp.getgrgid(g).gr_name for g in os.getgrouplist("edge-agent", os.getgid())),
    "fifo": attempt(lambda: os.mkfifo(f".lgd-nfy{os.getpid()}")),
    "gpio_file": attempt(lambda: open("/srv/gpio-only").read()),
    "others_file": attempt(lambda: open("/srv/root-only").read()),
    "write_etc": attempt(lambda: open("/etc/edge-agent/x", "w").close()),
    "home": attempt(lambda: os.listdir("/root")),
    "callback": attempt(lambda: ctypes.CDLL(None).qsort(array, 2, 4, callback)),
    "thread": attempt(lambda: threading.Thread(target=print).start()),
    "resolve": attempt(lambda: socket.getaddrinfo("localhost", 80)[0][4][0]),
    "server": attempt(lambda: socket.create_server(("127.0.0.1", 0)).close()),
    "raw": attempt(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()),
    "boot_id": attempt(lambda: open("/proc/sys/kernel/random/boot_id").read().strip()),
    "interval_s": watchdog_interval_s(),
    "credential": attempt(lambda: open(os.environ["CREDENTIALS_DIRECTORY"] + "/iotcall-auth-code").read()),
}
with open(os.path.join(state, "seen.json"), "w") as file:
    json.dump(seen, file)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
signal.signal(signal.SIGHUP, lambda *_: print("read the configuration again", file=sys.stderr, flush=True))
order = os.path.join(state, "order")
assert notify("READY=1\\nSTATUS=watching")
while True:
    if os.path.exists(order):
        with open(order) as file:
            word = file.read()
        os.unlink(order)
        if word == "hang":
            threading.Event().wait()
        sys.exit(int(word))
    notify("WATCHDOG=1")
    time.sleep(min(watchdog_interval_s(), 0.05))
"""

STATE = "var/lib/edge-agent"
FASTER = "[Service]\nWatchdogSec=1\nRestartSec=100ms\n"  # the unit's 60 and 3 s would only be waited for


def seen(machine: Machine) -> dict[str, Any]:
    """Return what the stand-in saw when it looked around."""
    found: dict[str, Any] = json.loads((machine.root / STATE / "seen.json").read_text(encoding="utf-8"))
    return found


def order(machine: Machine, word: str) -> None:
    """Tell the stand-in to hang, or to exit with a status."""
    draft = machine.root / STATE / "draft"
    draft.write_text(word, encoding="utf-8")
    os.chown(draft, seen(machine)["uid"], -1)
    draft.rename(draft.with_name("order"))


def _install(root: Path) -> None:
    """Put the service into the machine as the installation does, with the stand-in for its program."""
    for folder in ("opt/edge-agent/venv/bin", "opt/edge-agent/lib/edge_agent/system", "etc/edge-agent"):
        (root / folder).mkdir(parents=True)
    (root / PROGRAM[1:]).write_text(STAND_IN, encoding="utf-8")
    (root / PROGRAM[1:]).chmod(0o755)
    for name in ("__init__.py", "system/__init__.py", "system/sdnotify.py"):
        shutil.copy(ROOT / "edge_agent" / name, root / "opt/edge-agent/lib/edge_agent" / name)
    shutil.copy(UNIT, root / "etc/systemd/system")
    shutil.copy(ROOT / "systemd/edge-agent.sysusers", root / "usr/lib/sysusers.d/edge-agent.conf")


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Boot a machine with the service installed and its user made."""
    need("systemd-sysusers")
    with booted(tmp_path_factory.mktemp("machine"), _install) as running:
        running.drop_in("faster.conf", FASTER)
        running.run("systemctl", "daemon-reload")
        made = running.run("systemd-sysusers", "/usr/lib/sysusers.d/edge-agent.conf")
        assert made.returncode == 0, made.stderr
        for group in ("gpio", "root"):
            running.run("install", "-m", "640", "-g", group, "/etc/hostname", f"/srv/{group}-only")
        yield running


@pytest.fixture
def service(machine: Machine) -> Iterator[Machine]:
    """Start the service afresh; `systemctl start` returns once it said READY=1."""
    machine.run("systemctl", "reset-failed", "edge-agent")
    started = machine.run("systemctl", "start", "edge-agent")
    assert started.returncode == 0, started.stderr + machine.journal()
    yield machine
    machine.run("systemctl", "stop", "edge-agent")


def test_it_may_do_what_it_must_and_no_more(service: Machine) -> None:
    assert service.show("StatusText") == "watching"
    found = seen(service)
    assert found.pop("uid") > 0
    assert len(found.pop("boot_id")) == 36
    assert found == {
        "arguments": ["--config", "/etc/edge-agent/config.toml", "run"],
        "cwd": "/run/edge-agent",
        "lg_wd": "/run/edge-agent",
        "running": "/run/edge-agent",
        "state_mode": 0o750,
        "file_mode": 0o640,
        "groups": ["dialout", "edge-agent", "gpio"],
        "fifo": "done",
        "gpio_file": service.run("cat", "/etc/hostname").stdout,
        "others_file": "PermissionError",
        "write_etc": "OSError",
        "home": "PermissionError",
        "callback": "done",
        "thread": "done",
        "resolve": "127.0.0.1",
        "server": "done",
        "raw": "OSError",
        "interval_s": 0.5,
        "credential": "KeyError",
    }


def test_with_the_drop_in_the_auth_code_is_a_credential(service: Machine) -> None:
    """Its file may then be root's alone."""
    drop_in = service.drop_in("credential.conf", (ROOT / "systemd/credential.conf").read_text(encoding="utf-8"))
    code = service.root / "etc/edge-agent/auth-code"
    code.write_text("the-code\n", encoding="utf-8")
    code.chmod(0o600)
    try:
        service.run("systemctl", "daemon-reload")
        assert service.run("systemctl", "restart", "edge-agent").returncode == 0, service.journal()
        assert seen(service)["credential"] == "the-code\n"
    finally:
        drop_in.unlink()
        service.run("systemctl", "daemon-reload")


def test_reload_is_a_sighup_and_stop_is_clean(service: Machine) -> None:
    assert service.run("systemctl", "reload", "edge-agent").returncode == 0
    wait_until(lambda: "read the configuration again" in service.journal())
    assert service.run("systemctl", "stop", "edge-agent").returncode == 0
    assert (service.show("ActiveState"), service.show("Result")) == ("inactive", "success")


def test_fed_it_lives_and_hanging_it_is_aborted_and_started_again(service: Machine) -> None:
    pid = service.show("MainPID")
    order(service, "hang")
    wait_until(lambda: service.restarted(1), timeout_s=20, step_s=0.1)
    assert service.show("MainPID") != pid
    journal = service.journal()
    assert "Watchdog timeout" in journal
    assert "Fatal Python error: Aborted" in journal, "the stacks of the hang are told"


def test_killed_it_is_started_again(service: Machine) -> None:
    service.run("kill", "-9", service.show("MainPID"))
    wait_until(lambda: service.restarted(1), timeout_s=20, step_s=0.1)


def test_whatever_its_exit_status_it_is_started_again_and_again(service: Machine) -> None:
    """Also 78, a bad configuration, and more often than systemd's own limit of five in ten seconds."""
    for times, status in enumerate((78, 1, 0, 2, 78, 78, 78), start=1):
        order(service, str(status))
        wait_until(partial(service.restarted, times), timeout_s=20, step_s=0.05)
