"""Readings per second: a flood below the limit and one message above it, from the first publish to its POST."""

from contextlib import ExitStack

from benchmarks.common import Agent, BrokenError, Process, Publisher, Sink, Size, broker, folder, start_floor
from benchmarks.figures import Row, median

_HIGH = 80.0


def run(size: Size) -> list[Row]:
    """Return the rows of QoS 0 and 1: readings per second, and CPU seconds for 10,000 readings."""
    return [row for qos in (0, 1) for row in _flood(size, qos)]


def _flood(size: Size, qos: int) -> list[Row]:
    with ExitStack() as stack:
        port = broker(stack)
        sink = Sink(stack)
        publisher = Publisher(stack, port)
        floor = stack.enter_context(start_floor(port, qos, "floor/value", sink.url))
        floor.line()
        agent = stack.enter_context(Agent(folder(stack), port, sink.url, topic="agent/value", qos=qos))
        agent.wait_online()
        values = [20 + number % 100 / 10 for number in range(size.messages)] + [_HIGH]
        floors, agents = [], []
        for number in range(size.rounds):
            for turn in (0, 1) if number % 2 else (1, 0):
                if turn:
                    floors.append(_round(floor, "floor/value", values, qos, publisher, sink))
                else:
                    agents.append(_agent_round(agent, values, qos, publisher, sink))
        return [
            Row(f"QoS {qos}, readings/s", *_medians(floors, agents, 0), at_least=0.6),
            Row(f"QoS {qos}, CPU for 10,000 readings", *_medians(floors, agents, 1), " s"),
            Row(f"QoS {qos}, RSS after it", floor.rss_mb(), agent.rss_mb(), " MB"),
        ]


def _medians(floors: list[tuple[float, float]], agents: list[tuple[float, float]], figure: int) -> tuple[float, float]:
    return median(each[figure] for each in floors), median(each[figure] for each in agents)


def _round(
    side: Process, topic: str, values: list[float], qos: int, publisher: Publisher, sink: Sink
) -> tuple[float, float]:
    """Return readings per second, and CPU seconds for 10,000 of them."""
    before = side.cpu_s()
    first, _ = publisher.publish([topic], values, qos=qos)
    ((last, _),) = sink.take(1)
    count = len(values)
    return count / (last - first) * 1e9, (side.cpu_s() - before) / count * 10_000


def _agent_round(agent: Agent, values: list[float], qos: int, publisher: Publisher, sink: Sink) -> tuple[float, float]:
    before = agent.readings()
    result = _round(agent, "agent/value", values, qos, publisher, sink)
    counted = agent.readings() - before
    if counted != len(values):
        raise BrokenError(f"QoS {qos}: of {len(values)} messages the agent counted {counted}: the figure is void")
    return result
