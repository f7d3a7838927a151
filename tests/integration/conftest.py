"""Fixtures of the integration tests: certificates, a serial line, an intake that records."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.broker import make_certificates
from tests.recording import Running, Started
from tests.serialport import SerialPort


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with an authority, a server's and a client's certificate."""
    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def serial_port(tmp_path: Path) -> Iterator[SerialPort]:
    """A serial line that is plugged in."""
    port = SerialPort(tmp_path).plug()
    yield port
    port.unplug()


@pytest.fixture
def run() -> Iterator[Callable[..., Running]]:
    """Start sources under a supervisor; they are stopped at the end."""
    started = Started()
    yield started.run
    started.stop()
