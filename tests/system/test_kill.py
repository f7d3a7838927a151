"""kill -9 at random moments while readings flow: no alarm without its call, none doubled but where it says so."""

import json
import os
import random
import threading
import time
from collections import Counter
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from edge_agent.iotcall.sandbox import Fault, FaultKind, Sandbox
from tests.broker import Broker
from tests.daemon import Daemon
from tests.helpers import wait_until

RUNS = 200 if os.environ.get("EDGE_AGENT_FAULTS") == "full" else 20
FREEZERS = 6

TABLES = """
[mqtt.plant]
host = "127.0.0.1"
port = {port}
""" + "".join(
    f"""
[iotcall.rules.r{number}]
url_key = "key{number}"
max_calls = 0
[sources.freezer{number}]
type = "mqtt"
topic = "site/+/freezer{number}"
qos = 1
value = "t"
[alarms.warm{number}]
input = "freezer{number}"
above = -15
deadband = 2
on_delay = "{number * 20}ms"
call = "r{number}"
"""
    for number in range(FREEZERS)
)


class Publisher:
    """Readings at QoS 1, in a thread: cold ones, and from a random moment on a warm one for each freezer.

    Each run has instances of its own: one that was raised thrice within a minute would be said to chatter.
    """

    def __init__(self, port: int, chance: random.Random) -> None:
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._chance = chance
        self.run = 0

    def publish(self, freezer: int, value: float) -> mqtt.MQTTMessageInfo:
        """Publish one reading."""
        return self._client.publish(f"site/run{self.run}/freezer{freezer}", json.dumps({"t": value}), qos=1)

    def burst(self) -> None:
        """Publish for about half a second; at its end every freezer is warm."""
        warm = [0] * FREEZERS
        for _ in range(40):
            freezer = self._chance.randrange(FREEZERS)
            warm[freezer] |= self._chance.random() < 0.25
            self.publish(freezer, -10.0 if warm[freezer] else -20.0)
            time.sleep(self._chance.random() * 0.02)
        for freezer in range(FREEZERS):
            self.publish(freezer, -10.0).wait_for_publish(10)

    def cool(self) -> None:
        """End every episode."""
        for freezer in range(FREEZERS):
            self.publish(freezer, -20.0).wait_for_publish(10)

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()


@pytest.mark.faults
@pytest.mark.timeout(3600)
def test_kill_at_random_moments(tmp_path: Path, sandbox: Sandbox, broker: Broker, seed: int) -> None:
    """Each episode of each alarm has its one row; each row its POST; a second POST only where the answer was lost."""
    chance = random.Random(seed)
    daemon = Daemon(tmp_path, sandbox.url, TABLES.format(port=broker.port)).start()
    publisher = Publisher(broker.port, chance)
    doubled = killed_while_sending = calls = 0
    try:
        for run in range(RUNS):
            publisher.run = run
            sandbox.fault = Fault(FaultKind.SLOW, chance.random() * 0.05)
            burst = threading.Thread(target=publisher.burst)
            burst.start()
            time.sleep(chance.random() * 0.8)
            daemon.kill()
            daemon.start()
            burst.join()
            rows_before = run * FREEZERS
            daemon.wait_for_calls("placed", rows_before + FREEZERS, 30)
            posts = Counter(call.url_key for call in sandbox.calls)
            rows = daemon.outbox()[rows_before:]
            assert sorted(row["rule"] for row in rows) == [f"r{number}" for number in range(FREEZERS)], run
            for row in rows:
                extra = posts[f"key{row['rule'][1:]}"] - 1
                assert extra == 0 or (extra > 0 and row["ambiguous"]), (run, row, posts)
                doubled += extra
                killed_while_sending += row["ambiguous"]
            calls += len(rows)
            _end_episodes(daemon, publisher)
            sandbox.calls.clear()
    finally:
        publisher.close()
        daemon.close()
    print(  # noqa: T201 - the figures of `make faults`
        f"\nkill -9: {RUNS} runs, {calls} calls owed, {calls} made, lost 0, "
        f"killed while sending {killed_while_sending}, doubled {doubled} (all marked ambiguous)"
    )


def _end_episodes(daemon: Daemon, publisher: Publisher) -> None:
    publisher.cool()
    wait_until(lambda: {alarm["state"] for alarm in daemon.get("/api/v1/alarms")} == {"normal"})
