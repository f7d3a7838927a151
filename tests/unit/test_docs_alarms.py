"""The page on alarms is what `simulate` prints: it cannot go stale."""

import pytest

from tests.docs_alarms import FOLDER, PAGE, ROOT, examples, written


def test_the_page_shows_what_simulate_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m tests.docs_alarms` brings it up to date; look at what has changed before you commit it."""
    monkeypatch.chdir(ROOT)
    page = PAGE.read_text(encoding="utf-8")
    assert written(page) == page


def test_every_example_is_on_the_page() -> None:
    """No file lies beside the page that nobody sees."""
    assert sorted(examples()) == sorted(path.stem for path in FOLDER.glob("*.toml"))
    assert {path.stem for path in FOLDER.glob("*.csv")} == {path.stem for path in FOLDER.glob("*.toml")}
