"""Tells systemd how the service is (READY=1, WATCHDOG=1, STATUS=…) and how often it wants to hear so; never raises."""

# By hand: sd_notify(3) is one datagram to a socket. The library for it is of 2017 and has no types, and the
# systemd bindings need a compiler.

import os
import socket

_TIMEOUT_S = 1.0  # a manager that does not read its socket must not hold up the thread that reports


def notify(message: str) -> bool:
    """Send `message` ("READY=1", several lines are several facts); return whether a manager took it."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]  # Linux's abstract namespace: no file
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
            manager.settimeout(_TIMEOUT_S)
            manager.connect(address)
            manager.sendall(message.encode())
    except (OSError, ValueError):  # ValueError: text that is no UTF-8, a socket path with a NUL
        return False
    return True


def watchdog_interval_s() -> float | None:
    """Return how often to send WATCHDOG=1: half of what systemd waits. None: nobody waits for it."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None  # inherited: it is meant for a process before us
    usec = os.environ.get("WATCHDOG_USEC", "")
    if not usec.isascii() or not usec.isdigit() or int(usec) == 0:
        return None
    return int(usec) / 2_000_000
