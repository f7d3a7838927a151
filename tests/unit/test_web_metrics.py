"""The text of /metrics."""

from prometheus_client.parser import text_string_to_metric_families

from edge_agent.core.times import DELAY_BUCKETS_S
from edge_agent.web.metrics import exposition
from edge_agent.web.view import Counters
from tests.fake_view import STATES, FakeView


def samples(counters: Counters) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(exposition(counters, "1.2.3").decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_every_metric_and_no_other() -> None:
    assert {name for name, _ in samples(FakeView().numbers)} == {
        "edge_agent_readings_total",
        "edge_agent_alarm_state",
        "edge_agent_outbox_calls",
        "edge_agent_attempts_total",
        "edge_agent_call_delay_seconds_bucket",
        "edge_agent_call_delay_seconds_count",
        "edge_agent_call_delay_seconds_sum",
        "edge_agent_source_online",
        "edge_agent_queue_depth",
        "edge_agent_build_info",
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_start_time_seconds",
    }


def test_values_and_labels() -> None:
    """Every state and result is there, also at 0; an alarm without instances has instance ""."""
    found = samples(FakeView().numbers)
    for state in STATES:
        assert found["edge_agent_outbox_calls", (("state", state),)] == (3 if state == "waiting" else 0)
    for name, labels, value in (
        ("readings_total", {"source": "freezer", "quality": "good"}, 7),
        ("readings_total", {"source": "freezer", "quality": "bad"}, 2),
        ("alarm_state", {"alarm": "freezer-warm", "instance": "f1"}, 2),
        ("alarm_state", {"alarm": "door-open", "instance": ""}, 0),
        ("attempts_total", {"result": "placed"}, 4),
        ("attempts_total", {"result": "offline"}, 0),
        ("source_online", {"source": "freezer"}, 1),
        ("source_online", {"source": "door"}, 0),
        ("queue_depth", {}, 5),
        ("build_info", {"version": "1.2.3"}, 1),
        ("call_delay_seconds_bucket", {"le": "0.1"}, 1),
        ("call_delay_seconds_bucket", {"le": "0.25"}, 3),
        ("call_delay_seconds_bucket", {"le": str(DELAY_BUCKETS_S[-1])}, 3),
        ("call_delay_seconds_bucket", {"le": "+Inf"}, 4),
        ("call_delay_seconds_count", {}, 4),
        ("call_delay_seconds_sum", {}, 100000.5),
    ):
        assert found[f"edge_agent_{name}", tuple(sorted(labels.items()))] == value


def test_an_instance_may_hold_any_character() -> None:
    """Instances come from topics: they must not be able to add a line of their own."""
    instance = 'a"} 1\nedge_agent_queue_depth 99\\'
    found = samples(Counters(alarms=[("warm", instance, "clearing")]))
    assert found["edge_agent_alarm_state", (("alarm", "warm"), ("instance", instance))] == 3
    assert found["edge_agent_queue_depth", ()] == 0
