"""The retry table, row by row."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.core.fields import SECOND
from edge_agent.delivery.policy import CallState, Verdict, backoff_s, judge, judge_revival
from edge_agent.iotcall.outcome import Outcome, Result

WAITING, FAILED, PLACED = CallState.WAITING, CallState.FAILED, CallState.PLACED
TEN_MINUTES = 600 * SECOND


def outcome(result: Result, retry_after_s: float | None = None) -> Outcome:
    return Outcome(result, "said", retry_after_s)


def test_backoff_doubles_from_1_to_30_seconds() -> None:
    assert [backoff_s(n, 0.5) for n in range(1, 9)] == pytest.approx([1, 2, 4, 8, 16, 30, 30, 30])
    assert backoff_s(10**9, 0.5) == 30


@given(attempts=st.integers(0, 10_000), chance=st.floats(0, 1))
def test_jitter_is_at_most_20_percent(attempts: int, chance: float) -> None:
    middle = backoff_s(attempts, 0.5)
    assert 0.8 * middle - 1e-9 <= backoff_s(attempts, chance) <= 1.2 * middle + 1e-9


@pytest.mark.parametrize(
    ("result", "attempts", "strikes", "state", "wait_s"),
    [
        (Result.PLACED, 1, 0, PLACED, None),
        (Result.REFUSED, 1, 1, WAITING, 1),
        (Result.REFUSED, 5, 5, WAITING, 16),
        (Result.REFUSED, 6, 6, FAILED, 600),
        (Result.REFUSED, 9, 6, FAILED, 600),
        (Result.REFUSED, 9, 2, WAITING, 2),
        (Result.RULE, 1, 1, WAITING, 5),
        (Result.RULE, 2, 2, WAITING, 20),
        (Result.RULE, 3, 3, FAILED, 600),
        (Result.RULE, 7, 1, WAITING, 5),
        (Result.AUTH, 1, 0, WAITING, 60),
        (Result.AUTH, 50, 0, WAITING, 60),
        (Result.OFFLINE, 1, 0, WAITING, 1),
        (Result.NOT_IOTCALL, 4, 0, WAITING, 8),
        (Result.AMBIGUOUS, 3, 0, WAITING, 4),
        (Result.BUSY, 40, 0, WAITING, 30),
    ],
)
def test_table(result: Result, attempts: int, strikes: int, state: CallState, wait_s: float | None) -> None:
    verdict = judge(outcome(result), attempts, strikes, 0.5)
    assert (verdict.state, verdict.wait) == (state, None if wait_s is None else round(wait_s * SECOND))


def test_the_service_can_ask_for_patience_with_a_whole_rule() -> None:
    assert judge(outcome(Result.AUTH), 1, 0, 0.5).holds_rule
    assert judge(outcome(Result.BUSY, 7), 1, 0, 0.5).holds_rule
    assert not judge(outcome(Result.BUSY), 1, 0, 0.5).holds_rule
    assert not judge(outcome(Result.RULE), 1, 1, 0.5).holds_rule


@given(asked_s=st.floats(0.001, 300), chance=st.floats(0, 1))
def test_retry_after_is_kept_never_earlier_at_most_2_s_later_and_no_longer_than_5_minutes(
    asked_s: float, chance: float
) -> None:
    wait = judge(outcome(Result.BUSY, asked_s), 1, 0, chance).wait
    assert wait is not None
    assert asked_s * SECOND - 1 <= wait <= min(asked_s + 2, 300) * SECOND


@pytest.mark.parametrize("result", [result for result in Result if result is not Result.PLACED])
def test_a_failed_call_stays_failed_and_is_tried_again_ten_minutes_later(result: Result) -> None:
    assert judge_revival(outcome(result, 3.0)) == Verdict(FAILED, TEN_MINUTES)


def test_a_failed_call_can_still_be_placed() -> None:
    assert judge_revival(outcome(Result.PLACED)) == Verdict(PLACED, None)
