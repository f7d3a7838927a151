"""A pair of pseudo-terminals joined by socat: the agent opens one end, the test holds the other. It can be pulled."""

import os
import subprocess
from pathlib import Path

from tests.helpers import need, wait_until


class SerialPort:
    """A serial line. `path` is what the agent opens; it dangles while the line is unplugged."""

    def __init__(self, directory: Path) -> None:
        self._socat = need("socat")
        self.path = directory / "port"
        self._device = directory / "device"
        self._process: subprocess.Popen[bytes] | None = None
        self._fd = -1

    def plug(self) -> "SerialPort":
        """Make the line appear."""
        ends = [f"PTY,link={end},raw,echo=0" for end in (self.path, self._device)]
        self._process = subprocess.Popen([self._socat, *ends], stderr=subprocess.DEVNULL)
        wait_until(lambda: self.path.exists() and self._device.exists())
        self._fd = os.open(self._device, os.O_RDWR | os.O_NOCTTY)
        return self

    def unplug(self) -> None:
        """Pull the plug."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(10)

    def send(self, data: bytes) -> None:
        """Say something, as the device."""
        while data:
            data = data[os.write(self._fd, data[:4096]) :]

    def receive(self) -> bytes:
        """Return what the agent said; wait for it."""
        return os.read(self._fd, 4096)
