"""Latency: from the instant before a message is published to the instant at which its POST has arrived, 10 a second.

Each message leads to exactly one POST. The agent's has been synced to disk first, and its alarm's end with it.
"""

from contextlib import ExitStack

from benchmarks.common import (
    LOW,
    Agent,
    BrokenError,
    Publisher,
    Row,
    Sink,
    Size,
    broker,
    folder,
    median,
    percentile,
    start_floor,
)

_RATE = 10.0
_QOS = 1


def run(size: Size) -> list[Row]:
    """Return the rows of p50 and p99."""
    with ExitStack() as stack:
        port = broker(stack)
        sink = Sink(stack)
        publisher = Publisher(stack, port)
        floor = stack.enter_context(start_floor(port, _QOS, "floor/value", sink.url, limit=0.0))
        floor.line()
        agent = stack.enter_context(Agent(folder(stack), port, sink.url, topic="agent/value", more=LOW))
        agent.wait_online()
        rounds: dict[str, list[list[float]]] = {"floor/value": [], "agent/value": []}
        for number in range(size.rounds):
            for topic in sorted(rounds, reverse=number % 2 == 1):
                rounds[topic].append(_round(topic, size.calls, publisher, sink))
    return [
        Row(
            f"message to POST, {name}",
            *(median(percentile(each, percent) for each in rounds[topic]) for topic in ("floor/value", "agent/value")),
            unit=" ms",
            at_most=1.5 if percent == 50 else None,
        )
        for name, percent in (("p50", 50), ("p99", 99))
    ]


def _round(topic: str, calls: int, publisher: Publisher, sink: Sink) -> list[float]:
    """Return the latencies in ms. A first few messages, which wake everything up, do not count."""
    warm_up = 4
    values = [80.0 if number % 2 else 20.0 for number in range(calls + warm_up)]
    sent = publisher.publish(topic, values, qos=_QOS, rate=_RATE)
    arrived = sink.take(len(values))
    wanted = "FLOOR" if topic.startswith("floor") else None
    keys = [wanted or ("HIGH" if value > 50 else "LOW") for value in values]
    if [key for _, key in arrived] != keys or not sink.silent():
        raise BrokenError("messages and POSTs do not match one to one")
    return [(at - begin) / 1e6 for begin, (at, _) in zip(sent, arrived, strict=True)][warm_up:]
