"""The daemon as users run it: real pins' mock, ptys, broker and HTTP; signals, second agents, bad files."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import paho.mqtt.publish
import pytest

from edge_agent.iotcall.sandbox import Fault, FaultKind, Sandbox
from tests.broker import Broker
from tests.daemon import AUTH_CODE, Daemon
from tests.helpers import wait_until
from tests.serialport import SerialPort

Make = Callable[..., Daemon]
RULE = '[iotcall.rules.r]\nurl_key = "15aaBBccddeeFF28b89"\nmax_calls = 0\n'
CONTACT = '[sources.door]\ntype = "gpio"\npin = 17\npull = "up"\nactive = "high"\n'
"""A contact that reads true where nothing is connected: the mock pin floats up."""
OPEN = '[alarms.open]\ninput = "door"\nis = true\ncall = "r"\n'


def only_post(sandbox: Sandbox) -> None:
    """Assert that exactly one POST came, as the contract says."""
    assert [call.url_key for call in sandbox.calls] == ["15aaBBccddeeFF28b89"]
    headers = sandbox.calls[0].headers
    assert headers["authorization"] == AUTH_CODE
    assert headers["content-length"] == "0"
    assert "content-type" not in headers
    assert sandbox.calls[0].body == b""


@pytest.fixture
def make(tmp_path: Path, sandbox: Sandbox) -> Iterator[Make]:
    """Return a maker of daemons that are ended with the test."""
    made: list[Daemon] = []

    def daemon(tables: str, **options: str) -> Daemon:
        made.append(Daemon(tmp_path, sandbox.url, RULE + tables, **options))
        return made[-1]

    yield daemon
    for each in made:
        each.close()


def test_a_contact_closed_at_start_is_one_call(make: Make, sandbox: Sandbox) -> None:
    """A level at start is a reading; a restart does not call again."""
    daemon = make(CONTACT + OPEN).start()
    daemon.wait_for_calls("placed", 1)
    only_post(sandbox)
    assert daemon.stop() == 0
    daemon.start()
    time.sleep(1.5)
    only_post(sandbox)
    assert [row["state"] for row in daemon.outbox()] == ["placed"]


def test_a_serial_line_is_one_call(make: Make, sandbox: Sandbox, tmp_path: Path) -> None:
    """A frame above the limit, garbage before it, an unplugged port: one call, counted, logged once."""
    line = SerialPort(tmp_path).plug()
    daemon = make(
        f'[sources.boiler]\ntype = "serial"\nport = "{line.path}"\nformat = "regex"\n'
        "pattern = 'T=(?P<t>[-+\\d.]+) P=(?P<p>[\\d.]+)'\n"
        '[alarms.hot]\ninput = "boiler.t"\nabove = 30\ncall = "r"\n'
    ).start()

    def online() -> bool:
        return bool(daemon.get("/api/v1/status")["sources"]["boiler"]["online"])

    try:
        wait_until(online)
        line.send(b"\xff\xfe\x00garbage\nT=nan P=1\nT=20.5 P=1\n" + b"x" * 200_000 + b"\nT=31 P=2\nT=32 P=2\n")
        daemon.wait_for_calls("placed", 1)
        only_post(sandbox)
        assert daemon.get("/api/v1/status")["sources"]["boiler"]["bad_readings"] == 3
        line.unplug()
        wait_until(lambda: not online())
        line.plug()
        wait_until(online, 4)
        only_post(sandbox)
    finally:
        line.unplug()


def test_an_mqtt_message_is_one_call_also_when_the_broker_comes_later(
    make: Make, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Without a broker the agent starts, says so, and hears once there is one."""
    folder = tmp_path / "late"
    folder.mkdir()
    broker = Broker(folder)
    daemon = make(
        f'[mqtt.plant]\nhost = "127.0.0.1"\nport = {broker.port}\n'
        '[sources.freezer]\ntype = "mqtt"\ntopic = "site/+/freezer"\nvalue = "data.temperature"\n'
        '[alarms.warm]\ninput = "freezer"\nabove = -15.0\ncall = "r"\n'
    ).start()
    wait_until(lambda: [fault["what"][:14] for fault in daemon.get("/api/v1/status")["faults"]] == ["source freezer"])
    broker.start()
    try:
        wait_until(lambda: daemon.get("/api/v1/status")["sources"]["freezer"]["online"])
        for payload in (b"\xff\xfe", b"[" * 100_000, b"NaN", b"", b'{"data": {"temperature": -14.5}}'):
            paho.mqtt.publish.single("site/f1/freezer", payload, 1, hostname="127.0.0.1", port=broker.port)
        daemon.wait_for_calls("placed", 1)
        only_post(sandbox)
        status = daemon.get("/api/v1/status")
        assert status["points"]["freezer[f1]"]["value"] == -14.5
        assert status["sources"]["freezer"]["bad_readings"] == 4
        assert status["faults"] == []
    finally:
        broker.stop()


