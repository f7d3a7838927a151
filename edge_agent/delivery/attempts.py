"""Attempts: one POST each, what came of it on record, and what it says about the line. Never decides when."""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from edge_agent.core.reading import log_word
from edge_agent.delivery.dispatch import Hold
from edge_agent.delivery.line import LineState, Turn
from edge_agent.delivery.outbox import Outbox
from edge_agent.delivery.policy import LINE, STRIKING, CallState, Verdict, judge, judge_revival
from edge_agent.delivery.rows import Call, Clocks
from edge_agent.delivery.tally import Tally
from edge_agent.iotcall.outcome import Outcome, Result
from edge_agent.iotcall.settings import RuleSettings

_log = logging.getLogger(__name__)
_WRITE_AGAIN_S = 1.0
_TOLD_ATTEMPTS = 5
"""Results may alternate for hours: after so many attempts `status` and the outbox tell, the log no more."""
_BROKE_OFF = Outcome(Result.AMBIGUOUS, "the attempt broke off")


class WithdrawnError(Exception):
    """What an attempt was for is gone: nothing is sent."""


class Trigger(Protocol):
    """The client, as attempts need it."""

    def trigger(self, url_key: str, before_send: Callable[[], None] | None = None) -> Outcome:
        """Make one attempt."""

    def probe(self) -> bool:
        """Try the line without sending anything."""


class Ticket:
    """Calls that are being committed while their attempt is prepared: the request goes out once they are on disk."""

    def __init__(self) -> None:
        self._committing = threading.Lock()
        self._committing.acquire()
        self._calls: Sequence[Call] = ()

    def give(self, calls: Sequence[Call]) -> None:
        """Tell which calls are on disk, marked as being sent; none: nothing is to be sent. Call it once."""
        self._calls = calls
        self._committing.release()

    def wait(self) -> Sequence[Call]:
        """Return them as soon as it is known."""
        with self._committing:
            return self._calls


@dataclass(frozen=True, slots=True)
class Job:
    """An attempt to make: of certain calls, or (None) of all that wait of a rule."""

    rule: str
    ids: Sequence[int] | None
    begun_at: int
    ticket: Ticket | None = None
    """Stands for calls that are marked as being sent by the commit that makes them."""


