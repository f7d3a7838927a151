"""The real agent under the real unit: installed as docs/install.md says, on a machine without a network."""

import http.client
import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from tests.daemon import AUTH_CODE
from tests.helpers import missing, need, wait_until
from tests.machine import ROOT, Machine, booted

AGENT = "/opt/edge-agent/venv/bin/edge-agent"
CONFIG = "etc/edge-agent/config.toml"
CODE_FILE = "etc/edge-agent/auth-code"
STATE = "var/lib/edge-agent"
SANDBOX_PORT, WEB_PORT = 8791, 8790
PORT = "/dev/ttyBOILER"
FASTER = "[Service]\nWatchdogSec=3\nRestartSec=100ms\n"  # the unit's 60 and 3 s would only be waited for

# One configuration for all: a pin on a machine without GPIO, a serial port that is plugged in where a test says so.
TABLES = f"""
[agent]
name = "test"
[iotcall]
base_url = "http://127.0.0.1:{SANDBOX_PORT}"
auth_code_file = "/{CODE_FILE}"
[iotcall.rules.r]
url_key = "URL_KEY"
max_calls = 0
[sources.door]
type = "gpio"
pin = 17
[sources.boiler]
type = "serial"
port = "{PORT}"
[alarms.open]
input = "door"
is = true
call = "r"
[alarms.hot]
input = "boiler"
above = 30
call = "r"
"""

# What docs/install.md calls and must not be real here: no network to install from, nobody to type.
STAND_INS = {
    "apt": "exit 0",
    "sudo": 'if [ "$1" = -u ]; then user=$2; shift 2; exec runuser -u "$user" -- "$@"; fi; exec "$@"',
    "nano": 'cat "/srv/typed/$(basename "$1")" >"$1"',
}
LOCK_STEP = "sudo venv/bin/pip install --require-hashes -r source/requirements.lock\n"


