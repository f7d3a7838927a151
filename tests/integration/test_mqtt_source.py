"""MQTT sources against a real mosquitto: sessions, acknowledgement, poison, retained, wildcards, TLS, passwords."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tests.broker import Broker, make_certificates
from tests.helpers import free_port, wait_until
from tests.recording import RecordingIntake, Running

Run = Callable[..., Running]
VERSIONS = ("5", "3.1.1")
FREEZER = {"type": "mqtt", "topic": "site/+/freezer", "value": "data.temperature"}
DOOR = {"type": "mqtt", "topic": "door"}


def plant(broker: Broker, **more: object) -> dict[str, dict[str, object]]:
    return {"plant": {"host": broker.host, "port": broker.port, **more}}


def silent(intake: RecordingIntake, count: int) -> bool:
    """Return whether no further reading came for half a second."""
    time.sleep(0.5)
    return len(intake.readings) == count


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("qos", [0, 1])
def test_message_is_a_reading_of_its_instance(broker: Broker, run: Run, version: str, qos: int) -> None:
    intake = run({"freezer": FREEZER | {"qos": qos}}, brokers=plant(broker, version=version)).intake
    assert intake.states[0] == ("freezer", "not opened yet", "")
    wait_until(lambda: intake.is_online("freezer"))
    broker.publish("site/f1/freezer", '{"data": {"temperature": -18.5}}')
    broker.publish("site/f2/freezer", '{"data": {"temperature": -17}}')
    broker.publish("site/f2/freezer", '{"data": {}}')
    wait_until(lambda: len(intake.readings) == 3)
    assert intake.readings == [("freezer[f1]", -18.5), ("freezer[f2]", -17), ("freezer[f2]", None)]


def test_several_wildcards_and_fields(broker: Broker, run: Run) -> None:
    table = {"type": "mqtt", "topic": "+/room/#", "fields": {"t": "temp", "open": "door.open"}, "true_values": ["JA"]}
    intake = run({"room": table}, brokers=plant(broker)).intake
    wait_until(lambda: intake.is_online("room"))
    broker.publish("a/room/b/c", '{"temp": 21.5, "door": {"open": "ja"}}')
    broker.publish("a/room", '{"temp": 1}')
    wait_until(lambda: len(intake.readings) == 3)
    assert intake.readings == [("room[a/b/c].t", 21.5), ("room[a/b/c].open", True), ("room[a/].t", 1)]


def test_one_connection_serves_all_sources_of_a_broker(broker: Broker, run: Run) -> None:
    sources = {"freezer": FREEZER, "door": DOOR, "door2": DOOR | {"format": "text"}}
    intake = run(sources, brokers=plant(broker, client_id="only")).intake
    wait_until(lambda: all(intake.is_online(name) for name in sources))
    broker.publish("door", "true")
    wait_until(lambda: len(intake.readings) == 2)
    assert sorted(intake.readings, key=str) == [("door", True), ("door2", "true")]
    assert broker.log().count("as only (p5") == 1


@pytest.mark.parametrize("version", VERSIONS)
def test_overlapping_filters_give_each_source_its_reading(broker: Broker, run: Run, version: str) -> None:
    sources = {"one": {"type": "mqtt", "topic": "a/+"}, "all": {"type": "mqtt", "topic": "a/#"}}
    intake = run(sources, brokers=plant(broker, version=version)).intake
    wait_until(lambda: intake.is_online("one") and intake.is_online("all"))
    broker.publish("a/b", "7")
    wait_until(lambda: len(intake.readings) >= 2)
    assert set(intake.readings) == {("one[b]", 7), ("all[b]", 7)}
    if version == "5":
        assert silent(intake, 2)


@pytest.mark.parametrize("policy", ["accept", "ignore"])
def test_retained_goes_by_the_flag_as_received(broker: Broker, run: Run, policy: str) -> None:
    broker.publish("door", "true", retain=True)
    intake = run({"door": DOOR | {"retained": policy}}, brokers=plant(broker)).intake
    wait_until(lambda: intake.is_online("door"))
    broker.publish("door", "false", retain=True)  # live for who is connected, whatever flag it was published with
    wait_until(lambda: ("door", False) in intake.readings)
    assert intake.values("door") == ([True, False] if policy == "accept" else [False])


def test_broker_absent_at_start_then_appears(tmp_path: Path, run: Run, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "edge_agent.sources")
    broker = Broker(tmp_path)
    intake = run({"door": DOOR}, brokers=plant(broker)).intake
    wait_until(lambda: "refuses the connection" in intake.state("door"))
    time.sleep(1.5)  # at least one retry, which is not logged
    broker.start()
    wait_until(lambda: intake.is_online("door"))
    broker.kill()
    lines = [record.getMessage() for record in caplog.records if "source=door" in record.getMessage()]
    assert len(lines) in (2, 3)
    assert "state=offline" in lines[0]
    assert lines[1] == "source=door state=online"


@pytest.mark.parametrize("version", VERSIONS)
def test_session_keeps_what_was_published_while_the_broker_or_the_agent_was_away(
    broker: Broker, run: Run, version: str
) -> None:
    running = run({"door": DOOR}, brokers=plant(broker, version=version))
    intake = running.intake
    wait_until(lambda: intake.is_online("door"))
    broker.stop()
    wait_until(lambda: not intake.is_online("door"))
    broker.start()
    wait_until(lambda: intake.is_online("door"))
    broker.publish("door", "1")
    wait_until(lambda: intake.values("door") == [1])
    running.supervisor.stop()
    running.supervisor.stop()
    broker.publish("door", "2")
    broker.publish("door", "3")
    later = run({"door": DOOR}, brokers=plant(broker, version=version)).intake
    wait_until(lambda: later.values("door") == [2, 3])


@pytest.mark.parametrize("version", VERSIONS)
def test_what_was_not_acknowledged_comes_again(broker: Broker, run: Run, version: str) -> None:
    running = run({"door": DOOR}, brokers=plant(broker, version=version))
    intake = running.intake
    intake.acknowledge = False
    wait_until(lambda: intake.is_online("door"))
    broker.publish("door", "1")
    broker.publish("door", "2")
    wait_until(lambda: len(intake.held) == 2)
    intake.held[0]()
    running.supervisor.stop()
    intake.held[1]()  # on a connection that is over: harmless
    later = run({"door": DOOR}, brokers=plant(broker, version=version)).intake
    wait_until(lambda: later.is_online("door"))
    assert silent(later, 1)
    assert later.readings == [("door", 2)]


def test_message_with_fields_is_acknowledged_after_its_last_reading(broker: Broker, run: Run) -> None:
    table = {"type": "mqtt", "topic": "x", "fields": {"a": "a", "b": "b"}}
    intake = run({"x": table}, brokers=plant(broker)).intake
    intake.acknowledge = False
    wait_until(lambda: intake.is_online("x"))
    broker.publish("x", '{"a": 1, "b": 2}')
    wait_until(lambda: len(intake.held) == 2)
    intake.held[1]()
    time.sleep(0.3)
    assert "PUBACK from test-" not in broker.log()
    intake.held[0]()
    wait_until(lambda: broker.log().count("PUBACK from test-") == 1)


@pytest.mark.parametrize("version", VERSIONS)
def test_poison_is_counted_acknowledged_and_gone(broker: Broker, run: Run, version: str) -> None:
    """Each is one bad reading, none comes again, and what follows is read."""
    running = run({"freezer": FREEZER}, brokers=plant(broker, version=version))
    intake = running.intake
    wait_until(lambda: intake.is_online("freezer"))
    poison: list[bytes] = [
        b"",
        b"\xff\xfe\x00",
        b"not json",
        b"[" * 100_000,
        b'{"data": {"temperature": NaN}}',
        b'{"data": {"temperature": 1e999}}',
        b'{"data": {"temperature": {"a": 1}}}',
        b'{"data": {"temperature": ' + b"9" * 5000 + b"}}",
        b"x" * 10_000_000,
        b'"' + b"\\ud800" + b'"',
    ]
    for payload in poison:
        broker.publish("site/f1/freezer", payload)
    broker.publish("site/f1/freezer", b'{"data": {"temperature": -18.5}}')
    wait_until(lambda: ("freezer[f1]", -18.5) in intake.readings)
    assert intake.readings == [("freezer[f1]", None)] * len(poison) + [("freezer[f1]", -18.5)]
    assert all(intake.reasons[:-1])
    assert max(len(reason) for reason in intake.reasons) < 200
    running.supervisor.stop()
    later = run({"freezer": FREEZER}, brokers=plant(broker, version=version)).intake
    wait_until(lambda: later.is_online("freezer"))
    assert silent(later, 0)


def test_new_instances_past_the_limit_are_refused(broker: Broker, run: Run, caplog: pytest.LogCaptureFixture) -> None:
    intake = run({"freezer": FREEZER | {"max_instances": 2}}, brokers=plant(broker)).intake
    wait_until(lambda: intake.is_online("freezer"))
    for name in ("f1", "f2", "f3", "f3", "f4", "f1"):
        broker.publish(f"site/{name}/freezer", '{"data": {"temperature": 1}}')
    wait_until(lambda: len(intake.readings) == 3)
    assert [source for source, _ in intake.refused] == ["freezer"] * 3
    assert sum("max_instances" in record.getMessage() for record in caplog.records) == 1


def test_wrong_password_is_said_plainly_and_a_right_one_works(tmp_path: Path, run: Run) -> None:
    broker = Broker(tmp_path, password=("agent", "s3cret")).start()
    try:
        wrong = run({"door": DOOR}, brokers=plant(broker, username="agent", client_id="w"), passwords={"plant": "no"})
        right = run(
            {"door": DOOR}, brokers=plant(broker, username="agent", client_id="r"), passwords={"plant": "s3cret"}
        )
        wait_until(lambda: right.intake.is_online("door"))
        wait_until(lambda: "Not authorized" in wrong.intake.state("door"))
        assert wrong.intake.states[-1][2] == "check username and the password"
        assert "s3cret" not in str(right.intake.states) + str(wrong.intake.states)
    finally:
        broker.kill()


@pytest.mark.parametrize("version", VERSIONS)
def test_tls_with_an_authority_and_a_client_certificate_of_ones_own(
    tmp_path: Path, certificates: Path, run: Run, version: str
) -> None:
    broker = Broker(tmp_path, tls=certificates, client_certificates=True).start()
    files = {"cert_file": f"{certificates}/client.crt", "key_file": f"{certificates}/client.key"}
    known = {"tls": True, "ca_file": f"{certificates}/ca.crt", "version": version}
    try:
        intake = run({"freezer": FREEZER}, brokers=plant(broker, **known, **files)).intake
        stranger = run({"freezer": FREEZER}, brokers=plant(broker, tls=True, client_id="s", **files)).intake
        bare = run({"freezer": FREEZER}, brokers=plant(broker, **known, client_id="b")).intake
        wait_until(lambda: intake.is_online("freezer"))
        broker.publish("site/f1/freezer", b"y" * 300_000)
        broker.publish("site/f1/freezer", '{"data": {"temperature": -18.5}}')
        wait_until(lambda: intake.values("freezer[f1]") == [None, -18.5])
        wait_until(lambda: "is not accepted" in stranger.state("freezer"))
        assert "ca_file" in stranger.states[-1][2]
        wait_until(lambda: bare.state("freezer") not in ("", "not opened yet"))
        assert ("freezer", "online", "") not in bare.states
    finally:
        broker.kill()


def test_tls_refuses_a_certificate_for_another_name(tmp_path: Path, run: Run) -> None:
    certificates = make_certificates(tmp_path / "tls", "DNS:elsewhere.example")
    broker = Broker(tmp_path, tls=certificates).start()
    try:
        intake = run({"door": DOOR}, brokers=plant(broker, tls=True, ca_file=f"{certificates}/ca.crt")).intake
        wait_until(lambda: "is not accepted" in intake.state("door"))
        assert "name" in intake.states[-1][2]
    finally:
        broker.kill()


CONNACK_5 = b"\x20\x03\x00\x00\x00"


class FakeBroker:
    """A server that answers CONNECT and each SUBSCRIBE with given bytes: for what mosquitto never sends."""

    def __init__(self, connack: bytes, suback: bytes) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._answers = (connack, suback)
        self.received = bytearray()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def table(self, **more: object) -> dict[str, dict[str, object]]:
        """Return the `[mqtt]` tables that name it."""
        return {"plant": {"host": "127.0.0.1", "port": self._server.getsockname()[1], **more}}

    def close(self) -> None:
        """Listen no more."""
        self._server.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            for answer in self._answers:
                self.received += connection.recv(65536)
                connection.sendall(answer)
            while data := connection.recv(65536):
                self.received += data


SUBACK_5 = b"\x90\x04\x00\x01\x00\x01"
REFUSALS = {
    "taken over": ("5", CONNACK_5, SUBACK_5 + b"\xe0\x01\x8e", "taken over", "client_id of its own"),
    "shutting down": ("5", CONNACK_5, SUBACK_5 + b"\xe0\x01\x8b", "ended the connection", "log"),
    "no such reason": ("5", CONNACK_5, SUBACK_5 + b"\xe0\x01\x77", "reason 0x77", "log"),
    "password": ("5", b"\x20\x03\x00\x86\x00", b"", "Bad user name or password", "wants a username"),
    "version": ("3.1.1", b"\x20\x02\x00\x01", b"", "before it was set up", 'version = "5"'),
    "client id": ("3.1.1", b"\x20\x02\x00\x02", b"", "Client identifier not valid", "client_id"),
    "topic": ("5", CONNACK_5, b"\x90\x04\x00\x01\x00\x87", "refuses the subscription to door", "access rules"),
    "topic 3.1.1": ("3.1.1", b"\x20\x02\x00\x00", b"\x90\x03\x00\x01\x80", "refuses the subscription", "access"),
    "no broker": ("5", b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n" * 4, b"", "", "port"),
    "length": ("5", CONNACK_5, SUBACK_5 + b"\x30\xff\xff\xff\xff\xff", "no MQTT", "port"),
    "publish": ("5", CONNACK_5, SUBACK_5 + b"\x30\x03\x00\x09a", "no MQTT", "port"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_brokers_refuse_is_said_plainly(run: Run, case: str) -> None:
    version, connack, after, error, hint = REFUSALS[case]
    fake = FakeBroker(connack, after)
    intake = run({"door": DOOR}, brokers=fake.table(version=version)).intake

    def trouble() -> list[tuple[str, str]]:
        return [(said, todo) for _, said, todo in intake.states if said not in ("not opened yet", "online")]

    wait_until(trouble)
    assert error in trouble()[0][0]
    assert hint in trouble()[0][1]
    fake.close()


def test_topic_that_is_no_utf_8_is_counted_and_acknowledged(run: Run) -> None:
    packet = b"\x00\x0esite/\xff/freezer" + b"\x00\x05" + b"\x00" + b"1"
    fake = FakeBroker(CONNACK_5, SUBACK_5 + bytes([0x32, len(packet)]) + packet)
    intake = run({"door": DOOR, "freezer": FREEZER}, brokers=fake.table()).intake
    wait_until(lambda: intake.refused == [("freezer", "a topic that is not UTF-8")])
    wait_until(lambda: b"\x40\x02\x00\x05" in fake.received)
    assert intake.readings == []
    fake.close()


def test_unknown_host_and_a_port_where_nobody_listens(run: Run) -> None:
    unknown = run({"door": DOOR}, brokers={"plant": {"host": "no-such-host.invalid"}}).intake
    refused = run({"door": DOOR}, brokers={"plant": {"host": "127.0.0.1", "port": free_port()}}).intake
    wait_until(lambda: "no-such-host.invalid" in unknown.state("door"))
    wait_until(lambda: "refuses the connection" in refused.state("door"))
    assert refused.states[-1][2]


def test_stop_ends_within_two_seconds_with_a_broker_that_says_nothing(broker: Broker, run: Run) -> None:
    running = run({"door": DOOR}, brokers=plant(broker))
    wait_until(lambda: running.intake.is_online("door"))
    broker.pause()
    began = time.monotonic()
    running.supervisor.stop()
    assert time.monotonic() - began < 2.0
    broker.resume()


def test_flood_is_read_whole_and_in_order(broker: Broker, run: Run) -> None:
    """Packets cut anywhere by the socket's chunks are put together again."""
    intake = run({"n": {"type": "mqtt", "topic": "n", "format": "number"}}, brokers=plant(broker)).intake
    wait_until(lambda: intake.is_online("n"))
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.connect(broker.host, broker.port)
    client.loop_start()
    for number in range(5000):
        client.publish("n", str(number), qos=number % 2)
    wait_until(lambda: len(intake.readings) == 5000, timeout_s=30)
    client.disconnect()
    client.loop_stop()
    assert sorted(value for _, value in intake.readings if isinstance(value, int)) == list(range(5000))


