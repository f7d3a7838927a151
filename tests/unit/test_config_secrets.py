"""Secrets: where they come from, what their files must be like, and that they show nowhere."""

import copy
import dataclasses
import os
import pickle
import traceback
from pathlib import Path

import pytest

from edge_agent.config.errors import ConfigError
from edge_agent.config.loader import load
from edge_agent.config.secrets import Secret, SecretError, read_auth_code
from edge_agent.config.settings import Config
from edge_agent.iotcall.settings import IotcallSettings

CODE = "s3cr3t-AuthCode"
RULE = "[iotcall.rules.r]\nurl_key = 'K'\n"
BROKER = "[mqtt.plant]\nhost = 'h'\nusername = 'u'\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def secret_file(path: Path, content: bytes | str, mode: int = 0o640) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(mode)
    return path


def config(file: Path, text: str, **env: str) -> Config:
    file.write_text(text, encoding="utf-8")
    return load(file, secrets=True, env=env)


def wrong(file: Path, text: str, **env: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config(file, text, **env)
    assert CODE not in "".join(traceback.format_exception(caught.value))
    return [str(problem).removeprefix(f"{file}:") for problem in caught.value.problems]


def test_the_order_of_places(file: Path) -> None:
    """auth_code_file, else the systemd credential, else the variable."""
    folder = file.parent
    secret_file(folder / "code", " from-file\n")
    secret_file(folder / "iotcall-auth-code", "from-credential\r\n", 0o644)
    env = {"CREDENTIALS_DIRECTORY": str(folder), "IOTCALL_AUTH_CODE": "from-variable\t"}
    assert config(file, RULE + "[iotcall]\nauth_code_file = 'code'", **env).auth_code == Secret("from-file")
    assert config(file, RULE, **env).auth_code == Secret("from-credential")
    assert config(file, RULE, IOTCALL_AUTH_CODE="from-variable\t").auth_code == Secret("from-variable")
    assert config(file, RULE, IOTCALL_AUTH_CODE="x", CREDENTIALS_DIRECTORY="/none").auth_code == Secret("x")


def test_without_a_rule_none_is_needed(file: Path) -> None:
    assert config(file, "[web]\n").auth_code is None


def test_a_missing_auth_code(file: Path) -> None:
    hint = "put it into a file of mode 0640 that auth_code_file names, or set IOTCALL_AUTH_CODE"
    assert wrong(file, "\n" + RULE) == [f"2: iotcall.auth_code_file: there is no AuthCode; {hint}"]


UNFIT: list[tuple[bytes, str]] = [
    (b"", "is empty"),
    (b" \n\t", "is empty"),
    (CODE.encode() + b" x", "white space"),
    (CODE.encode() + b"\nx", "white space"),
    (CODE.encode() + b"\x00", "control characters"),
    (b"s3cr3t-AuthC\xc3\xb6de", "other letters"),
    (CODE.encode() + b"\xff", "is no text"),
    (CODE.encode() * 10_000, "is no text"),
]


@pytest.mark.parametrize(("content", "words"), UNFIT)
def test_unfit_auth_codes(file: Path, content: bytes, words: str) -> None:
    code = secret_file(file.parent / "code", content)
    [problem] = wrong(file, f"[iotcall]\nauth_code_file = '{code}'\n" + RULE)
    assert problem.startswith(f"2: iotcall.auth_code_file: {code} ")
    assert words in problem


@pytest.mark.parametrize("value", ["", " ", f"{CODE} {CODE}", f"{CODE}\x7f{CODE}"])
def test_an_unfit_variable(file: Path, value: str) -> None:
    [problem] = wrong(file, RULE, IOTCALL_AUTH_CODE=value)
    assert problem.startswith("1: iotcall.auth_code_file: IOTCALL_AUTH_CODE ")


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o642, 0o641, 0o666])
def test_a_file_open_to_others(file: Path, mode: int) -> None:
    """Refused with the command that mends it."""
    code = secret_file(file.parent / "the code", CODE, mode)
    [problem] = wrong(file, f"[iotcall]\nauth_code_file = '{code}'\n" + RULE)
    assert problem == (f"2: iotcall.auth_code_file: {code} is open to others (mode {mode:04o}); chmod o-rwx '{code}'")
    assert os.system(problem.partition("; ")[2]) == 0  # noqa: S605 - it is a command for people
    assert config(file, f"[iotcall]\nauth_code_file = '{code}'\n" + RULE).auth_code == Secret(CODE)


