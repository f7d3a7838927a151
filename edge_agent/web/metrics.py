"""The answer of /metrics: the agent's counters in Prometheus's text format 0.0.4."""

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from edge_agent.core.times import DELAY_BUCKETS_S
from edge_agent.web.view import Counters

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_ALARM_STATES = {"normal": 0, "pending": 1, "raised": 2, "clearing": 3}
_PROCESS = frozenset(
    {
        "process_cpu_seconds",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_start_time_seconds",
    }
)


class _Snapshot(Collector):
    """Metrics of one moment. A registry is made for each scrape: nothing is counted twice, nothing is kept."""

    def __init__(self, counters: Counters, version: str) -> None:
        self._counters = counters
        self._version = version

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics, the process's own last."""
        counters = self._counters
        yield _readings(counters)
        yield _alarms(counters)
        yield _gauge("outbox_calls", "Calls in the outbox by state", "state", counters.calls)
        yield _attempts(counters)
        yield _delays(counters)
        yield _gauge("source_online", "1 while the source is connected", "source", counters.online)
        depth = "Readings and commands that wait for the engine"
        yield GaugeMetricFamily("edge_agent_queue_depth", depth, value=counters.queue_depth)
        yield _gauge("build_info", "Always 1; the version is the label", "version", {self._version: 1})
        for metric in ProcessCollector(registry=None).collect():
            if metric.name in _PROCESS:
                yield metric


def exposition(counters: Counters, version: str) -> bytes:
    """Return the text of /metrics."""
    registry = CollectorRegistry()
    registry.register(_Snapshot(counters, version))
    return generate_latest(registry)


def _gauge(name: str, text: str, label: str, values: dict[str, int] | dict[str, bool]) -> Metric:
    family = GaugeMetricFamily(f"edge_agent_{name}", text, labels=[label])
    for word, value in values.items():
        family.add_metric([word], int(value))
    return family


def _readings(counters: Counters) -> Metric:
    text = "Readings by source and quality since the start"
    family = CounterMetricFamily("edge_agent_readings", text, labels=["source", "quality"])
    for source, (good, bad) in counters.readings.items():
        family.add_metric([source, "good"], good)
        family.add_metric([source, "bad"], bad)
    return family


def _alarms(counters: Counters) -> Metric:
    text = "0 normal, 1 pending, 2 raised, 3 clearing"
    family = GaugeMetricFamily("edge_agent_alarm_state", text, labels=["alarm", "instance"])
    for alarm, instance, state in counters.alarms:
        family.add_metric([alarm, instance or ""], _ALARM_STATES[state])
    return family


def _attempts(counters: Counters) -> Metric:
    text = "Attempts to trigger a rule by result since the start"
    family = CounterMetricFamily("edge_agent_attempts", text, labels=["result"])
    for result, attempts in counters.attempts.items():
        family.add_metric([result], attempts)
    return family


def _delays(counters: Counters) -> Metric:
    bounds = [*map(str, DELAY_BUCKETS_S), "+Inf"]
    buckets = list(zip(bounds, map(float, accumulate(counters.delay_buckets)), strict=True))
    return HistogramMetricFamily(
        "edge_agent_call_delay_seconds", "From alarm to placed", buckets=buckets, sum_value=counters.delay_sum_s
    )
