"""The sender: which call is due, one attempt each, and what its result means for the others. Owns the line's state."""

import logging
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from edge_agent.core.fields import SECOND
from edge_agent.delivery.outbox import Due, Outbox
from edge_agent.delivery.policy import LINE, STRIKING, CallState, Verdict, judge
from edge_agent.delivery.rows import Call, Clocks
from edge_agent.delivery.tally import Tally
from edge_agent.delivery.workers import Workers
from edge_agent.iotcall.outcome import Outcome, Result
from edge_agent.iotcall.settings import RuleSettings

_log = logging.getLogger(__name__)
_MAX_SLEEP = SECOND
_LINE_TRY = (3.5, 4.5)
"""Seconds from one try of an unreachable line to the next: never two agents in step, never later than 5 s."""
_EXPIRY_EVERY = SECOND


class Withdrawn(Exception):  # noqa: N818 - it says what happened
    """What an attempt was for is gone: nothing is sent."""


class Trigger(Protocol):
    """The client, as the sender needs it."""

    def trigger(self, url_key: str, before_send: Callable[[], None] | None = None) -> Outcome:
        """Make one attempt."""

    def probe(self) -> bool:
        """Try the line without sending anything."""


@dataclass(frozen=True, slots=True)
class Job:
    """An attempt to make: of one call, or of all that wait of a rule."""

    rule: str
    only: int | None


