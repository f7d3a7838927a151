"""Secrets: where they are looked for, what is refused about their files, and a wrapper that never shows them."""

import os
import shlex
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NoReturn

from edge_agent.iotcall.settings import IotcallSettings
from edge_agent.sources.broker import BrokerSettings

AUTH_CODE_VARIABLE = "IOTCALL_AUTH_CODE"
AUTH_CODE_CREDENTIAL = "iotcall-auth-code"
_MAX_BYTES = 65536
_SECRET_MODE = "0640"  # noqa: S105 - the mode of a secret's file
_OTHERS = 0o007


class Secret:
    """A text that shows in no repr, str or format; only `reveal` gives it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value: Final = value

    def reveal(self) -> str:
        """Return the secret itself: for the one place that sends it."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('***')"

    def __str__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return format("***", spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not written anywhere")

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: object) -> "Secret":
        return self


class SecretError(Exception):
    """A secret is missing or its file unfit: what is wrong, and in `hint` what to do. Never the secret itself."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def read_auth_code(settings: IotcallSettings, env: Mapping[str, str] = os.environ) -> Secret:
    """Return the AuthCode: from auth_code_file, else from the systemd credential, else from IOTCALL_AUTH_CODE.

    A running agent may call it again whenever the file changes.

    Raises:
        SecretError: there is none, or its file is unfit.
    """
    if settings.auth_code_file is not None:
        return _auth_code(_read_file(Path(settings.auth_code_file)), settings.auth_code_file)
    text = _read_credential(AUTH_CODE_CREDENTIAL, env)
    if text is not None:
        return _auth_code(text, f"the credential {AUTH_CODE_CREDENTIAL}")
    if AUTH_CODE_VARIABLE in env:
        return _auth_code(env[AUTH_CODE_VARIABLE], AUTH_CODE_VARIABLE)
    raise SecretError(
        "there is no AuthCode",
        f"put it into a file of mode {_SECRET_MODE} that auth_code_file names, or set {AUTH_CODE_VARIABLE}",
    )


def read_password(broker: str, settings: BrokerSettings, env: Mapping[str, str] = os.environ) -> Secret | None:
    """Return a broker's password: from password_file, else from its systemd credential; None where it needs none.

    Raises:
        SecretError: it is empty, or its file is unfit.
    """
    if settings.password_file is not None:
        return _password(_read_file(Path(settings.password_file)), settings.password_file)
    credential = f"mqtt-{broker}-password"
    text = _read_credential(credential, env) if settings.username is not None else None
    return None if text is None else _password(text, f"the credential {credential}")


def check_file(path: Path, *, secret: bool) -> None:
    """Make sure that a file (of certificates, of a private key) is there, can be read, and is kept as it must be.

    Raises:
        SecretError: it is not.
    """
    os.close(_open(path, secret=secret))


def _auth_code(text: str, origin: str) -> Secret:
    text = _stripped(text, origin)
    if not all("!" <= c <= "~" for c in text):
        raise SecretError(
            f"{origin} holds white space, control characters or other letters inside the AuthCode",
            "copy it again, alone on one line",
        )
    return Secret(text)


def _password(text: str, origin: str) -> Secret:
    text = _stripped(text, origin)
    if not all(c == " " or (c.isprintable() and not c.isspace()) for c in text):
        raise SecretError(f"{origin} holds control characters inside the password", "write it again, on one line")
    return Secret(text)


def _stripped(text: str, origin: str) -> str:
    text = text.strip()
    if not text:
        raise SecretError(f"{origin} is empty", "write the secret into it, alone on one line")
    return text


def _read_credential(name: str, env: Mapping[str, str]) -> str | None:
    """Return a systemd credential's text; None where there is none. systemd itself keeps others away from it."""
    folder = env.get("CREDENTIALS_DIRECTORY")
    if not folder or not (Path(folder) / name).exists():
        return None
    return _read_file(Path(folder) / name, secret=False)


def _read_file(path: Path, *, secret: bool = True) -> str:
    with os.fdopen(_open(path, secret=secret), "rb") as file:
        data = file.read(_MAX_BYTES + 1)
    try:
        if len(data) <= _MAX_BYTES:
            return data.decode()
    except UnicodeDecodeError:
        pass
    raise SecretError(f"{path} is no text of one line", "write the secret into it, and nothing else")


def _open(path: Path, *, secret: bool) -> int:
    """Open a regular file; what is checked is the open file, so that it cannot be exchanged in between."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        hint = "create it, or correct the path" if isinstance(error, FileNotFoundError) else "see who may read it"
        raise SecretError(f"{path} cannot be read: {reason}", hint) from None
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and not (secret and status.st_mode & _OTHERS):
        return descriptor
    os.close(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise SecretError(f"{path} is no ordinary file", "name the file itself")
    raise SecretError(
        f"{path} is open to others (mode {stat.S_IMODE(status.st_mode):04o})",
        f"chmod o-rwx {shlex.quote(str(path))}",
    )
