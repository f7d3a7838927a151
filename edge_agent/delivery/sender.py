"""The sender: which call is due, one attempt each, and what its result means for the others."""

import functools
import logging
import random
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence

from edge_agent.core.fields import SECOND
from edge_agent.delivery.attempts import Attempts, Job, Ticket, Trigger, WithdrawnError
from edge_agent.delivery.dispatch import Due, Hold
from edge_agent.delivery.outbox import Outbox
from edge_agent.delivery.rows import Call, Clocks
from edge_agent.delivery.tally import Tally
from edge_agent.delivery.workers import Workers
from edge_agent.iotcall.outcome import Outcome, Result
from edge_agent.iotcall.settings import RuleSettings

_log = logging.getLogger(__name__)
_MAX_SLEEP = SECOND
_EXPIRY_EVERY = SECOND
_AFTER_A_BUG = 5 * SECOND
_HEAD_START = SECOND // 20
"""So long a more urgent call may take to be on its way before others begin; one that hangs holds up nobody."""


class Sender:
    """Sends what is due, each rule by itself: one rule's trouble never holds up another's.

    `count_trigger(rule, at)` is told each trigger that no alarm made. Start with `start()`, end with `stop()`.
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
        self._desk = outbox.dispatch
        self._rules = rules
        self._clocks = clocks
        self._chance = chance
        self._workers = Workers()
        self._wake = threading.Condition()
        self._woken = False
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._in_flight: set[str] = set()
        self._claims: dict[str, Ticket] = {}
        """Rules that the engine's thread has claimed, until it dispatches them. Only that thread touches it."""
        self._held: dict[str, Hold] = self._desk.holds()
        self._hurried: set[str] = set()
        """Rules whose most urgent call tries the line now."""
        self._forced: set[str] = set()
        """Rules of which somebody wants a call tried, whatever their budget."""
        self._attempts = Attempts(outbox, client, clocks, count_trigger, self._hold, self._sending, chance)
        self._unsent: dict[str, tuple[int, int]] = {}
        """{rule of an attempt whose request is not on its way yet: (its priority, begun at)}"""
        self._leader: str | None = None
        """The rule whose call, the most urgent one, tried a line that was down, at `_led_at`."""
        self._led_at = 0
        self._expired_at = 0
        self._releases: list[Callable[[], object]] = []
        """What is to be released before the next look at what is due."""
        self._by_hand = 0
        """Attempts by hand that are under way."""
        self.beat_at = clocks.now()

    @property
    def reachable(self) -> bool | None:
        """Return whether the last attempt reached IoTCall; None before the first."""
        return self._attempts.line.reachable

    @property
    def last_success_wall(self) -> int | None:
        """Return when IoTCall last answered, in Unix microseconds."""
        return self._attempts.last_success_wall

    @property
    def clock_suspect(self) -> bool:
        """Return whether TLS fails as if this machine's date were wrong."""
        return self._attempts.clock_suspect

    @property
    def tally(self) -> Tally:
        """Return the counts for metrics."""
        return self._attempts.tally

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
            self._stopping = self._attempts.stopping = True
            self._wake.notify_all()
            self._wake.wait_for(lambda: not self._in_flight and not self._by_hand, timeout_s)
        if self._thread is not None:
            self._thread.join(timeout_s)

    def wake(self) -> None:
        """Look at the outbox now."""
        with self._wake:
            self._woken = True
            self._wake.notify_all()

    def claim(self, rules: Iterable[str]) -> dict[str, bool]:
        """Reserve those of the rules that could be triggered at once; return {rule: whether it coalesces}.

        Their attempts are prepared while the new calls are being committed, and go out when these are given to
        `dispatch`: whatever is claimed must be dispatched.
        """
        now = self._clocks.now()
        with self._wake:
            if self._stopping or self.reachable is False:
                return {}
            known = ((rule, self._rules.get(rule)) for rule in rules)
            free = {
                rule: settings
                for rule, settings in known
                if settings is not None and rule not in self._in_flight and self._held_until(rule) <= now
            }
            self._in_flight.update(free)
        for rule, settings in free.items():
            ticket = self._claims[rule] = Ticket()
            self._workers.submit(functools.partial(self._work, Job(rule, None, now, ticket), settings))
        return {rule: settings.coalesce for rule, settings in free.items()}

    def dispatch(self, claimed: Iterable[str], begun: Mapping[str, Sequence[Call]]) -> None:
        """Let the attempts of claimed rules go out with the calls that are on disk; those that have none end."""
        for rule in claimed:
            self._claims.pop(rule).give(begun.get(rule, ()))

    def configure(self, rules: Mapping[str, RuleSettings], client: Callable[[], Trigger]) -> None:
        """Go on with other settings, after a reload."""
        self._rules = rules
        self._attempts.configure(client)
        self._release(self._desk.release_budget)

    def warm_up(self) -> None:
        """Make the client before the first call needs it: what it is built on takes its time to load."""
        self._workers.submit(self._attempts.client)

    def retried(self, rule: str) -> None:
        """Look at a call that somebody made due: whatever its rule was told to wait is over."""
        with self._wake:
            self._held.pop(rule, None)
            self._forced.add(rule)
        self.wake()

    def auth_changed(self) -> None:
        """Try again, at once, what waited for the AuthCode."""
        self._release(self._release_auth)

    def _release_auth(self) -> None:
        self._desk.release_auth()
        with self._wake:
            self._held = {rule: hold for rule, hold in self._held.items() if hold.result != Result.AUTH}

    def _release(self, release: Callable[[], object]) -> None:
        """Have something done by the scheduler's thread: it tries again where the database cannot be written."""
        with self._wake:
            self._releases.append(release)
        self.wake()

    def _run(self) -> None:
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

    # What is due --------------------------------------------------------------------------------------------------

    def _pass(self) -> int:
        """Begin what is due; return when to look again."""
        now = self._clocks.now()
        while self._releases:
            self._releases[0]()
            del self._releases[0]
        if now - self._expired_at >= _EXPIRY_EVERY:
            self._expired_at = now
            self._expire()
        waiting = [due for due in self._desk.due() if due.rule in self._rules]
        with self._wake:
            self._hurried.intersection_update(due.rule for due in waiting)
        later = [now + _MAX_SLEEP]
        ready: list[Due] = []
        for due in waiting:
            at = max(now if due.rule in self._hurried else due.at, self._held_until(due.rule))
            if at > now:
                later.append(at)
            elif due.rule not in self._in_flight and not self._over_budget(due, now):
                ready.append(due)
        trying = next((due for due in waiting if due.for_line), None)
        later.append(self._begin_in_order(self._with_trying(ready, trying, now), trying, now))
        self._revive(now)
        return min(*later, self._try_line(waiting, now))

    def _with_trying(self, ready: list[Due], trying: Due | None, now: int) -> list[Due]:
        """Let the most urgent call try a line that is down whoever's pause is over: it is to be the first to go."""
        if trying is None or trying in ready or self.reachable is not False or not any(due.for_line for due in ready):
            return ready
        if trying.rule in self._in_flight or self._held_until(trying.rule) > now or now - self._led_at < SECOND:
            return ready
        return sorted([trying, *ready], key=lambda due: (due.priority, due.first))

    def _begin_in_order(self, ready: Sequence[Due], trying: Due | None, now: int) -> int:
        """Begin what is ready, the most urgent first; return when to go on with the rest."""
        for due in ready:
            at = self._after_more_urgent(due.priority, now)
            if at > now:
                return at
            if self._follows(due, now):
                continue
            if trying in (None, due):  # the most urgent call's attempt is a try of the line
                self._attempts.line.tried(now, self._chance())
                if self.reachable is False:
                    self._leader, self._led_at = due.rule, now
            self._begin(due.rule, priority=due.priority)
        return now + _MAX_SLEEP

    def _follows(self, due: Due, now: int) -> bool:
        """Return whether a call waits to see how the most urgent one fares on the line; it does so for a second."""
        led = self._leader in self._in_flight and now - self._led_at < SECOND
        return led and self.reachable is False and due.for_line and due.rule != self._leader

    def _held_until(self, rule: str) -> int:
        hold = self._held.get(rule)
        return 0 if hold is None else hold.until

    def _after_more_urgent(self, priority: int, now: int) -> int:
        """Return when a call may begin: once the more urgent ones are on their way, or a moment after they began."""
        with self._wake:
            ahead = [begun_at for rank, begun_at in self._unsent.values() if rank < priority]
        return max((begun_at + _HEAD_START for begun_at in ahead), default=now)

    def _sending(self, rule: str) -> None:
        with self._wake:
            if self._unsent.pop(rule, None) is not None:
                self._woken = True
                self._wake.notify_all()

    def _begin(self, rule: str, ids: Sequence[int] | None = None, *, priority: int | None = None) -> None:
        settings = self._rules.get(rule)
        if settings is None:
            return  # gone with a reload, just now
        if ids is None and not settings.coalesce:
            urgent = self._desk.next_of(rule)
            ids = () if urgent is None else (urgent,)
        with self._wake:
            if self._stopping or rule in self._in_flight:
                return
            self._in_flight.add(rule)
            self._hurried.discard(rule)
            self._forced.discard(rule)
            if priority is not None:
                self._unsent[rule] = (priority, self._clocks.now())
        job = Job(rule, ids, self._clocks.now())
        self._workers.submit(functools.partial(self._work, job, settings))

    def _over_budget(self, due: Due, now: int) -> bool:
        """Hold back calls that may have been delivered where the rule's triggers so far exceed its budget.

        One that was certainly not delivered has been counted when it was made: it goes out.
        """
        settings = self._rules.get(due.rule)
        if settings is None or not settings.max_calls or due.rule in self._forced:
            return False
        if due.fresh_at is not None and (due.fresh_at <= now or due.rule in self._hurried):
            return False
        counted = self._outbox.triggers(due.rule, settings.per)
        if len(counted) <= settings.max_calls:
            return False
        free_at = counted[-settings.max_calls - 1] + settings.per
        reason = f"budget: {settings.max_calls} triggers, some with no answer"
        self._desk.postpone(due.rule, max(free_at, now), reason)
        with self._wake:
            self._hurried.discard(due.rule)
        return True

    def _revive(self, now: int) -> None:
        """Try failed calls once more every ten minutes while their alarm is still raised."""
        ready: dict[str, list[int]] = {}
        spent = []
        for call in self._desk.revivable():
            if self._is_spent(call):
                spent.append(call)
            else:
                ready.setdefault(call.rule, []).append(call.id)
        self._desk.give_up(spent)
        for rule, ids in ready.items():
            settings = self._rules.get(rule)
            if settings is not None and rule not in self._in_flight and self._held_until(rule) <= now:
                self._begin(rule, ids if settings.coalesce else ids[:1])

    def _is_spent(self, call: Call) -> bool:
        settings = self._rules.get(call.rule)
        if settings is None:
            return True
        if settings.expires is not None and call.age(self._clocks) - call.fresh_at_age >= settings.expires:
            return True
        return not self._desk.still_raised(call)

    def _expire(self) -> None:
        for call in self._desk.expire({name: rule.expires for name, rule in self._rules.items()}):
            _log.error("event=expired id=%d rule=%s alarm=%s", call.id, call.rule, call.alarm or "-")

    def _try_line(self, waiting: Sequence[Due], now: int) -> int:
        """Try an unreachable line at least every 5 s: a bare connection, then the most urgent call waiting for it."""
        try_at = self._attempts.line.try_at()
        stuck = [due.rule for due in waiting if due.for_line]
        if try_at is None or not stuck:
            return now + _MAX_SLEEP
        if now < try_at:
            return try_at
        self._attempts.line.tried(now, self._chance())
        for rule in stuck:
            if rule not in self._in_flight and self._held_until(rule) <= now:
                self._workers.submit(functools.partial(self._probe, rule))
                break
        return now + _MAX_SLEEP

    def _probe(self, rule: str) -> None:
        if self._attempts.client().probe():
            with self._wake:
                self._hurried.add(rule)
            self.wake()

    # Attempts -----------------------------------------------------------------------------------------------------

    def _work(self, job: Job, settings: RuleSettings) -> None:
        try:
            self._attempts.make(job, settings)
        except WithdrawnError:
            _log.debug("event=nothing_left_to_send rule=%s", job.rule)
        except Exception:  # noqa: BLE001 - the top of a thread
            if not self._stopping:
                _log.exception("event=attempt_broke rule=%s", job.rule)
                self._hold(job.rule, Hold(self._clocks.now() + _AFTER_A_BUG, ""))
        finally:
            self._free(job.rule)

    def _free(self, rule: str) -> None:
        with self._wake:
            self._in_flight.discard(rule)
            self._unsent.pop(rule, None)
            self._woken = True
            self._wake.notify_all()

    def _hold(self, rule: str, hold: Hold) -> None:
        with self._wake:
            self._held[rule] = hold

    def call_by_hand(self, rule: str) -> tuple[int, Outcome]:
        """Make one attempt now, and never a second; return the row's id and what came of it."""
        with self._wake:
            self._by_hand += 1
        try:
            return self._attempts.by_hand(rule, self._rules[rule])
        finally:
            with self._wake:
                self._by_hand -= 1
                self._woken = True
                self._wake.notify_all()
