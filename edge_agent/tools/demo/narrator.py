"""The demo's voice: lines with their time, findings, and the table at the end; coloured on a terminal only."""

import os
import shutil
import time
from collections.abc import Iterable, Sequence
from typing import TextIO

_BOLD, _DIM, _RED, _GREEN = "1", "2", "31", "32"
_INDENT = "   "


class Narrator:
    """Writes to a stream; each line at once."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._began = time.monotonic()
        on_terminal = out.isatty()
        self._colours = on_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self._width = shutil.get_terminal_size().columns if on_terminal else None

    @property
    def elapsed_s(self) -> float:
        """Return the seconds since the beginning."""
        return time.monotonic() - self._began

    def title(self, text: str) -> None:
        """Begin a part."""
        self._print(f"\n{self._paint(text, _BOLD)}")

    def plain(self, *lines: str) -> None:
        """Say something that has no time."""
        for line in lines:
            self._print(line)

    def say(self, text: str) -> None:
        """Say what happens now."""
        self._print(f"{self._time()}{text}")

    def quote(self, lines: Iterable[str]) -> None:
        """Show lines of somebody else's; on a terminal cut at its edge."""
        for line in lines:
            room = None if self._width is None else max(self._width - len(_INDENT) - 2, 20)
            shown = line if room is None or len(line) <= room else f"{line[: room - 1]}…"
            self._print(f"{_INDENT}{self._paint('| ' + shown, _DIM)}")

    def check(self, holds: object, text: str) -> None:
        """Say whether something is as it was told."""
        word = self._paint("ok", _GREEN) if holds else self._paint("NOT SO", _RED)
        self._print(f"{self._time()}{word}: {text}")

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table; its last column is "yes" or "NO"."""
        widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
        for number, row in enumerate((header, *rows)):
            *cells, last = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            colour = _BOLD if not number else _RED if last.strip() == "NO" else _GREEN
            self._print("  " + "  ".join([*cells, self._paint(last.rstrip(), colour)]).rstrip())

    def _time(self) -> str:
        return self._paint(f"{self.elapsed_s:6.1f} s", _DIM) + "  "

    def _paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colours else text

    def _print(self, line: str) -> None:
        print(line, file=self._out, flush=True)