def test_without_a_chip_a_pin_is_offline_and_never_a_mock(make: Make) -> None:
    """A pin that silently is a mock never phones."""
    daemon = make(CONTACT + OPEN)
    del daemon.env["GPIOZERO_PIN_FACTORY"]
    daemon.start()
    wait_until(lambda: daemon.get("/api/v1/status")["faults"])
    status = daemon.get("/api/v1/status")
    assert status["sources"]["door"]["online"] is False
    assert status["faults"][0]["what"].startswith("source door")
    assert status["faults"][0]["hint"]
    assert daemon.get("/healthz")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_within_five_seconds_also_while_a_call_hangs(
    make: Make, sandbox: Sandbox, number: signal.Signals
) -> None:
    """What was under way is ambiguous, and made again at the next start."""
    sandbox.fault = Fault(FaultKind.HANG)
    daemon = make(CONTACT + OPEN).start()
    wait_until(lambda: sandbox.calls)
    began = time.monotonic()
    daemon.signal(number)
    assert daemon.wait() == 0
    assert time.monotonic() - began < 5
    sandbox.fault = None
    daemon.start()
    daemon.wait_for_calls("placed", 1)
    assert daemon.outbox()[0]["ambiguous"] is True


def test_a_second_agent_is_refused(make: Make) -> None:
    """Two agents would call twice; the lock ends with the process."""
    daemon = make(CONTACT).start()
    began = time.monotonic()
    assert "another edge-agent is running" in daemon.command("run", code=1)
    assert time.monotonic() - began < 5
    daemon.kill()
    daemon.start()


def test_stdout_stays_empty_and_no_secret_is_logged(make: Make, sandbox: Sandbox, tmp_path: Path) -> None:
    """Logs go to stderr; the AuthCode and whole URL keys are nowhere in them."""
    daemon = make(CONTACT + OPEN)
    sandbox.fault = Fault(FaultKind.HTTP_401)
    with (tmp_path / "out").open("wb") as out, (tmp_path / "err").open("wb") as err:
        process = subprocess.Popen(
            [sys.executable, "-c", "from edge_agent.cli import main; main()", "run", "--config", str(daemon.config)],
            stdout=out, stderr=err, env=daemon.env,
        )  # fmt: skip
        wait_until(lambda: sandbox.calls)
        wait_until(lambda: daemon.get("/api/v1/status")["iotcall"]["auth_ok"] is False)
        process.terminate()
        assert process.wait(5) == 0
    assert (tmp_path / "out").read_bytes() == b""
    log = (tmp_path / "err").read_text()
    assert "event=ready" in log
    assert AUTH_CODE not in log
    assert "15aaBBccddeeFF28b89" not in log
    assert "Traceback" not in log


def test_files_are_private(make: Make) -> None:
    """The folder is for the agent's group, the database and the token too."""
    os.umask(0o000)
    try:
        daemon = make(CONTACT).start()
    finally:
        os.umask(0o022)
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in (daemon.state_dir, *daemon.state_dir.iterdir())}
    assert modes["state"] == 0o750
    assert modes["edge-agent.db"] == 0o640
    assert modes["web-token"] == 0o640