class Attempts:
    """Makes attempts, each in the thread that asks for it. Safe from any thread.

    `count_trigger(rule, at)` is told each trigger that no alarm made, `on_hold(rule, hold)` what the service asked for,
    `on_sending(rule)` that a request is on its way.
    """

    def __init__(
        self,
        outbox: Outbox,
        client: Callable[[], Trigger],
        clocks: Clocks,
        count_trigger: Callable[[str, int], None],
        on_hold: Callable[[str, Hold], None],
        on_sending: Callable[[str], None],
        chance: Callable[[], float],
    ) -> None:
        self._outbox = outbox
        self._desk = outbox.dispatch
        self._make_client = client
        self._client: Trigger | None = None
        self._client_lock = threading.Lock()
        self._clocks = clocks
        self._count_trigger = count_trigger
        self._on_hold = on_hold
        self._on_sending = on_sending
        self._chance = chance
        self.line = LineState()
        self.tally = Tally()
        self.last_success_wall: int | None = None
        self.clock_suspect = False
        self.stopping = False

    def configure(self, client: Callable[[], Trigger]) -> None:
        """Use another client from now on."""
        with self._client_lock:
            self._make_client = client
            self._client = None

    def client(self) -> Trigger:
        """Return the client, made when it is first needed."""
        with self._client_lock:
            if self._client is None:
                self._client = self._make_client()
            return self._client

    def make(self, job: Job, settings: RuleSettings) -> None:
        """Make an attempt, and record what came of it. WithdrawnError: nothing was left to send."""
        ticket = job.ticket
        begun: list[Call] = []
        asked = [] if ticket else self._desk.open_calls(job.rule, job.ids)
        if not asked and ticket is None:
            raise WithdrawnError

        def before_send() -> None:
            begun.extend(ticket.wait() if ticket else self._desk.begin(job.rule, job.ids))
            self._on_sending(job.rule)
            if not begun:
                raise WithdrawnError

        outcome = None
        try:
            outcome = self.client().trigger(settings.url_key, before_send)
        finally:
            if outcome is None:
                begun = begun or list(ticket.wait() if ticket else ())
                if begun:  # a bug: all the same these rows are being sent no more
                    self._record(job, begun, _BROKE_OFF)
        calls = begun or (ticket.wait() if ticket else asked)
        if not calls:
            raise WithdrawnError
        self._record(job, calls, outcome)
        self._observe(outcome, job.begun_at)

    def _record(self, job: Job, calls: Sequence[Call], outcome: Outcome) -> None:
        """Write down what came of an attempt, for each call that it was for."""
        now = self._clocks.now()
        verdicts: list[tuple[Call, Verdict]] = []
        rode = []
        hold: Hold | None = None
        for call in calls:
            verdict = self._judge(call, outcome, job)
            if verdict.holds_rule and verdict.wait is not None:
                hold = Hold(now + verdict.wait, outcome.result)
            due = call.next_attempt_at is None or call.next_attempt_at <= now
            if due or outcome.result not in STRIKING:
                verdicts.append((call, verdict))
            else:
                rode.append(call)  # its own attempts stay the stated time apart
        held = None if hold is None else (job.rule, hold)
        if held is not None:
            self._on_hold(*held)
        self._keep(lambda: self._desk.finish(verdicts, outcome, rode, held))
        if outcome.result is Result.AMBIGUOUS:
            self._count_trigger(job.rule, now)
        self.tally.attempt(outcome.result)
        for call, verdict in verdicts:
            self._tell(call, verdict.state, outcome)

    def _keep(self, write: Callable[[], None]) -> None:
        """Write a result down, however long it takes (another program may have the database locked)."""
        while True:
            try:
                return write()
            except sqlite3.Error as error:
                if self.stopping:
                    raise
                _log.error("event=result_not_written error=%r", str(error))
                time.sleep(_WRITE_AGAIN_S)

    def _judge(self, call: Call, outcome: Outcome, job: Job) -> Verdict:
        if call.state == CallState.FAILED:
            return judge_revival(outcome)
        if self.line.is_stale(outcome.result, job.begun_at):
            return Verdict(CallState.WAITING, 0)
        strikes = call.strikes + (outcome.result in STRIKING)
        return judge(outcome, call.attempts + 1, strikes, self._chance())

    def _tell(self, call: Call, state: CallState, outcome: Outcome) -> None:
        """Log a call's end, and the first of a row of like results; not each try."""
        who = f"id={call.id} rule={call.rule} alarm={call.alarm or '-'} instance={log_word(call.instance)}"
        if state is CallState.PLACED:
            self.tally.placed(call.age(self._clocks))
            _log.info("event=placed %s attempts=%d", who, call.attempts + 1)
        elif state is CallState.FAILED and call.state != CallState.FAILED:
            _log.error("event=failed %s attempts=%d error=%r", who, call.attempts + 1, outcome.message)
        elif outcome.result != call.last_result and call.attempts < _TOLD_ATTEMPTS:
            _log.warning("event=not_placed_yet %s result=%s error=%r", who, outcome.result, outcome.message)

    def _observe(self, outcome: Outcome, begun_at: int) -> None:
        """Draw conclusions about the line; its return makes due what waits for it."""
        result = outcome.result
        if result.reached:
            if outcome.date is not None:
                self._clocks.observe(outcome.date)
            self.clock_suspect = False
            if result is Result.PLACED:
                self.last_success_wall = self._clocks.wall()
        elif result in LINE:
            self.clock_suspect = outcome.clock_suspect
        was_reachable = self.line.reachable
        turn = self.line.observe(result, begun_at, self._clocks.now())
        if turn is Turn.UP:
            released = self._desk.release_line()
            if released or was_reachable is False:
                _log.info("event=line_up released=%d", released)
        elif turn is Turn.DOWN:
            _log.warning("event=line_down error=%r", outcome.message)

    # By hand ------------------------------------------------------------------------------------------------------

    def by_hand(self, rule: str, settings: RuleSettings) -> tuple[int, Outcome]:
        """Make one attempt now, and never a second; return the row's id and what came of it."""
        begun_at = self._clocks.now()
        call = self._outbox.add_by_hand(rule)
        self._count_trigger(rule, begun_at)
        outcome = _BROKE_OFF
        try:
            outcome = self.client().trigger(settings.url_key, None)
        finally:
            placed = outcome.result is Result.PLACED
            final = CallState.PLACED if placed else CallState.FAILED
            self._keep(lambda: self._desk.finish([(call, Verdict(final, None))], outcome))
        if outcome.result is Result.AMBIGUOUS:
            self._count_trigger(rule, self._clocks.now())
        self.tally.attempt(outcome.result)
        self._tell(call, final, outcome)
        self._observe(outcome, begun_at)
        return call.id, outcome