class Sender:
    """Sends what is due, each rule by itself: one rule's trouble never holds up another's.

    `count_trigger(rule, at)` is told each trigger that no alarm made; `started` with `start()`, ended with `stop()`.
    """

    def __init__(
        self,
        outbox: Outbox,
        client: Callable[[], Trigger],
        rules: Mapping[str, RuleSettings],
        clocks: Clocks,
        count_trigger: Callable[[str, int], None],
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._outbox = outbox
        self._make_client = client
        self._client: Trigger | None = None
        self._rules = rules
        self._clocks = clocks
        self._count_trigger = count_trigger
        self._chance = chance
        self._workers = Workers()
        self._wake = threading.Condition()
        self._woken = False
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._in_flight: set[str] = set()
        self._held_until: dict[str, int] = {}
        self._line_try_at = 0
        self._expired_at = 0
        self.reachable: bool | None = None
        """Whether the last attempt reached IoTCall; None before the first."""
        self.last_success_wall: int | None = None
        self.clock_suspect = False
        self.tally = Tally()
        self.beat_at = clocks.now()

    # Running ------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the scheduler's thread; also after it died."""
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)
        self._thread.start()

    def alive(self) -> bool:
        """Return whether the scheduler's thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def stop(self, timeout_s: float) -> None:
        """Begin nothing new, and wait a while for the attempts under way; what is unfinished then is ambiguous."""
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
            self._wake.wait_for(lambda: not self._in_flight, timeout_s)
        if self._thread is not None:
            self._thread.join(timeout_s)

    def wake(self) -> None:
        """Look at the outbox now."""
        with self._wake:
            self._woken = True
            self._wake.notify_all()

    def configure(self, rules: Mapping[str, RuleSettings], client: Callable[[], Trigger]) -> None:
        """Go on with other settings, after a reload."""
        with self._wake:
            self._rules = rules
            self._make_client = client
            self._client = None
        self.wake()

    def warm_up(self) -> None:
        """Make the client before the first call needs it: what it is built on takes its time to load."""
        self._workers.submit(self._ready_client)

    def _ready_client(self) -> Trigger:
        client = self._client
        if client is None:
            client = self._client = self._make_client()
        return client

    def retried(self) -> None:
        """Look at a call that somebody made due: whatever its rule was told to wait is over."""
        with self._wake:
            self._held_until.clear()
        self.wake()

    def auth_changed(self) -> None:
        """Try again, at once, what waited for the AuthCode."""
        self._outbox.release((Result.AUTH,))
        self.retried()

    def _run(self) -> None:
        _log.debug("event=sender_started")
        while not self._stopping:
            try:
                next_at = self._pass()
            except Exception:  # noqa: BLE001 - the top of a thread
                _log.exception("event=sender_pass_failed")
                next_at = self._clocks.now() + _MAX_SLEEP
            self.beat_at = now = self._clocks.now()
            with self._wake:
                if not self._woken and not self._stopping:
                    self._wake.wait(max(0.0, min(next_at - now, _MAX_SLEEP) / SECOND))
                self._woken = False

    def _pass(self) -> int:
        """Begin what is due; return when to look again."""
        now = self._clocks.now()
        if now - self._expired_at >= _EXPIRY_EVERY:
            self._expired_at = now
            self._expire()
        waiting = [due for due in self._outbox.due() if due.rule in self._rules]
        next_at = now + _MAX_SLEEP
        for due in sorted(waiting, key=lambda due: (due.priority, due.first)):
            at = max(due.at, self._held_until.get(due.rule, 0))
            if at > now:
                next_at = min(next_at, at)
            elif due.rule not in self._in_flight and not self._over_budget(due.rule, now):
                self._begin(due.rule)
        self._revive(now)
        if waiting and self.reachable is False:
            next_at = min(next_at, self._try_line(waiting, now))
        return next_at

    def _begin(self, rule: str, only: int | None = None) -> None:
        if only is None and not self._rules[rule].coalesce:
            only = self._outbox.next_of(rule)
        with self._wake:
            if self._stopping:
                return
            self._in_flight.add(rule)
        self._line_try_at = self._clocks.now() + round(self._between(*_LINE_TRY) * SECOND)
        self._workers.submit(lambda: self._work(Job(rule, only)))

    def _between(self, low: float, high: float) -> float:
        return low + (high - low) * self._chance()

    # One attempt --------------------------------------------------------------------------------------------------

    def _work(self, job: Job) -> None:
        try:
            self._attempt(job)
        except Withdrawn:
            _log.debug("event=nothing_left_to_send rule=%s", job.rule)
        finally:
            with self._wake:
                self._in_flight.discard(job.rule)
                self._woken = True
                self._wake.notify_all()

    def _attempt(self, job: Job) -> None:
        rule = self._rules[job.rule]
        calls: list[Call] = []

        def before_send() -> None:
            calls.extend(self._outbox.begin(job.rule, job.only))
            if not calls:
                raise Withdrawn

        outcome = self._trigger(rule.url_key, before_send)
        if not calls:
            calls = self._outbox.waiting(job.rule, job.only)
        self._record(job.rule, calls, outcome)
        self._observe(outcome)

    def _trigger(self, url_key: str, before_send: Callable[[], None] | None) -> Outcome:
        return self._ready_client().trigger(url_key, before_send)

    def _record(self, rule: str, calls: list[Call], outcome: Outcome) -> None:
        """Write down what came of an attempt, for each call that it was for."""
        now = self._clocks.now()
        verdicts = []
        for call in calls:
            due = call.next_attempt_at is None or call.next_attempt_at <= now
            strikes = call.strikes + (outcome.result in STRIKING)
            verdict = judge(outcome, call.attempts + 1, strikes, self._chance())
            if verdict.holds_rule and verdict.wait is not None:
                self._held_until[rule] = now + verdict.wait
            if not due and outcome.result in STRIKING:
                continue  # it only rode along: its own attempts stay the stated time apart
            verdicts.append((call, verdict))
        rode = [call for call in calls if call not in [each for each, _ in verdicts]]
        self._outbox.finish(verdicts, outcome)
        self._outbox.rest(rode)
        if outcome.result is Result.AMBIGUOUS:
            self._count_trigger(rule, now)
        self.tally.attempt(outcome.result)
        for call, verdict in verdicts:
            self._tell(call, verdict.state, outcome)
            if verdict.state is CallState.PLACED:
                self.tally.placed(call.age(self._clocks))

    def _tell(self, call: Call, state: CallState, outcome: Outcome) -> None:
        """Log a call's end, and the first of a row of like results; not each try."""
        who = f"id={call.id} rule={call.rule} alarm={call.alarm or '-'} instance={call.instance or '-'}"
        if state is CallState.PLACED:
            _log.info("event=placed %s attempts=%d", who, call.attempts + 1)
        elif state is CallState.FAILED and call.state != CallState.FAILED:
            _log.error("event=failed %s attempts=%d error=%r", who, call.attempts + 1, outcome.message)
        elif outcome.result != call.last_result:
            _log.warning("event=not_placed_yet %s result=%s error=%r", who, outcome.result, outcome.message)

    def _observe(self, outcome: Outcome) -> None:
        """Draw conclusions about the line; its return makes due what waits for it."""
        result = outcome.result
        if result.reached:
            if outcome.date is not None:
                self._clocks.observe(outcome.date)
            self.last_success_wall = self._clocks.wall()
            self.clock_suspect = False
            if self.reachable is False:
                freed = self._outbox.release(LINE)
                _log.info("event=line_up released=%d", freed)
            self.reachable = True
        elif result in LINE:
            self.clock_suspect = outcome.clock_suspect
            if self.reachable is not False:
                _log.warning("event=line_down error=%r", outcome.message)
            self.reachable = False

    # The line, the budget, what is late ---------------------------------------------------------------------------

    def _try_line(self, waiting: list[Due], now: int) -> int:
        """Try an unreachable line at least every 5 s: a bare connection, then the most urgent call waiting for it."""
        if now < self._line_try_at:
            return self._line_try_at
        self._line_try_at = now + round(self._between(*_LINE_TRY) * SECOND)
        urgent = next(
            (due.rule for due in sorted(waiting, key=lambda due: (due.priority, due.first)) if self._may_try(due, now)),
            None,
        )
        if urgent is not None:
            self._workers.submit(lambda: self._probe(urgent))
        return self._line_try_at

    def _may_try(self, due: Due, now: int) -> bool:
        return due.for_line and due.rule not in self._in_flight and self._held_until.get(due.rule, 0) <= now

    def _probe(self, rule: str) -> None:
        client = self._client
        if client is None or not client.probe():
            return
        with self._wake:
            free = rule not in self._in_flight and not self._stopping and rule in self._rules
        if free:
            self._outbox.hurry(rule)
            self.wake()

    def _over_budget(self, rule: str, now: int) -> bool:
        """Hold back another try of an ambiguous call where those already made exceed the rule's budget."""
        settings = self._rules[rule]
        if not settings.max_calls or not self._outbox.unsure(rule):
            return False
        counted = self._outbox.triggers(rule, settings.per)
        if len(counted) <= settings.max_calls:
            return False
        free_at = counted[-settings.max_calls - 1] + settings.per
        self._outbox.postpone(rule, max(free_at, now), f"budget: {settings.max_calls} triggers, some with no answer")
        return True

    def _revive(self, now: int) -> None:
        """Try a failed call once more every ten minutes while its alarm is still raised."""
        for call in self._outbox.revivable():
            settings = self._rules.get(call.rule)
            too_old = (
                settings is not None and settings.expires is not None and call.age(self._clocks) >= settings.expires
            )
            if settings is None or too_old or not self._outbox.still_raised(call):
                self._outbox.give_up(call)
            elif (call.next_attempt_at or 0) <= now and call.rule not in self._in_flight:
                self._begin(call.rule, call.id)

    def _expire(self) -> None:
        for call in self._outbox.expire({name: rule.expires for name, rule in self._rules.items()}):
            _log.error("event=expired id=%d rule=%s alarm=%s", call.id, call.rule, call.alarm or "-")

    # By hand ------------------------------------------------------------------------------------------------------

    def call_by_hand(self, rule: str) -> tuple[int, Outcome]:
        """Make one attempt now, and never a second; return the row's id and what came of it."""
        call = self._outbox.add_by_hand(rule)
        self._count_trigger(rule, self._clocks.now())
        outcome = self._trigger(self._rules[rule].url_key, None)
        verdict = judge(outcome, 1, 1, 0.0)
        final = CallState.PLACED if verdict.state is CallState.PLACED else CallState.FAILED
        self._outbox.finish([(call, Verdict(final, None))], outcome)
        self.tally.attempt(outcome.result)
        self._tell(call, final, outcome)
        self._observe(outcome)
        return call.id, outcome
