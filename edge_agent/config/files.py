"""Files that the configuration names: their paths made absolute, each looked at, and the secrets in them read."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from edge_agent.config.errors import Problems
from edge_agent.config.lines import Path as KeyPath
from edge_agent.config.secrets import Secret, SecretError, check_file, read_auth_code, read_password
from edge_agent.core.fields import Settings
from edge_agent.iotcall.settings import IotcallSettings
from edge_agent.sources.broker import BrokerSettings

_SECRETS = ("auth_code_file", "password_file")
_LOOKED_AT = {"key_file": True, "ca_file": False, "cert_file": False}
"""{key: whether others must not read the file}; their content is for those who connect."""

Model = TypeVar("Model", bound=Settings)


def with_absolute_files(settings: Model, folder: Path) -> Model:
    """Return the settings with paths that no longer depend on the working directory: they are relative to `folder`."""
    files = {key: value for key in (*_SECRETS, *_LOOKED_AT) if (value := getattr(settings, key, None)) is not None}
    return settings.replaced(**{key: str(folder / file) for key, file in files.items()})


def look_at_files(problems: Problems, path: KeyPath, settings: Settings) -> None:
    """Report files of certificates and keys that are not there, cannot be read, or are open to others."""
    for key, secret in _LOOKED_AT.items():
        file = getattr(settings, key, None)
        if file is None:
            continue
        try:
            check_file(Path(file), secret=secret)
        except SecretError as error:
            problems.add((*path, key), str(error), error.hint)


def read_iotcall_secret(problems: Problems, settings: IotcallSettings, env: Mapping[str, str]) -> Secret | None:
    """Return the AuthCode; report it if it is missing or unfit."""
    try:
        return read_auth_code(settings, env)
    except SecretError as error:
        problems.add(("iotcall", "auth_code_file"), str(error), error.hint)
        return None


def read_broker_secret(
    problems: Problems, name: str, settings: BrokerSettings, env: Mapping[str, str]
) -> Secret | None:
    """Return a broker's password if it has one; report it if it is unfit."""
    try:
        return read_password(name, settings, env)
    except SecretError as error:
        problems.add(("mqtt", name, "password_file"), str(error), error.hint)
        return None
