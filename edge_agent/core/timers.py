"""Timers: what falls due when. No clock: instants are given."""

import heapq
from typing import Generic, Protocol, TypeVar

NEVER = 1 << 62
_SLACK = 64


class Timed(Protocol):
    """What can fall due. `timer_at` is written by Timers alone."""

    timer_at: int | None

    def due_at(self) -> int | None:
        """Return when it falls due as things are now, None: not at all."""


T = TypeVar("T", bound=Timed)


class Timers(Generic[T]):
    """A heap in which an item's instant may move later for free: an entry too early is looked at and put back."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, T]] = []
        self._pushed = 0
        self._live = 0

    def next_at(self) -> int:
        """Return the instant of the first entry (perhaps too early, never too late), or NEVER."""
        return self._heap[0][0] if self._heap else NEVER

    def schedule(self, item: T) -> None:
        """Note when an item falls due; call it whenever that may have become earlier."""
        due_at = item.due_at()
        if due_at is None or (item.timer_at is not None and item.timer_at <= due_at):
            return
        if item.timer_at is None:
            self._live += 1
        item.timer_at = due_at
        self._pushed += 1
        heapq.heappush(self._heap, (due_at, self._pushed, item))
        if len(self._heap) > 2 * self._live + _SLACK:
            self._heap = [entry for entry in self._heap if entry[2].timer_at == entry[0]]
            heapq.heapify(self._heap)

    def pop(self, at: int) -> list[T]:
        """Take out the items whose entry is at `at` or before; those that are really due by then are returned."""
        due = []
        while self._heap and self._heap[0][0] <= at:
            timer_at, _, item = heapq.heappop(self._heap)
            if item.timer_at != timer_at:
                continue
            item.timer_at = None
            self._live -= 1
            due_at = item.due_at()
            if due_at is not None and due_at <= at:
                due.append(item)
            else:
                self.schedule(item)
        return due
