"""The service that the daemon calls, for system tests."""

from collections.abc import Iterator

import pytest

from edge_agent.iotcall.sandbox import Sandbox
from tests.daemon import AUTH_CODE


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Return a running sandbox."""
    with Sandbox(AUTH_CODE) as running:
        yield running
