"""Start and rest: how soon it is armed and has called, and what it takes while nothing happens."""

import time
from contextlib import ExitStack

from benchmarks.common import Agent, Process, Publisher, Sink, Size, broker, folder, start_floor
from benchmarks.figures import Row, median

_RETAINED = "start/value"


def run(size: Size) -> list[Row]:
    """Return the rows of start-up, memory, idle CPU, threads and descriptors."""
    return [*_starts(size), *_rest(size)]


def _starts(size: Size) -> list[Row]:
    """Start both in turn at a retained message above the limit: the floor is armed when it has subscribed."""
    floors: list[tuple[float, float]] = []
    agents: list[tuple[float, float]] = []
    with ExitStack() as stack:
        port = broker(stack)
        sink = Sink(stack)
        Publisher(stack, port).retain(_RETAINED, 80.0)
        for _ in range(size.starts):
            with start_floor(port, 1, _RETAINED, sink.url) as floor:
                floor.line()
                armed = time.monotonic() - floor.started_at
                floors.append((armed, _first_call(floor, sink)))
            with ExitStack() as one, Agent(folder(one), port, sink.url, topic=_RETAINED) as agent:
                agents.append((agent.armed_after_s, _first_call(agent, sink)))
    return [
        Row("start to armed", median(armed for armed, _ in floors), median(armed for armed, _ in agents), " s",
            limit=0.5),
        Row("start to first call", median(call for _, call in floors), median(call for _, call in agents), " s"),
    ]  # fmt: skip


def _first_call(side: Process, sink: Sink) -> float:
    ((at, _),) = sink.take(1)
    return at / 1e9 - side.started_at


def _rest(size: Size) -> list[Row]:
    with ExitStack() as stack:
        port = broker(stack)
        sink = Sink(stack)
        floor = stack.enter_context(start_floor(port, 1, "floor/value", sink.url))
        floor.line()
        agent = stack.enter_context(Agent(folder(stack), port, sink.url, topic="agent/value"))
        agent.wait_online()
        time.sleep(1.0)  # the client is warmed up behind the start
        floor_s, agent_s = floor.scheduled_s(), agent.scheduled_s()
        time.sleep(size.idle_s)
        floor_s, agent_s = floor.scheduled_s() - floor_s, agent.scheduled_s() - agent_s
        return [
            Row(f"idle, CPU of {size.idle_s:g} s", floor_s / size.idle_s * 100, agent_s / size.idle_s * 100, " %"),
            Row("idle, RSS", floor.rss_mb(), agent.rss_mb(), " MB", limit=50),
            Row("idle, threads", floor.threads(), agent.threads()),
            Row("idle, open files", floor.descriptors(), agent.descriptors()),
        ]
