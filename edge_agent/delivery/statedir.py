"""The state folder: made where it is missing, and owned by one agent at a time."""

import fcntl
import os
from pathlib import Path

_MODE = 0o750


class StateError(Exception):
    """The state folder cannot be used: what is wrong, and in `hint` what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class StateLock:
    """The right to be the one agent on a state folder. The kernel's lock: it ends with the process, however it ends."""

    def __init__(self, folder: Path) -> None:
        """Make the folder (0750) if it is missing, and lock it.

        Raises:
            StateError: it cannot be made, or another agent has it.
        """
        try:
            folder.mkdir(mode=_MODE, parents=True, exist_ok=True)
            self._fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            reason = error.strerror or str(error)
            raise StateError(
                f"the state folder {folder} cannot be used: {reason}",
                "set agent.state_dir to a folder that this user may write",
            ) from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.release()
            raise StateError(
                f"another edge-agent is running on {folder}", "stop it, or give this one its own agent.state_dir"
            ) from error

    def release(self) -> None:
        """Give the folder up; may be called twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
