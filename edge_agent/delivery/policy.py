"""The retry table: what becomes of a call after an attempt. Pure functions; chance and time are arguments."""

from dataclasses import dataclass
from enum import StrEnum

from tenacity import RetryCallState, wait_exponential

from edge_agent.core.fields import SECOND
from edge_agent.iotcall.outcome import Outcome, Result


class CallState(StrEnum):
    """What a row of the outbox can be."""

    WAITING = "waiting"
    PLACED = "placed"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    SUPPRESSED = "suppressed"


LINE = (Result.OFFLINE, Result.NOT_IOTCALL)
"""Results after which a call waits for the line: its return makes it due at once."""
STRIKING = (Result.REFUSED, Result.RULE)
"""Results that end in failure when they come often enough."""
MAX_REFUSALS = 6
REVIVE_AFTER = 600 * SECOND
"""A failed call whose alarm is still raised is tried once more this often."""
_RULE_WAITS_S = (5.0, 20.0)
_AUTH_WAIT_S = 60.0
_MAX_PATIENCE_S = 300.0
_JITTER = 0.2
_backoff = wait_exponential(multiplier=1, max=30)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a call: its state, and how long it waits (µs; None: it is finished)."""

    state: CallState
    wait: int | None
    holds_rule: bool = False
    """The service asked for patience: newer calls of the rule wait as long."""


def backoff_s(attempts: int, chance: float) -> float:
    """Return the pause after so many attempts: 1 s doubling to 30 s, ±20 %; `chance` is from 0 to 1."""
    state = RetryCallState(None, None, (), {})  # type: ignore[arg-type] # only its attempt number is looked at
    state.attempt_number = max(attempts, 1)
    return _backoff(state) * (1 - _JITTER + 2 * _JITTER * chance)


def judge(outcome: Outcome, attempts: int, strikes: int, chance: float) -> Verdict:
    """Return what becomes of a call after its latest attempt.

    Args:
        outcome: what came of it.
        attempts: all attempts, this one included.
        strikes: those that were refused or met a wrong rule, this one included.
        chance: from 0 to 1.
    """
    result = outcome.result
    if result is Result.PLACED:
        return Verdict(CallState.PLACED, None)
    if result is Result.REFUSED:
        return _struck(strikes >= MAX_REFUSALS, backoff_s(strikes, chance))
    if result is Result.RULE:
        spent = strikes > len(_RULE_WAITS_S)
        return _struck(spent, 0.0 if spent else _RULE_WAITS_S[strikes - 1])
    if result is Result.AUTH:
        return _wait(_AUTH_WAIT_S, holds_rule=True)
    if result is Result.BUSY and outcome.retry_after_s is not None:
        return _wait(_patience_s(outcome.retry_after_s, chance), holds_rule=True)
    return _wait(backoff_s(attempts, chance))


def judge_revival(outcome: Outcome) -> Verdict:
    """Return what becomes of a failed call that was tried once more because its alarm is still raised."""
    if outcome.result is Result.PLACED:
        return Verdict(CallState.PLACED, None)
    return Verdict(CallState.FAILED, REVIVE_AFTER)


def _patience_s(asked_s: float, chance: float) -> float:
    """Return a pause never shorter than asked for, at most a second longer, and no longer for it than 5 minutes."""
    return max(asked_s, min(asked_s + chance, _MAX_PATIENCE_S))


def _wait(seconds: float, *, holds_rule: bool = False) -> Verdict:
    return Verdict(CallState.WAITING, round(seconds * SECOND), holds_rule)


def _struck(spent: bool, wait_s: float) -> Verdict:  # noqa: FBT001 - a condition, not a switch
    return Verdict(CallState.FAILED, REVIVE_AFTER) if spent else _wait(wait_s)
