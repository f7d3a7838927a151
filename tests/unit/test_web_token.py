"""The token's file."""

import os
import stat
from pathlib import Path

import pytest

from edge_agent.web.token import load_token


def test_it_is_made_once_and_then_read(tmp_path: Path) -> None:
    """One line of text, 0640 whatever the umask, nothing else left beside it."""
    before = os.umask(0)
    try:
        token = load_token(tmp_path)
    finally:
        os.umask(before)
    assert len(token) >= 40
    assert (tmp_path / "web-token").read_text() == f"{token}\n"
    assert stat.S_IMODE((tmp_path / "web-token").stat().st_mode) == 0o640
    assert load_token(tmp_path) == token
    assert [path.name for path in tmp_path.iterdir()] == ["web-token"]


def test_a_token_that_was_put_there_is_used(tmp_path: Path) -> None:
    """White space around it does not count; a file that others can read is closed to them."""
    (tmp_path / "web-token").write_text(" my-own-token \r\n")
    (tmp_path / "web-token").chmod(0o644)
    assert load_token(tmp_path) == "my-own-token"
    assert stat.S_IMODE((tmp_path / "web-token").stat().st_mode) == 0o640


@pytest.mark.parametrize("content", [b"", b"\n", b"   \n", b"\xff\xfe\n", b"two words\n", b"a\x00b\n"])
def test_what_can_be_no_token_is_replaced(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "web-token").write_bytes(content)
    token = load_token(tmp_path)
    assert len(token) >= 40
    assert load_token(tmp_path) == token


def test_without_a_disk_it_lives_in_memory(tmp_path: Path) -> None:
    """Each is a new one: the caller asks once."""
    missing = tmp_path / "not-there"
    assert len(load_token(missing)) >= 40
    assert load_token(missing) != load_token(missing)
    assert not missing.exists()


def test_on_a_full_disk_it_lives_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No half-written file stays that would be read as the token later."""

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert len(load_token(tmp_path)) >= 40
    assert list(tmp_path.iterdir()) == []
