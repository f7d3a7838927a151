"""The token that people and programs show: one line in state_dir/web-token, made where it is missing."""

import contextlib
import os
import secrets
from pathlib import Path

TOKEN_FILE = "web-token"  # noqa: S105 - the name of a file, no secret
_MODE = 0o640
_BYTES = 32


def load_token(state_dir: Path) -> str:
    """Return the token of `state_dir`, made (mode 0640) where there is none.

    On a disk that cannot be read or written it is a new one that lives in memory only.
    """
    path = state_dir / TOKEN_FILE
    token = _read(path) or secrets.token_urlsafe(_BYTES)
    with contextlib.suppress(OSError):  # a read-only or full disk: the caller sees that the file is missing
        if _read(path) is None:
            _write(path, token)
        elif path.stat().st_mode & 0o007:
            path.chmod(_MODE)
    return token


def _read(path: Path) -> str | None:
    """Return the file's first line, or None where it can't serve as a token."""
    try:
        lines = path.read_text(encoding="ascii").split("\n", 1)
    except (OSError, ValueError):
        return None
    token = lines[0].strip()
    return token if token and token.isprintable() and " " not in token else None


def _write(path: Path, token: str) -> None:
    """Write it whole or not at all: a power cut must not leave an empty file that everybody's token equals."""
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            os.fchmod(file.fileno(), _MODE)  # whatever the umask
            if os.geteuid() == 0:  # made by root's hand, read by the service
                folder = path.parent.stat()
                os.fchown(file.fileno(), folder.st_uid, folder.st_gid)
            file.write(f"{token}\n")
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
