"""The engine's thread: takes from the inbox, feeds the engine, commits, and only then acknowledges."""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

from edge_agent.core.engine import Engine, EngineSettings
from edge_agent.core.events import Changes, Event, EventKind
from edge_agent.core.fields import SECOND
from edge_agent.core.reading import Reading, log_word
from edge_agent.delivery.rows import Call, Clocks
from edge_agent.inbox import Inbox, Item
from edge_agent.question import Question
from edge_agent.recorder import Done, Page, Recorder, Taken
from edge_agent.wall_watch import WallWatch

T = TypeVar("T")
_log = logging.getLogger(__name__)
_MAX_WAIT_S = 1.0
_RETRY_COMMIT_S = 1.0
_HEAD_START_S = 0.002
_CALLS = (EventKind.CALL, EventKind.REPEAT)


class Commits(Protocol):
    """The outbox, as the engine's thread needs it."""

    def commit(self, changes: Changes, express: Mapping[str, bool]) -> dict[str, list[Call]]:
        """Write changes, on disk when it returns; return the calls of `express` rules, marked as being sent."""


class Courier(Protocol):
    """The sender, as the engine's thread needs it."""

    def claim(self, rules: Iterable[str]) -> dict[str, bool]:
        """Reserve rules that could be triggered at once."""

    def dispatch(self, claimed: Iterable[str], begun: Mapping[str, Sequence[Call]]) -> None:
        """Send what is on disk, of rules that were claimed."""

    def wake(self) -> None:
        """Look at the outbox."""


