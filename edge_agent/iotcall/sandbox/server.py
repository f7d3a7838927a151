"""The sandbox's HTTP server: a listening socket that can be taken down, and handlers that can misbehave."""

import threading
import time
from collections.abc import Callable, Collection
from ssl import SSLContext
from types import TracebackType
from typing import Self

from edge_agent.iotcall.sandbox.faults import Fault, FaultKind
from edge_agent.iotcall.sandbox.handler import Listener
from edge_agent.iotcall.sandbox.numbers import Number, RuleKind
from edge_agent.iotcall.sandbox.phones import Activation, Person
from edge_agent.iotcall.sandbox.service import Call, Request, Service
from edge_agent.iotcall.sandbox.webhook import Webhook


class Sandbox:
    """An IoTCall on this machine. `start()`, then `url` and `port` are known; also a context manager."""

    def __init__(  # noqa: PLR0913 - what a test or the command line may choose, all with defaults
        self,
        auth_code: str,
        host: str = "127.0.0.1",
        port: int = 0,
        speed: float = 1.0,
        *,
        lag_s: float = 600.0,
        keys: Collection[str] | None = None,
        kind: RuleKind = RuleKind.NORMAL,
        person: Person | None = None,
        webhook: Webhook | None = None,
        fault: Fault | None = None,
        ssl_context: SSLContext | None = None,
        keep_alive_s: float = 65.0,
        clock: Callable[[], float] = time.time,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        """Choose how it behaves; delays are those at speed 1. `on_line` is told what was asked and done."""
        self.host = host
        self.port = port
        self.calls: list[Call] = []
        self.faults: dict[str | None, Fault] = {}
        self.ssl_context = ssl_context
        self.keep_alive_s = keep_alive_s
        self.service = Service(auth_code, speed, lag_s, keys, kind, person or Person(), clock=clock)
        self.service.on_activation = webhook.send if webhook else None
        self._first_fault = fault
        self._on_line = on_line
        self._lock = threading.RLock()
        self._listener: Listener | None = None
        self._ends: dict[str | None, threading.Timer] = {}

    @property
    def url(self) -> str:
        """Return the base URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.ssl_context else 'http'}://{host}:{self.port}"

    @property
    def activations(self) -> list[Activation]:
        """Return every activation, oldest first."""
        return self.service.activations

    @property
    def people(self) -> dict[str, Person]:
        """Return how the people behind national numbers behave; may be changed."""
        return self.service.people

    @property
    def fault(self) -> Fault | None:
        """Return the fault of the whole service; may be set, also to None. A rule's own in `faults` goes before it."""
        return self.faults.get(None)

    @fault.setter
    def fault(self, fault: Fault | None) -> None:
        self.set_fault(fault)

    def start(self) -> Self:
        """Listen; OSError where the port is taken."""
        self._listen()
        if self._first_fault is not None:
            self.set_fault(self._first_fault)
        return self

    def stop(self) -> None:
        """Close the listening socket and every connection."""
        with self._lock:
            for timer in self._ends.values():
                timer.cancel()
            self._ends.clear()
            self._close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def set_rule(
        self, url_key: str, numbers: Collection[Number], kind: RuleKind = RuleKind.NORMAL, *, sms: bool = True
    ) -> None:
        """Make or change a rule, as one would in the web console."""
        self.service.set_rule(url_key, kind, tuple(numbers), sms=sms)

    def set_fault(self, fault: Fault | None, url_key: str | None = None, for_s: float | None = None) -> None:
        """Switch a fault on (or, with None, off) for the whole service or one rule; `for_s`: off again after that."""
        if fault is not None and fault.kind is FaultKind.DOWN and url_key is not None:
            raise ValueError("down is for the whole service; it takes no rule")
        with self._lock:
            timer = self._ends.pop(url_key, None)
            if timer is not None:
                timer.cancel()
            if fault is None:
                self.faults.pop(url_key, None)
            else:
                self.faults[url_key] = fault
            self._up_or_down()
            if fault is not None and for_s is not None:
                self._end_after(for_s, url_key)
        self.say(f"fault {fault or 'none'}{'' if url_key is None else ' for one rule'}")

    def fault_for(self, url_key: str | None) -> Fault | None:
        """Return the fault that a request about this rule meets."""
        return self.faults.get(url_key) or self.faults.get(None)

    def record(self, request: Request, fault: Fault | None, *, activated: bool) -> None:
        """Keep a `POST …/call`."""
        at = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000
        words = None if fault is None else str(fault)
        self.calls.append(Call(at, request.url_key or "", request.headers, request.body, activated, words))

    def say(self, line: str) -> None:
        """Tell a line of what happens."""
        if self._on_line is not None:
            self._on_line(line)

    def _end_after(self, for_s: float, url_key: str | None) -> None:
        timer = threading.Timer(for_s, self.set_fault, (None, url_key))
        timer.daemon = True
        timer.start()
        self._ends[url_key] = timer

    def _up_or_down(self) -> None:
        fault = self.fault
        if fault is not None and fault.kind is FaultKind.DOWN:
            self._close()
        elif self._listener is None:
            self._listen()

    def _listen(self) -> None:
        with self._lock:
            if self._listener is not None:
                return
            self._listener = Listener(self, self.host, self.port)
            self.port = self._listener.server_address[1]
            self._listener.run()

    def _close(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
