"""The service, a broker and the daemon itself, for system tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.iotcall.sandbox import Sandbox
from tests.broker import Broker
from tests.daemon import AUTH_CODE


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Return a running sandbox."""
    with Sandbox(AUTH_CODE) as running:
        yield running


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """Return a running mosquitto."""
    folder = tmp_path / "broker"
    folder.mkdir()
    running = Broker(folder).start()
    yield running
    running.stop()
