"""Serial sources on real pseudo-terminals: formats, polling, garbage, pulling the plug."""

import random
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from edge_agent.core.reading import Value
from tests.helpers import wait_until
from tests.recording import RecordingIntake, Running
from tests.serialport import SerialPort

Run = Callable[..., Running]


def opened(run: Run, port: SerialPort, **table: Any) -> RecordingIntake:
    intake = run({"boiler": {"type": "serial", "port": str(port.path)} | table}).intake
    wait_until(lambda: intake.is_online("boiler"))
    return intake


CASES: dict[str, tuple[dict[str, Any], bytes, list[tuple[str, Value | None]]]] = {
    "number": (
        {},
        b"21.5\r\n-3\n\n  1e2 \n0x10\n21,5\nnan\n",
        [("boiler", value) for value in (21.5, -3, 100.0)] + [("boiler", None)] * 3,
    ),
    "regex": (
        {"format": "regex", "pattern": r"T=(?P<t>[-+\d.]+)\s+P=(?P<p>[\d.]+)(?P<unit>bar)?"},
        b"T=21.5 P=1.8\nT=1 P=2bar\nT=x\n",
        [
            ("boiler.t", 21.5),
            ("boiler.p", 1.8),
            ("boiler.t", 1),
            ("boiler.p", 2),
            ("boiler.unit", "bar"),
            ("boiler", None),
        ],
    ),
    "csv": (
        {"format": "csv", "columns": ["t", "", "p"]},
        b'21.5,skipped, "on"\n1,2\n1,2,nan,4\n',
        [("boiler.t", 21.5), ("boiler.p", "on"), ("boiler", None), ("boiler.t", 1), ("boiler.p", None)],
    ),
    "json": (
        {"format": "json", "fields": {"t": "data.t", "open": "door"}},
        b'{"data": {"t": 21.5}, "door": true}\n{"door": null}\n[\n{"door": {"a": 1}}\n',
        [("boiler.t", 21.5), ("boiler.open", True), ("boiler", None), ("boiler", None), ("boiler.open", None)],
    ),
    "json without fields": (
        {"format": "json"},
        b'{"t": 21.5, "nested": {"a": 1}, "online": 1, "bad name": 2, "s": "x"}\n5\n',
        [("boiler.t", 21.5), ("boiler.s", "x"), ("boiler", None)],
    ),
    "keyvalue": (
        {"format": "keyvalue"},
        b"T=21.5 H=40\nT:22,H:41\nT = 1; H: 2\nnothing\n",
        [
            ("boiler.T", 21.5),
            ("boiler.H", 40),
            ("boiler.T", 22),
            ("boiler.H", 41),
            ("boiler.T", 1),
            ("boiler.H", 2),
            ("boiler", None),
        ],
    ),
    "keyvalue with fields": (
        {"format": "keyvalue", "fields": {"temperature": "T"}, "true_values": ["an"]},
        b"T=21.5 H=40\nT=AN\nH=1\n",
        [("boiler.temperature", 21.5), ("boiler.temperature", True), ("boiler", None)],
    ),
    "carriage return": ({"delimiter": "\r"}, b"1\r2\r\n3\r", [("boiler", 1), ("boiler", 2), ("boiler", 3)]),
    "any bytes": ({"delimiter": "\x03\u00ff"}, b"1\x03\xff2\x033\x03\xff", [("boiler", 1), ("boiler", None)]),
}


@pytest.mark.parametrize("case", CASES)
def test_frames_are_readings(serial_port: SerialPort, run: Run, case: str) -> None:
    table, said, expected = CASES[case]
    intake = opened(run, serial_port, **table)
    serial_port.send(said)
    wait_until(lambda: len(intake.readings) >= len(expected))
    assert intake.readings == expected
    assert all(reason for (_, value), reason in zip(intake.readings, intake.reasons, strict=True) if value is None)


def test_frame_in_pieces_is_one_reading(serial_port: SerialPort, run: Run) -> None:
    intake = opened(run, serial_port)
    for piece in (b"2", b"1.", b"5", b"\r", b"\n"):
        serial_port.send(piece)
        time.sleep(0.02)
    wait_until(lambda: intake.readings)
    assert intake.readings == [("boiler", 21.5)]


def test_poll_asks_and_reads_the_answer(serial_port: SerialPort, run: Run) -> None:
    intake = opened(run, serial_port, poll={"send": "READ?\r\n", "every": "100ms"})
    for answer in (b"1\n", b"2\n", b"3\n"):
        assert b"READ?\r\n" in serial_port.receive()
        serial_port.send(answer)
    wait_until(lambda: len(intake.readings) == 3)
    assert intake.readings == [("boiler", 1), ("boiler", 2), ("boiler", 3)]


