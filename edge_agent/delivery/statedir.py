"""The state folder: made where it is missing, and owned by one agent at a time."""

import contextlib
import fcntl
import os
import time
from pathlib import Path

_MODE = 0o750
_LOOK_EVERY_S = 0.05


class StateError(Exception):
    """The state folder cannot be used: what is wrong, and in `hint` what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class StateLock:
    """The right to be the one agent on a state folder. The kernel's lock: it ends with the process, however it ends."""

    def __init__(self, folder: Path, patience_s: float = 0.0) -> None:
        """Make the folder (0750) if it is missing, and lock it, waiting at most so long for another to let it go.

        Raises:
            StateError: it cannot be made, or another agent has it.
        """
        try:
            _make(folder)
            self._fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            reason = error.strerror or str(error)
            raise StateError(
                f"the state folder {folder} cannot be used: {reason}",
                "set agent.state_dir to a folder that this user may write",
            ) from error
        until = time.monotonic() + patience_s
        while not self._locked():
            if time.monotonic() >= until:
                self.release()
                raise StateError(
                    f"another edge-agent is running on {folder}", "stop it, or give this one its own agent.state_dir"
                )
            time.sleep(_LOOK_EVERY_S)

    def _locked(self) -> bool:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def release(self) -> None:
        """Give the folder up; may be called twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def agent_runs(folder: Path) -> bool:
    """Return whether an agent owns a state folder; False also where that cannot be told. Makes and changes nothing."""
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False


def _make(folder: Path) -> None:
    with contextlib.suppress(FileExistsError):
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=_MODE)
        folder.chmod(_MODE)  # whatever the umask