def test_broker_that_falls_silent_is_noticed_and_one_that_floods_is_not_taken_for_silent(
    broker: Broker, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_agent.sources._link._KEEPALIVE_S", 1)
    intake = run({"n": {"type": "mqtt", "topic": "n"}}, brokers=plant(broker)).intake
    wait_until(lambda: intake.is_online("n"))
    for number in range(60):
        broker.publish("n", str(number))
        time.sleep(0.05)
    assert [state for _, state, _ in intake.states] == ["not opened yet", "online"]
    broker.pause()
    wait_until(lambda: not intake.is_online("n"), timeout_s=6)
    broker.resume()
    wait_until(lambda: intake.is_online("n"), timeout_s=15)


@pytest.mark.parametrize(("version", "window"), [("5", 1000), ("3.1.1", 20)])
def test_messages_wait_at_the_broker_while_none_is_acknowledged(
    broker: Broker, run: Run, version: str, window: int
) -> None:
    """MQTT 5: Receive Maximum; 3.1.1: mosquitto's max_inflight_messages, 20 by default."""
    intake = run({"n": {"type": "mqtt", "topic": "n"}}, brokers=plant(broker, version=version)).intake
    intake.acknowledge = False
    wait_until(lambda: intake.is_online("n"))
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.connect(broker.host, broker.port)
    client.loop_start()
    last = [client.publish("n", str(number), qos=1) for number in range(1100)][-1]
    last.wait_for_publish(30)
    client.disconnect()
    client.loop_stop()
    wait_until(lambda: len(intake.held) == window)
    assert silent(intake, window)
    intake.acknowledge = True
    for done in list(intake.held):
        done()
    wait_until(lambda: len(intake.readings) == 1100)
    assert [value for _, value in intake.readings] == list(range(1100))