def test_ten_megabytes_without_an_end_are_one_bad_reading(serial_port: SerialPort, run: Run) -> None:
    intake = opened(run, serial_port)
    for _ in range(160):
        serial_port.send(b"U" * 65536)
    serial_port.send(b"rest\n21.5\n")
    wait_until(lambda: ("boiler", 21.5) in intake.readings, timeout_s=30)
    assert intake.readings == [("boiler", None), ("boiler", 21.5)]


@pytest.mark.parametrize("kind", ["number", "keyvalue", "json", "csv"])
def test_noise_of_a_wrong_baud_rate_is_counted_and_survived(serial_port: SerialPort, run: Run, kind: str) -> None:
    table = {"format": kind} | ({"columns": ["t"]} if kind == "csv" else {})
    intake = opened(run, serial_port, **table)
    noise = random.Random(4).randbytes(200_000)
    serial_port.send(noise + b"\n")
    serial_port.send({"keyvalue": b"t=4.25\n", "json": b'{"t": 4.25}\n'}.get(kind, b"4.25\n"))
    point = "boiler" if kind == "number" else "boiler.t"
    wait_until(lambda: (point, 4.25) in intake.readings, timeout_s=20)
    assert ("boiler", None) in intake.readings or ("boiler.t", None) in intake.readings
    assert intake.is_online("boiler")
    assert len({name for name, _ in intake.readings}) <= 202


def test_unplugged_is_offline_and_plugged_in_again_is_open_within_three_seconds(
    serial_port: SerialPort, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "edge_agent.sources")
    intake = opened(run, serial_port)
    serial_port.unplug()
    wait_until(lambda: not intake.is_online("boiler"), timeout_s=2)
    time.sleep(4.5)  # the pause has grown to more than a second
    serial_port.plug()
    began = time.monotonic()
    wait_until(lambda: intake.is_online("boiler"), timeout_s=3)
    serial_port.send(b"5\n")
    wait_until(lambda: intake.readings == [("boiler", 5)])
    assert time.monotonic() - began < 3.0
    lines = [record.getMessage().split(" error")[0] for record in caplog.records if "boiler" in record.getMessage()]
    assert lines == ["source=boiler state=online", "source=boiler state=offline", "source=boiler state=online"]


def test_port_absent_at_start(serial_port: SerialPort, run: Run) -> None:
    serial_port.unplug()
    intake = run({"boiler": {"type": "serial", "port": str(serial_port.path)}}).intake
    wait_until(lambda: "cannot be opened" in intake.state("boiler"))
    assert "plugged in" in intake.states[-1][2]
    serial_port.plug()
    wait_until(lambda: intake.is_online("boiler"), timeout_s=3)


def test_port_that_is_read_already_is_refused(serial_port: SerialPort, run: Run) -> None:
    opened(run, serial_port)
    second = run({"boiler": {"type": "serial", "port": str(serial_port.path)}}).intake
    wait_until(lambda: "cannot be opened" in second.state("boiler"))
    assert "another program" in second.states[-1][2]


def test_url_of_a_socket(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"socket://127.0.0.1:{server.getsockname()[1]}"
        intake = run({"boiler": {"type": "serial", "port": url}}).intake
        connection, _ = server.accept()
        wait_until(lambda: intake.is_online("boiler"))
        connection.sendall(b"1\n" * 20_000)
        wait_until(lambda: len(intake.readings) == 20_000)
        connection.close()
        wait_until(lambda: not intake.is_online("boiler"))


def test_loop_url_hears_what_it_asks(run: Run) -> None:
    poll = {"send": "7\n", "every": "50ms"}
    intake = run({"boiler": {"type": "serial", "port": "loop://", "poll": poll}}).intake
    wait_until(lambda: len(intake.readings) >= 3)
    assert set(intake.readings) == {("boiler", 7)}


@pytest.mark.parametrize("port", ["nothing://x", "/dev/null", "/tmp"])  # noqa: S108 - a directory is no port
def test_what_is_no_port_is_said(run: Run, port: str) -> None:
    intake = run({"boiler": {"type": "serial", "port": port}}).intake
    wait_until(lambda: "cannot be opened" in intake.state("boiler"))


def test_stop_closes_the_port(serial_port: SerialPort, run: Run) -> None:
    running = run({"boiler": {"type": "serial", "port": str(serial_port.path)}})
    wait_until(lambda: running.intake.is_online("boiler"))
    running.supervisor.stop()
    later = run({"boiler": {"type": "serial", "port": str(serial_port.path)}}).intake  # its lock is free
    wait_until(lambda: later.is_online("boiler"), timeout_s=1)