class EngineThread:
    """Owns the engine while it runs. What is on disk goes to the courier, is acknowledged, and told in the log."""

    def __init__(self, engine: Engine, inbox: Inbox, outbox: Commits, clocks: Clocks, courier: Courier) -> None:
        self.engine = engine
        self._inbox = inbox
        self._outbox = outbox
        self._clocks = clocks
        self._courier = courier
        self._stopping = False
        self._thread: threading.Thread | None = None
        self.beat_at = clocks.now()
        self._wall = WallWatch(clocks)
        self._recorder = Recorder()
        self._tap: Recorder | None = None
        """The recorder, while somebody reads it."""
        self._untold: list[Event] = []
        self.commit_error: str | None = None
        """Why the last commit failed; None: it did not."""

    def start(self) -> None:
        """Start the thread; also after it died."""
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def alive(self) -> bool:
        """Return whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def stop(self, timeout_s: float) -> None:
        """Serve what is in the inbox, commit, and end."""
        self._stopping = True
        self._inbox.put(_nothing)  # so that it takes, and sees
        if self._thread is not None:
            self._thread.join(timeout_s)

    def ask(self, command: Callable[[], T], timeout_s: float) -> T:
        """Have a command run in the engine's thread, in its turn; return its answer once its effects are on disk.

        Raises:
            NotTakenError, NotAnsweredError: not in time; see there.
            Exception: what the command raised.
        """
        question = Question(command)
        self._inbox.put(question)
        return question.answer(timeout_s)

    # Commands: to be called in the engine's thread, by `ask` or as commands of the inbox ----------------------------

    def replace(self, settings: EngineSettings, triggers: Mapping[str, Iterable[int]]) -> None:
        """Go on with other settings and the same memory; where that fails nothing has changed.

        `triggers` is what the engine cannot know: those of rules that are new to it.
        """
        self._commit()
        old, wall = self.engine, self._wall
        known = {rule: budget.triggers() for rule, budget in old.desk.budgets.items()}
        # It begins where the old one stands, not now: what waits in the inbox may be older than now.
        engine = Engine(settings, old.now, old.records(), {**known, **triggers}, skew=wall.skew, synced=wall.synced)
        engine.carry_over(old)
        self.engine = engine
        self._commit()

    def acknowledge(self, alarm: str, instance: str | None, at: int, reason: str) -> int:
        """Acknowledge the raised instances of an alarm (None: all of them); return how many that changed."""
        changed = self.engine.acknowledge(alarm, instance, at, reason)
        self._note(Done(self.engine.now, "ack", alarm, instance))
        return changed

    def shelve(self, alarm: str, instance: str | None, until: int, at: int, reason: str) -> int:
        """Hold back the calls of an alarm's instances until an instant; return how many that changed."""
        changed = self.engine.shelve(alarm, instance, until, at, reason)
        self._note(Done(self.engine.now, "shelve", alarm, instance, until))
        return changed

    def unshelve(self, alarm: str, instance: str | None, at: int, reason: str) -> int:
        """End the shelving of an alarm's instances; return how many were shelved."""
        changed = self.engine.unshelve(alarm, instance, at, reason)
        self._note(Done(self.engine.now, "unshelve", alarm, instance))
        return changed

    def recorded(self, after: str | None) -> Page:
        """Return what the engine has taken since a cursor. The first question begins to keep it."""
        page = self._recorder.read(after, self.engine, self._clocks.now())
        self._tap = self._recorder
        return page

    def _note(self, done: Done) -> None:
        if self._tap is not None:
            self._tap.take(done)

    # Running ------------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        self.engine.set_clock(self.engine.now, self._wall.skew, self._wall.synced)
        self._keep_time(self._clocks.now(), idle=True)
        self._commit()
        while True:
            stopping = self._stopping
            self._step(0.0 if stopping else self._patience())
            if stopping and not len(self._inbox):
                self._tell()
                return

    def _patience(self) -> float:
        deadline = self.engine.deadline()
        if deadline is None:
            return _MAX_WAIT_S
        return max(0.0, min((deadline - self._clocks.now()) / SECOND, _MAX_WAIT_S))

    def _step(self, timeout_s: float) -> None:
        """One batch: everything in it is one commit."""
        items, empty = self._inbox.take(min(timeout_s, _HEAD_START_S) if self._untold else timeout_s)
        self._tell()
        now = self._clocks.now()
        self._take_in(items)
        self._keep_time(now, idle=empty and not len(self._inbox))
        self._commit(items)
        self.beat_at = self._clocks.now()

    def _tell(self) -> None:
        """Log what happened, once the calls that it led to had a moment to get out: writing lines would delay them."""
        for event in self._untold:
            _tell(event)
        self._untold.clear()

    def _take_in(self, items: list[Item]) -> None:
        for item in items:
            try:
                if isinstance(item, Reading):
                    self.engine.feed(item)
                    if self._tap is not None:
                        self._tap.take(Taken(self.engine.now, item.point, item.value))
                else:
                    item()
            except Exception:  # noqa: BLE001 - the top of a thread: one reading must not stop the others
                what = repr(item.point[:80]) if isinstance(item, Reading) else "command"
                _log.exception("event=engine_refused item=%s", what)

    def _keep_time(self, now: int, *, idle: bool) -> None:
        """Look at the clocks; where no reading waits that may be older than `now`, serve what falls due up to now."""
        try:
            if self._wall.look(now):
                self.engine.set_clock(now if idle else self.engine.now, self._wall.skew, self._wall.synced)
            if idle:
                self.engine.tick(now)
        except Exception:  # noqa: BLE001 - the top of a thread
            _log.exception("event=engine_tick_failed")
        if self._tap is not None:
            self._tap.rest(now)
            self._tap = self._tap if self._tap.running else None

    def _commit(self, items: Sequence[Item] = ()) -> None:
        """Write what has changed; only then send, acknowledge and tell it, in this order: the call cannot wait."""
        changes = self.engine.take()
        if changes and not self._write(changes):
            return
        _acknowledge(items)
        self._untold += changes.events

    def _write(self, changes: Changes) -> bool:
        """Commit, however long it takes: what is not on disk is not acknowledged, so nothing of it is lost.

        Returns False where the agent ends before it succeeds.
        """
        rules = {event.rule for event in changes.events if event.rule is not None and event.kind in _CALLS}
        while True:
            claimed = self._courier.claim(rules) if rules else {}
            begun: dict[str, list[Call]] = {}
            try:
                begun = self._outbox.commit(changes, claimed)
            except (sqlite3.Error, OSError) as error:
                self._note_error(error)
            else:
                self.commit_error = None
                if sum(map(len, begun.values())) < sum(event.rule is not None for event in changes.events):
                    self._courier.wake()
                return True
            finally:
                self._courier.dispatch(claimed, begun)
            if self._stopping:
                return False
            time.sleep(_RETRY_COMMIT_S)

    def _note_error(self, error: Exception) -> None:
        if self.commit_error is None:
            _log.error("event=commit_failed error=%r", str(error))
        self.commit_error = str(error)
        self.beat_at = self._clocks.now()


def _acknowledge(items: Sequence[Item]) -> None:
    for item in items:
        if isinstance(item, Question):
            item.settle()
        elif isinstance(item, Reading) and item.done is not None:
            try:
                item.done()
            except Exception:  # noqa: BLE001 - a driver's callback must not stop the thread
                _log.exception("event=acknowledge_failed point=%r", item.point[:80])


def _nothing() -> None:
    """Do nothing: an item that only wakes the thread."""


def _tell(event: Event) -> None:
    """Log an event: one line."""
    level = logging.WARNING if event.kind in ("raised", "call", "repeat", "suppressed") else logging.INFO
    _log.log(
        level,
        "event=%s alarm=%s instance=%s rule=%s reason=%r",
        event.kind, event.alarm or "-", log_word(event.instance), event.rule or "-", event.reason,
    )  # fmt: skip
