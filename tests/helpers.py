"""What several tests need: waiting for a condition, free ports, and skipping by name what this machine lacks."""

import os
import shutil
import socket
import time
from collections.abc import Callable

import pytest


def wait_until(predicate: Callable[[], object], timeout_s: float = 10.0, step_s: float = 0.01) -> None:
    """Return as soon as `predicate` holds; fail when it does not within `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not predicate():
        if time.monotonic() > deadline:
            pytest.fail(f"did not come true within {timeout_s} s")
        time.sleep(step_s)


def need(program: str) -> str:
    """Return the path of a program; skip the test by the program's name where it is missing (an error in CI)."""
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin:/usr/bin:/bin")
    if path is None:
        missing(f"needs {program}, which is not installed")
    assert path is not None
    return path


def missing(reason: str) -> None:
    """Skip the test, or fail it where EDGE_AGENT_ALL=1 says that nothing may be missing."""
    if os.environ.get("EDGE_AGENT_ALL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