class Service:
    """The installed service with an IoTCall beside it; each test has a rule, and so calls, of its own."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._tests = 0
        self.key = ""

    def afresh(self) -> None:
        """Begin a test: nothing in the state folder, the configuration and AuthCode as documented."""
        self._tests += 1
        self.key = f"15test{self._tests:04}28b89"
        self.empty_state()
        self.configure()
        (self.machine.root / CODE_FILE).write_text(f"{AUTH_CODE}\n", encoding="ascii")
        self.systemctl("reset-failed")
        self.systemctl("start")

    def empty_state(self) -> None:
        """Forget all that was; the folder itself stays, and stays the service's."""
        for entry in (self.machine.root / STATE).glob("*"):
            entry.unlink()

    def configure(self, more: str = "") -> None:
        """Write the configuration, as an editor does: owner and mode stay."""
        text = TABLES.replace("URL_KEY", self.key) + more
        (self.machine.root / CONFIG).write_text(text, encoding="utf-8")

    def systemctl(self, verb: str) -> None:
        """Let systemd do something with the service, and succeed."""
        done = self.machine.run("systemctl", verb, "edge-agent")
        assert done.returncode == 0, done.stderr + self.machine.journal()

    def command(self, *words: str, user: str = "root", code: int = 0) -> str:
        """Run a command as a person on the machine does; return its stdout, or all that it said where it fails."""
        done = self.machine.run("runuser", "-u", user, "--", "edge-agent", *words)
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done.stdout if code == 0 else done.stdout + done.stderr

    def ask(self, method: str, port: int, path: str, body: object = None) -> tuple[int, str]:
        """Ask a server of the machine; return status and text, status 0 where nobody listens."""
        connection = http.client.HTTPConnection("localhost")
        try:
            connection.sock = self.machine.connect(port)
            text, headers = (None, {}) if body is None else (json.dumps(body), {"Content-Type": "application/json"})
            connection.request(method, path, text, headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except OSError as error:
            return 0, str(error)
        finally:
            connection.close()

    def status(self) -> dict[str, Any]:
        """Return what the agent says of itself."""
        found: dict[str, Any] = json.loads(self.ask("GET", WEB_PORT, "/api/v1/status")[1])
        return found

    def states(self) -> dict[str, str]:
        """Return each alarm's state."""
        return {alarm["alarm"]: alarm["state"] for alarm in self.status()["alarms"]}

    def fault(self, subject: str) -> str:
        """Return the fault of a subject; "" where there is none."""
        return next((fault["what"] for fault in self.status()["faults"] if fault["what"].startswith(subject)), "")

    def calls(self) -> list[dict[str, Any]]:
        """Return the POSTs that this test's rule has got."""
        calls = json.loads(self.ask("GET", SANDBOX_PORT, "/_sandbox/calls")[1])["calls"]
        return [call for call in calls if call["url_key"] == self.key]

    def break_iotcall(self, fault: str) -> None:
        """Switch a fault of IoTCall on, or all off with "none"."""
        for rule in (None, self.key):
            status, text = self.ask("POST", SANDBOX_PORT, "/_sandbox/fault", {"fault": fault, "rule": rule})
            assert status == 200, text

    def placed(self, count: int) -> None:
        """Wait until so many calls are placed; there was then one POST for each."""
        wait_until(lambda: self.status()["outbox"]["placed"] == count, step_s=0.05)
        assert len(self.calls()) == count

    def said(self) -> list[tuple[int, str]]:
        """Return the level and text of each line that the agent has logged since it was started last."""
        invocation = f"_SYSTEMD_INVOCATION_ID={self.machine.show('InvocationID')}"
        lines = self.machine.run("journalctl", invocation, "-o", "json", "--no-pager").stdout.splitlines()
        entries = [json.loads(line) for line in lines]
        return [(int(entry["PRIORITY"]), entry["MESSAGE"]) for entry in entries if entry["_TRANSPORT"] == "stdout"]

    @contextmanager
    def serial_line(self) -> Iterator[Any]:
        """Plug a sensor in, owned as Debian's are; yield a function that lets it say something."""
        line = f"PTY,link={PORT},raw,echo=0,group=dialout,mode=660"
        socat = self.machine.popen(need("socat"), "-u", "STDIN", line)
        assert socat.stdin is not None

        def say(text: str) -> None:
            assert socat.stdin is not None
            socat.stdin.write(text.encode())
            socat.stdin.flush()

        try:
            yield say
        finally:
            socat.kill()
            socat.stdin.close()
            socat.wait(10)


def _steps(heading: str) -> list[str]:
    """Return the commands of a section of docs/install.md, a script for each block."""
    text = (ROOT / "docs/install.md").read_text(encoding="utf-8")
    section = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert section is not None
    return re.findall(r"^```\n(.*?)^```", section[1], re.MULTILINE | re.DOTALL)


def _follow(machine: Machine, heading: str, folder: str = "/opt/edge-agent") -> str:
    """Do what a section says, stopping where a command fails; return what was printed."""
    return "".join(_do(machine, folder, step) for step in _steps(heading))


def _do(machine: Machine, folder: str, step: str) -> str:
    endless, once = "journalctl -u edge-agent -f", "journalctl -u edge-agent"
    script = f"export PATH=/srv/bin:$PATH\ncd {folder}\n{step.replace(endless, once)}"
    done = machine.run("bash", "-e", "-c", script, timeout_s=60)
    assert done.returncode == 0, f"{step}\n{done.stdout}\n{done.stderr}\n{machine.journal()}"
    return done.stdout


def _prepare(root: Path) -> None:
    """Put in the checkout, and what stands in for a network and a keyboard."""
    left_out = shutil.ignore_patterns(".*", "__pycache__", "build", "*.egg-info")
    shutil.copytree(ROOT, root / "srv/checkout", ignore=left_out)
    (root / "srv/typed").mkdir()
    (root / "srv/typed/config.toml").write_text(TABLES.replace("URL_KEY", "15install28b89"), encoding="utf-8")
    (root / "srv/typed/auth-code").write_text(f"{AUTH_CODE}\n", encoding="ascii")
    for name, script in STAND_INS.items():
        program = root / "srv/bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        program.chmod(0o755)


def _copy_locked_packages(target: Path) -> None:
    """Install what the lock names from the Python that runs this: the machine has no index to ask."""
    for line in (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines():
        if not re.match(r"[a-z0-9]", line):
            continue
        wanted = Requirement(line.removesuffix("\\"))
        if wanted.marker is not None and not wanted.marker.evaluate():
            continue
        found = importlib.metadata.distribution(wanted.name)
        for old in (wanted.name, f"{wanted.name}-*.dist-info"):  # what venv itself has put there
            for path in target.glob(old):
                shutil.rmtree(path)
        for file in found.files or ():
            if ".." not in file.parts and "__pycache__" not in file.parts:
                (target / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(str(file.locate()), target / file)


def _python() -> str:
    """Return the version of the distribution's Python; the packages at hand must be made for it."""
    ask = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run(["/usr/bin/python3", "-c", ask], check=False, capture_output=True, text=True, timeout=10)
    ours = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if done.returncode != 0:
        missing("needs /usr/bin/python3 with its venv module")
    if done.stdout.strip() != ours:
        missing(f"needs packages for /usr/bin/python3, which is {done.stdout.strip()}; here are those for {ours}")
    return ours


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Boot a machine on which docs/install.md was followed to its end."""
    version = _python()
    with booted(tmp_path_factory.mktemp("machine"), _prepare) as running:
        _install(running, version)
        yield running


def _install(machine: Machine, version: str) -> None:
    before, after = _steps("2. The program")[0].split(LOCK_STEP)
    _follow(machine, "1. Packages", "/srv/checkout")
    _do(machine, "/srv/checkout", before)
    _copy_locked_packages(machine.root / f"opt/edge-agent/venv/lib/python{version}/site-packages")
    _do(machine, "/opt/edge-agent", after)
    _follow(machine, "3. Its user")
    assert "config.toml: ok, 2 sources, 2 alarms, 1 IoTCall rule" in _follow(machine, "4. Configuration and AuthCode")
    machine.drop_in("faster.conf", FASTER)
    assert "Active: active (running)" in _follow(machine, "5. First start")


@pytest.fixture(scope="module")
def installed(machine: Machine) -> Iterator[Service]:
    """Start an IoTCall on the machine."""
    service = Service(machine)
    sandbox = machine.popen(AGENT, "sandbox", "--listen", f"127.0.0.1:{SANDBOX_PORT}", "--auth-code", AUTH_CODE)
    try:
        wait_until(lambda: service.ask("GET", SANDBOX_PORT, "/_sandbox/state")[0] == 200, step_s=0.1)
        yield service
    finally:
        sandbox.kill()
        sandbox.communicate(timeout=10)


@pytest.fixture
def service(installed: Service) -> Iterator[Service]:
    """Start the service afresh; it says READY=1 before the test begins."""
    installed.systemctl("stop")
    installed.afresh()
    yield installed
    installed.break_iotcall("none")
    journal = installed.machine.journal()
    assert AUTH_CODE not in journal
    assert "Traceback" not in journal


def test_without_a_network_it_is_up_and_an_injected_reading_is_one_call(service: Service) -> None:
    interfaces = service.machine.run("cat", "/proc/net/dev").stdout.splitlines()[2:]
    assert [line.split(":")[0].strip() for line in interfaces] == ["lo"]
    assert service.machine.show("ActiveState") == "active"
    assert service.ask("GET", WEB_PORT, "/healthz")[0] == 200
    service.command("inject", "door", "true")
    service.placed(1)
    call = service.calls()[0]
    assert (call["headers"]["authorization"], call["headers"]["content-length"]) == (AUTH_CODE, "0")
    assert "content-type" not in call["headers"]
    assert call["body"] == ""
    assert 'edge_agent_outbox_calls{state="placed"} 1.0' in service.ask("GET", WEB_PORT, "/metrics")[1]
    assert "open" in service.command("status")


def test_a_serial_port_of_dialout_is_read_and_its_loss_is_told_once(service: Service) -> None:
    def online() -> bool:
        return bool(service.status()["sources"]["boiler"]["online"])

    with service.serial_line() as say:
        wait_until(online, step_s=0.05)
        say("20.5\ngarbage\n31.5\n32\n")
        service.placed(1)
    wait_until(lambda: not online(), step_s=0.05)
    lines = [line for _, line in service.said() if line.startswith("source=boiler")]
    assert [line.split(" error=")[0] for line in lines] == [
        "source=boiler state=offline",
        "source=boiler state=online",
        "source=boiler state=offline",
    ]


def test_a_pin_without_a_chip_is_a_fault_and_the_journal_has_a_line_for_each_event(service: Service) -> None:
    service.command("inject", "door", "true")
    service.placed(1)
    wait_until(lambda: service.fault("source boiler") and service.fault("source door"))
    status = service.status()
    assert status["sources"]["door"]["online"] is False
    assert all(fault["hint"] for fault in status["faults"])
    assert service.ask("GET", WEB_PORT, "/healthz")[0] == 200
    lines = [(level, line) for level, line in service.said() if "event=line_up" not in line]  # no event of this test
    said = sorted((level, re.sub(r"[=\"' ]+", " ", line).split()[:4]) for level, line in lines)
    assert [(level, *words) for level, words in said] == [
        (3, "event", "fault", "what", "source"),
        (3, "event", "fault", "what", "source"),
        (4, "event", "call", "alarm", "open"),
        (4, "event", "raised", "alarm", "open"),
        (4, "source", "boiler", "state", "offline"),
        (4, "source", "door", "state", "offline"),
        (6, "event", "placed", "id", "1"),
        (6, "event", "ready", "config", "/etc/edge-agent/config.toml"),
    ]
    assert service.machine.restarted(0)


def test_its_files_belong_to_it_and_are_closed_to_others(service: Service) -> None:
    service.command("inject", "door", "true")
    service.placed(1)
    found = service.machine.run(
        "find", "/var/lib/edge-agent", "/run/edge-agent", "/etc/edge-agent", "-printf", "%p %u:%g %m\n"
    ).stdout.splitlines()
    assert sorted(found) == [
        "/etc/edge-agent root:edge-agent 750",
        "/etc/edge-agent/auth-code root:edge-agent 640",
        "/etc/edge-agent/config.toml root:edge-agent 640",
        "/run/edge-agent edge-agent:edge-agent 750",
        "/var/lib/edge-agent edge-agent:edge-agent 750",
        "/var/lib/edge-agent/edge-agent.db edge-agent:edge-agent 640",
        "/var/lib/edge-agent/edge-agent.db-shm edge-agent:edge-agent 640",
        "/var/lib/edge-agent/edge-agent.db-wal edge-agent:edge-agent 640",
        "/var/lib/edge-agent/web-token edge-agent:edge-agent 640",
    ]


def test_people_of_its_group_look_and_operate_and_others_do_not(service: Service) -> None:
    assert service.machine.run("useradd", "-G", "edge-agent", "colleague").returncode == 0
    service.command("inject", "door", "true", user="colleague")
    service.placed(1)
    assert "placed" in service.command("status", user="colleague")
    assert "placed" in service.command("outbox", "list", user="colleague")
    service.systemctl("stop")
    assert "placed" in service.command("outbox", "list", user="colleague")
    refusal = service.command("status", user="nobody", code=78)
    assert refusal.count("\n") == 1
    assert "Permission denied" in refusal


def test_a_reload_keeps_alarms_and_calls_and_refuses_what_is_wrong(service: Service) -> None:
    service.command("inject", "door", "true")
    service.placed(1)
    since = service.status()["alarms"]
    pid = service.machine.show("MainPID")
    service.configure('[alarms.hotter]\ninput = "boiler"\nabove = 40\ncall = "r"\n')
    service.systemctl("reload")
    wait_until(lambda: "hotter" in service.states(), step_s=0.05)
    assert since[0] in service.status()["alarms"]
    service.configure("[alarms.nonsense]\n")
    service.systemctl("reload")
    wait_until(lambda: service.fault("config"), step_s=0.05)
    assert "hotter" in service.states(), "the good one stays"
    service.configure()
    service.systemctl("reload")
    wait_until(lambda: not service.fault("config"), step_s=0.05)
    assert service.machine.show("MainPID") == pid
    service.command("inject", "boiler", "31")
    service.placed(2)


def test_killed_it_is_started_again_and_does_not_call_again(service: Service) -> None:
    service.command("inject", "door", "true")
    service.placed(1)
    service.machine.run("kill", "-9", service.machine.show("MainPID"))
    wait_until(lambda: service.machine.restarted(1), step_s=0.05)
    assert service.states()["open"] == "raised"
    service.command("inject", "boiler", "31")
    service.placed(2)


def test_hanging_it_is_aborted_and_started_again_and_does_not_call_again(service: Service) -> None:
    service.command("inject", "door", "true")
    service.placed(1)
    service.machine.run("kill", "-STOP", service.machine.show("MainPID"))
    wait_until(lambda: service.machine.restarted(1), timeout_s=20, step_s=0.1)
    said = service.machine.journal
    assert "Watchdog timeout" in said()
    wait_until(lambda: "Fatal Python error: Aborted" in said())  # journald may be behind
    wait_until(lambda: said().count("most recent call first") >= 4)  # each thread tells where it stood
    assert service.states()["open"] == "raised"
    service.command("inject", "boiler", "31")
    service.placed(2)


def test_stopped_it_ends_within_five_seconds_also_while_iotcall_hangs(service: Service) -> None:
    service.break_iotcall("hang")
    service.command("inject", "door", "true")
    wait_until(service.calls, step_s=0.05)
    began = time.monotonic()
    service.systemctl("stop")
    assert time.monotonic() - began < 5
    show = service.machine.show
    assert (show("ActiveState"), show("Result"), show("ExecMainStatus")) == ("inactive", "success", "0")


def test_a_bad_configuration_is_tried_until_it_is_mended(service: Service) -> None:
    service.configure("[alarms.nonsense]\n")
    service.machine.run("systemctl", "restart", "--no-block", "edge-agent")
    wait_until(lambda: int(service.machine.show("NRestarts")) >= 2, step_s=0.05)
    journal = service.machine.journal()
    assert journal.count("Main process exited, code=exited, status=78/CONFIG") >= 2
    errors = service.machine.run("journalctl", "-u", "edge-agent", "-p", "err", "-o", "cat", "--no-pager").stdout
    assert "\n/etc/edge-agent/config.toml:24: alarms.nonsense.input: is missing" in errors
    service.configure()
    wait_until(lambda: service.machine.show("SubState") == "running", step_s=0.05)
    service.command("inject", "door", "true")
    service.placed(1)


def test_a_wrong_auth_code_is_mended_without_a_restart(service: Service) -> None:
    code = service.machine.root / CODE_FILE
    code.write_text("wrong\n", encoding="ascii")
    wait_until(lambda: any("event=auth_code_changed" in line for _, line in service.said()), step_s=0.1)
    service.command("inject", "door", "true")
    wait_until(service.calls)
    code.write_text(f"{AUTH_CODE}\n", encoding="ascii")
    wait_until(lambda: service.status()["outbox"]["placed"] == 1, step_s=0.1)
    assert [call["activated"] for call in service.calls()] == [False, True]


def test_the_auth_code_as_a_credential(service: Service) -> None:
    """The file may then be root's alone."""
    credential = service.machine.drop_in("credential.conf", (ROOT / "systemd/credential.conf").read_text("utf-8"))
    code = service.machine.root / CODE_FILE
    config = service.machine.root / CONFIG
    try:
        config.write_text(config.read_text("utf-8").replace("auth_code_file", "# auth_code_file"), encoding="utf-8")
        code.chmod(0o600)
        service.machine.run("systemctl", "daemon-reload")
        service.systemctl("restart")
        service.command("inject", "door", "true")
        service.placed(1)
        assert service.calls()[0]["headers"]["authorization"] == AUTH_CODE
    finally:
        code.chmod(0o640)
        credential.unlink()
        service.machine.run("systemctl", "daemon-reload")


def test_what_root_makes_by_hand_is_the_services(service: Service) -> None:
    """`sudo edge-agent run` in an empty state folder must not keep the service from starting afterwards."""
    service.systemctl("stop")
    service.empty_state()
    byhand = service.machine.popen(AGENT, "run")
    try:
        wait_until(lambda: service.ask("GET", WEB_PORT, "/healthz")[0] == 200)
        service.command("inject", "door", "true")
        service.placed(1)
    finally:
        byhand.terminate()
        byhand.communicate(timeout=10)
    service.systemctl("start")
    assert service.states()["open"] == "raised"
    service.command("inject", "boiler", "31")
    service.placed(2)


def test_upgraded_as_documented_it_goes_on(service: Service) -> None:
    service.command("inject", "door", "true")
    service.placed(1)
    pid = service.machine.show("MainPID")
    _do(service.machine, "/srv/checkout", "true\n".join(_steps("Upgrading")[0].split(LOCK_STEP)))
    assert service.machine.show("MainPID") != pid
    assert service.states()["open"] == "raised"
    service.command("inject", "boiler", "31")
    service.placed(2)


def test_removed_as_documented_nothing_is_left(service: Service) -> None:
    """The last of all: without its program there is nothing more to test."""
    machine = service.machine
    _follow(machine, "Removing it", "/")
    places = ("/etc", "/opt", "/run", "/usr/lib/systemd", "/usr/lib/sysusers.d", "/usr/local", "/var/lib", "/home")
    left = machine.run("find", *places, "-xdev", "-name", "*edge-agent*").stdout
    assert left == ""
    assert machine.run("getent", "passwd", "edge-agent").returncode != 0
    assert machine.run("getent", "group", "edge-agent").returncode != 0
    assert machine.run("systemctl", "is-active", "edge-agent").stdout.strip() == "inactive"
