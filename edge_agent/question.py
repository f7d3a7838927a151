"""A command whose caller waits for the answer: it runs once, or, when the caller gave up before, never."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar, cast

T = TypeVar("T")


class NotTakenError(Exception):
    """Nobody has begun a question in time; nobody will."""


class NotAnsweredError(Exception):
    """A question was begun, but what it led to is not on disk yet; it will be."""


class Question(Generic[T]):
    """Put it into the inbox: the engine's thread calls it, and `settle` once its effects are on disk."""

    def __init__(self, command: Callable[[], T]) -> None:
        self._command = command
        self._lock = threading.Lock()
        self._begun = False
        self._given_up = False
        self._settled = threading.Event()
        self._answer: T | None = None
        self._error: Exception | None = None

    def __call__(self) -> None:
        """Carry it out, unless its caller has given up; what it raises is the caller's."""
        with self._lock:
            if self._given_up:
                return
            self._begun = True
        try:
            self._answer = self._command()
        except Exception as error:  # noqa: BLE001 - the thread that runs it must go on; `answer` raises it again
            self._error = error

    def settle(self) -> None:
        """Let the caller go on."""
        self._settled.set()

    def answer(self, timeout_s: float) -> T:
        """Return what the command returned.

        Raises:
            NotTakenError: it was not begun in time, and now never will be.
            NotAnsweredError: it was begun, but is not on disk yet.
            Exception: what the command raised.
        """
        if not self._settled.wait(timeout_s):
            with self._lock:
                self._given_up = not self._begun
            if self._given_up:
                raise NotTakenError
            if not self._settled.is_set():
                raise NotAnsweredError
        if self._error is not None:
            raise self._error
        return cast("T", self._answer)
