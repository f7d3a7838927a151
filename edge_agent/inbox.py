"""The one bounded queue: the only way into the engine, for readings and for the commands of people."""

import threading
from collections import deque
from collections.abc import Callable

from edge_agent.core.reading import Reading, Value

Command = Callable[[], None]
Item = Reading | Command


class Inbox:
    """Many threads put, one takes.

    When it is full, readings that nobody waits to acknowledge (QoS 0, serial) coalesce: of each point the newest
    number stays. A changed boolean or text is never dropped, nor a reading that its broker still holds.
    """

    def __init__(self, capacity: int = 10_000, batch: int = 2_000) -> None:
        self._capacity = capacity
        self._batch = batch
        self._items: deque[Item] = deque()
        self._newest: dict[str, Reading] = {}
        self._words: dict[str, tuple[Value]] = {}
        """The boolean or text that was put last, of points that had one since the queue was full."""
        self._lock = threading.Lock()
        self._wake = threading.Condition(threading.Lock())
        self._sleeping = False
        self.coalesced = 0
        """Readings that a newer one of their point replaced."""

    def put(self, item: Item) -> None:
        """Add a reading or a command; never blocks."""
        if len(self._items) >= self._capacity and isinstance(item, Reading) and item.done is None:
            self._put_full(item)
        elif (self._newest or self._words) and isinstance(item, Reading):
            self._put_behind(item)
        else:
            self._items.append(item)
        # The taker says that it sleeps before it looks a last time: one of the two always sees the other.
        if self._sleeping:
            with self._wake:
                self._wake.notify()

    def _put_full(self, reading: Reading) -> None:
        point, value = reading.point, reading.value
        with self._lock:
            if isinstance(value, bool | str):
                if self._words.get(point) == (value,):
                    self.coalesced += 1  # what was put last says the same
                    return
                self._words[point] = (value,)
                if (last := self._newest.pop(point, None)) is not None:
                    self._items.append(last)
                self._items.append(reading)
            else:
                self._words.pop(point, None)
                self.coalesced += point in self._newest
                self._newest[point] = reading

    def _put_behind(self, reading: Reading) -> None:
        """Keep the order of a point of which a newest reading is still held aside."""
        with self._lock:
            self._words.pop(reading.point, None)
            last = self._newest.pop(reading.point, None)
            if last is not None:
                self._items.append(last)
            self._items.append(reading)

    def take(self, timeout_s: float) -> tuple[list[Item], bool]:
        """Return a batch of items in order, and whether that was all there was; waits at most so long for a first."""
        if not len(self) and timeout_s > 0:
            with self._wake:
                self._sleeping = True
                if not len(self):
                    self._wake.wait(timeout_s)
                self._sleeping = False
        count = min(len(self._items), self._batch)
        items = [self._items.popleft() for _ in range(count)]
        if not self._items and (self._newest or self._words):
            with self._lock:
                self._words.clear()
                if not self._items:  # else what was put meanwhile may be older than what is held aside
                    items.extend(self._newest.values())
                    self._newest.clear()
        return items, not len(self)

    def __len__(self) -> int:
        return len(self._items) + len(self._newest)