def test_what_is_no_file(file: Path) -> None:
    os.mkfifo(file.parent / "fifo")
    for path, words in (("none", "No such file"), (".", "no ordinary file"), ("fifo", "no ordinary file")):
        [problem] = wrong(file, f"[iotcall]\nauth_code_file = '{path}'\n" + RULE)
        assert words in problem


def test_passwords(file: Path) -> None:
    folder = file.parent
    secret_file(folder / "password", "correct horse\n")
    secret_file(folder / "mqtt-plant-password", "from-credential")
    env = {"CREDENTIALS_DIRECTORY": str(folder)}
    assert config(file, BROKER + "password_file = 'password'", **env).passwords == {"plant": Secret("correct horse")}
    assert config(file, BROKER, **env).passwords == {"plant": Secret("from-credential")}
    assert config(file, BROKER).passwords == {}
    assert config(file, "[mqtt.plant]\nhost = 'h'", **env).passwords == {}


def test_unfit_passwords(file: Path) -> None:
    folder = file.parent
    secret_file(folder / "password", "")
    assert wrong(file, BROKER + "password_file = 'password'") == [
        f"4: mqtt.plant.password_file: {folder / 'password'} is empty; write the secret into it, alone on one line"
    ]
    secret_file(folder / "mqtt-plant-password", f"{CODE}\n{CODE}")
    [problem] = wrong(file, BROKER, CREDENTIALS_DIRECTORY=str(folder))
    assert problem.startswith(
        "1: mqtt.plant.password_file: the credential mqtt-plant-password holds control characters"
    )


def test_files_of_certificates(file: Path) -> None:
    """They must be there, and the private key must be private; all at once with the rest."""
    secret_file(file.parent / "key", "KEY", 0o644)
    text = (
        "[iotcall]\nca_file = 'ca'\n" + BROKER + "tls = true\nca_file = 'ca2'\ncert_file = 'key'\nkey_file = 'key'\n[x]"
    )
    found = wrong(file, text)
    assert [problem.partition(": ")[0] for problem in found] == ["2", "7", "9", "10"]
    assert "is open to others" in found[2]


def test_without_secrets_nothing_is_read(file: Path) -> None:
    file.write_text("[iotcall]\nauth_code_file = 'none'\nca_file = 'none'\n" + RULE, encoding="utf-8")
    assert load(file, secrets=False, env={"IOTCALL_AUTH_CODE": CODE}).auth_code is None


def test_read_again(tmp_path: Path) -> None:
    """What the running agent does when the file changes, also when it is replaced by rename."""
    path = secret_file(tmp_path / "code", "one")
    settings = IotcallSettings(auth_code_file=str(path))
    assert read_auth_code(settings).reveal() == "one"
    secret_file(tmp_path / "new", "two").rename(path)
    assert read_auth_code(settings).reveal() == "two"
    path.unlink()
    with pytest.raises(SecretError, match="No such file") as caught:
        read_auth_code(settings)
    assert caught.value.hint


def test_it_shows_nowhere(file: Path) -> None:
    secret_file(file.parent / "password", CODE)
    shown = config(file, RULE + BROKER + "password_file = 'password'", IOTCALL_AUTH_CODE=CODE)
    assert shown.auth_code is not None
    assert shown.auth_code.reveal() == CODE
    texts = [repr(shown), str(shown), repr(dataclasses.asdict(shown)), f"{shown.auth_code}", f"{shown.auth_code!r:>50}"]
    texts += [f"{shown.auth_code:>50}", "%s %r" % (shown.auth_code, shown.passwords), str([shown.auth_code])]  # noqa: UP031
    assert not [text for text in texts if CODE in text]
    with pytest.raises(TypeError, match="not written anywhere"):
        pickle.dumps(shown.auth_code)


def test_secrets_compare() -> None:
    """So that a change of the file is seen."""
    assert Secret("a") == Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), copy.copy(Secret("a")), copy.deepcopy(Secret("a"))}) == 1
