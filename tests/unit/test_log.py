"""The daemon's log lines: for journald with a level and without the time, for people the other way round."""

import io
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest

from edge_agent.cli.run import start_log


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("edge_agent")
    before, levels = root.handlers[:], (root.level, ours.level)
    yield
    root.handlers[:] = before
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


def _logged(stderr: TextIO, monkeypatch: pytest.MonkeyPatch, journal: str | None) -> None:
    """Log a few lines as a daemon with this stderr and this JOURNAL_STREAM."""
    monkeypatch.setattr("sys.stderr", stderr)
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    if journal is not None:
        monkeypatch.setenv("JOURNAL_STREAM", journal)
    start_log("info")
    logger = logging.getLogger("edge_agent.test")
    logger.debug("too much")
    logger.info("event=ready")
    logger.warning("event=raised")
    logger.error("two\nlines \u3000 of %s", "a\x1b[2Jtopic")
    try:
        int("a bug")
    except ValueError:
        logger.exception("event=broke")


def test_journald_gets_a_level_for_each_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "stderr"
    with path.open("w", encoding="utf-8") as stderr:
        status = path.stat()
        _logged(stderr, monkeypatch, f"{status.st_dev}:{status.st_ino}")
    lines = path.read_text().splitlines()
    assert lines[:4] == [
        "<6>event=ready",
        "<4>event=raised",
        "<3>two\\nlines \u3000 of a\\x1b[2Jtopic",
        "<3>event=broke",
    ]
    assert lines[-1].startswith("<3>ValueError: ")
    assert all(line.startswith("<3>") for line in lines[3:])


@pytest.mark.parametrize("inherited", [None, "8:1"])
def test_people_get_the_time_also_in_a_terminal_that_journald_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inherited: str | None
) -> None:
    """A desktop's terminal inherits JOURNAL_STREAM, though its stderr is not the journal."""
    path = tmp_path / "stderr"
    with path.open("w", encoding="utf-8") as stderr:
        _logged(stderr, monkeypatch, inherited)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\S+[+-]\d{4} INFO    event=ready", path.read_text().splitlines()[0])


def test_a_stderr_that_is_no_file_is_no_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = io.StringIO()
    _logged(stderr, monkeypatch, "8:1")
    assert " INFO " in stderr.getvalue()