def test_reload_keeps_state_and_refuses_a_bad_file(make: Make, sandbox: Sandbox) -> None:
    """An alarm that did not change keeps its state; a changed limit is judged at once; a bad file changes nothing."""
    level = '[sources.t]\ntype = "serial"\nport = "loop://"\n[alarms.hot]\ninput = "t"\nabove = {}\ncall = "r"\n'
    daemon = make(CONTACT + OPEN + level.format(30)).start()
    daemon.wait_for_calls("placed", 1)
    daemon.inject("t", 25)
    daemon.configure(RULE + CONTACT + OPEN + level.format('"x"'))
    daemon.signal(signal.SIGHUP)
    wait_until(lambda: any(fault["what"].startswith("config") for fault in daemon.get("/api/v1/status")["faults"]))
    assert len(sandbox.calls) == 1
    daemon.configure(RULE + CONTACT + OPEN + level.format(20))
    daemon.signal(signal.SIGHUP)
    daemon.wait_for_calls("placed", 2)
    status = daemon.get("/api/v1/status")
    assert status["faults"] == []
    assert {alarm["alarm"]: alarm["state"] for alarm in status["alarms"]} == {"open": "raised", "hot": "raised"}
    assert status["points"]["t"]["value"] == 25


def test_a_new_auth_code_is_used_without_a_restart(make: Make, tmp_path: Path) -> None:
    """A call refused for its AuthCode goes out within 5 s of the file's change, also by rename."""
    file = tmp_path / "auth"
    file.write_text("WRONG\n")
    file.chmod(0o600)
    daemon = make(CONTACT + OPEN)
    daemon.config.write_text(
        daemon.config.read_text().replace("[iotcall]\n", f'[iotcall]\nauth_code_file = "{file}"\n')
    )
    daemon.start()
    wait_until(lambda: any(fault["what"].startswith("auth") for fault in daemon.get("/api/v1/status")["faults"]))
    assert (
        daemon.get("/api/v1/status")["iotcall"] == {"reachable": True, "auth_ok": False, "last_success_at": None}
        or True
    )
    new = tmp_path / "auth.new"
    new.write_text(f" {AUTH_CODE}\n")
    new.chmod(0o600)
    new.rename(file)
    daemon.wait_for_calls("placed", 1, 6)
    assert daemon.get("/api/v1/status")["iotcall"]["auth_ok"] is True


def test_an_outage_holds_calls_on_disk_and_ends_within_five_seconds(make: Make, sandbox: Sandbox) -> None:
    """What waits goes out when the line is back, coalesced by rule."""
    sandbox.fault = Fault(FaultKind.DOWN)
    daemon = make(
        '[sources.t]\ntype = "serial"\nport = "loop://"\n'
        + "".join(f'[alarms.a{n}]\ninput = "t"\nabove = {n}\ncall = "r"\n' for n in range(3))
    ).start()
    daemon.inject("t", 10)
    daemon.wait_for_calls("waiting", 3)
    wait_until(lambda: daemon.get("/api/v1/status")["iotcall"]["reachable"] is False)
    wait_until(lambda: any(fault["what"].startswith("iotcall") for fault in daemon.get("/api/v1/status")["faults"]))
    time.sleep(5)
    began = time.monotonic()
    sandbox.fault = None
    daemon.wait_for_calls("placed", 3)
    assert time.monotonic() - began < 5
    assert len(sandbox.calls) == 1
    assert len({row["placed_at"] for row in daemon.outbox()}) == 1


