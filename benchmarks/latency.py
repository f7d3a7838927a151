"""Latency: from the instant before a message is published to the instant at which its POST has arrived, 10 a second.

Each message raises the alarm of a topic of its own and leads to exactly one POST. The agent's is on disk before.
"""

import time
from contextlib import ExitStack

from benchmarks.common import Agent, BrokenError, Publisher, Sink, Size, broker, folder, start_floor
from benchmarks.figures import Row, median, percentile

_RATE = 10.0
_QOS = 1
_FLOOR = "floor"
_AGENT = "agent"
_WARM_UP = 4
_SETTLE_S = 0.5


def run(size: Size) -> list[Row]:
    """Return the rows of p50 and p99."""
    with ExitStack() as stack:
        port = broker(stack)
        sink = Sink(stack)
        publisher = Publisher(stack, port)
        floor = stack.enter_context(start_floor(port, _QOS, "floor/+", sink.url))
        floor.line()
        agent = stack.enter_context(Agent(folder(stack), port, sink.url, topic="agent/+"))
        agent.wait_online()
        rounds: dict[str, list[list[float]]] = {_FLOOR: [], _AGENT: []}
        for number in range(size.rounds):
            for side in sorted(rounds, reverse=number % 2 == 1):
                rounds[side].append(_round(side, size.calls, publisher, sink))
    return [
        Row("message to POST, p50", *_both(rounds, 50), " ms", at_most=1.5),
        Row("message to POST, p99", *_both(rounds, 99), " ms"),
    ]


def _both(rounds: dict[str, list[list[float]]], percent: float) -> tuple[float, float]:
    """Return the floor's and the agent's median over the rounds."""
    floor, agent = (median(percentile(each, percent) for each in rounds[side]) for side in (_FLOOR, _AGENT))
    return floor, agent


def _round(side: str, calls: int, publisher: Publisher, sink: Sink) -> list[float]:
    """Return the latencies in ms. The first few, which wake everything up, do not count."""
    count = calls + _WARM_UP
    topics = [f"{side}/{number}" for number in range(count)]
    publisher.publish(topics, [20.0] * count, qos=_QOS)  # all is well: alarms of the last round clear
    time.sleep(_SETTLE_S)
    sent = publisher.publish(topics, [80.0] * count, qos=_QOS, rate=_RATE)
    arrived = sink.take(count)
    if any(key != side.upper() for _, key in arrived) or not sink.silent():
        raise BrokenError("messages and POSTs do not match one to one")
    return [(at - begin) / 1e6 for begin, (at, _) in zip(sent, arrived, strict=True)][_WARM_UP:]