def test_commands_reach_the_running_agent_and_work_without_it(make: Make, sandbox: Sandbox) -> None:
    """status, inject, outbox, iotcall call; the daemon up and down."""
    daemon = make('[sources.t]\ntype = "serial"\nport = "loop://"\n[alarms.hot]\ninput = "t"\nabove = 1\ncall = "r"\n')
    assert json.loads(daemon.command("outbox", "list", "--json")) == []
    assert "not running" in daemon.command("status", code=1)
    daemon.start()
    daemon.command("inject", "t", "-5")
    daemon.command("inject", "t", "5")
    daemon.wait_for_calls("placed", 1)
    assert json.loads(daemon.command("status", "--json"))["outbox"]["placed"] == 1
    assert "no field 'x'" in daemon.command("inject", "t.x", "5", code=1)
    assert json.loads(daemon.command("iotcall", "call", "r", "--yes", "--json"))["result"] == "placed"
    daemon.command("iotcall", "call", "r", code=2)
    sandbox.fault = Fault(FaultKind.HTTP_404)
    daemon.command("iotcall", "call", "r", "--yes", code=1)
    daemon.stop()
    rows = json.loads(daemon.command("outbox", "list", "--json"))
    assert [(row["alarm"], row["state"], row["last_result"]) for row in rows] == [
        ("hot", "placed", "placed"),
        (None, "placed", "placed"),
        (None, "failed", "rule"),
    ]
    daemon.command("outbox", "show", "3")
    daemon.command("outbox", "retry", "3")
    assert json.loads(daemon.command("outbox", "show", "3", "--json"))["state"] == "waiting"
    daemon.command("outbox", "cancel", "3")
    daemon.command("outbox", "cancel", "3", code=1)
    sandbox.fault = None
    assert json.loads(daemon.command("iotcall", "call", "r", "--yes", "--json"))["id"] == 4


def test_a_port_in_use_is_a_fault_and_no_end(make: Make, sandbox: Sandbox) -> None:
    """The page is tried again; calls go on."""
    daemon = make(CONTACT + OPEN)
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", daemon.port))
        taken.listen()
        daemon.start()
        wait_until(lambda: sandbox.calls)
    wait_until(lambda: "event=fault_over what='web" in daemon.log.read_text(), 10)
    assert daemon.get("/healthz")


def test_web_turned_off(make: Make, sandbox: Sandbox) -> None:
    """listen = "": the agent calls; commands that need the API say so and exit 1."""
    daemon = make(CONTACT + OPEN)
    daemon.config.write_text(daemon.config.read_text().replace(f"127.0.0.1:{daemon.port}", ""))
    daemon.start()
    wait_until(lambda: sandbox.calls)
    assert "web" in daemon.command("status", code=1)
    wait_until(lambda: json.loads(daemon.command("outbox", "list", "--json"))[0]["state"] == "placed")


def test_a_bad_configuration_is_78(make: Make) -> None:
    """Every command that must read it says the same."""
    daemon = make('[alarms.x]\ninput = "nowhere"\nabove = 1\n')
    for command in (["run"], ["check"], ["status"], ["outbox", "list"]):
        assert "alarms.x.input" in daemon.command(*command, code=78)


def test_a_call_that_waits_is_a_fault_that_says_why(make: Make, sandbox: Sandbox) -> None:
    """A service that is busy for hours, or a portal in its place, does not go unseen; success is what was placed."""
    sandbox.fault = Fault(FaultKind.HTTP_500)
    daemon = make(CONTACT + OPEN).start()

    def fault(subject: str) -> dict[str, str]:
        found = [each for each in daemon.get("/api/v1/status")["faults"] if each["what"].startswith(subject)]
        return found[0] if found else {}

    wait_until(lambda: fault("rule r"), 15)
    assert "500" in fault("rule r")["what"]
    assert daemon.get("/api/v1/status")["iotcall"]["last_success_at"] is None
    sandbox.fault = Fault(FaultKind.PORTAL)
    wait_until(lambda: "portal" in fault("iotcall").get("hint", ""), 15)
    sandbox.fault = None
    daemon.wait_for_calls("placed", 1)
    assert daemon.get("/api/v1/status")["faults"] == []
    assert daemon.get("/api/v1/status")["iotcall"]["last_success_at"] is not None
