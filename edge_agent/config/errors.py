"""What is wrong with a configuration: problems with file, line, key and remedy, gathered and raised at once."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from edge_agent.config.lines import Path
from edge_agent.config.words import clean, key_path

LATER = "not supported in this version"


@dataclass(frozen=True, slots=True)
class Problem:
    """One error: `message` tells what is wrong, `hint` what would be right. `key` is "" where it is the whole file.

    Of what was set on the command line, `file` names the option, and `line` is 0.
    """

    file: str
    line: int
    key: str
    message: str
    hint: str

    def __str__(self) -> str:
        """Return `FILE:LINE: KEY.PATH: what is wrong; what would be right`."""
        place = f"{self.file}:{self.line}: " if self.line else f"{self.file}: "
        return place + (f"{self.key}: " if self.key else "") + self.message + (f"; {self.hint}" if self.hint else "")


class ConfigError(Exception):
    """The configuration cannot be used; `problems` holds every reason, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(map(str, self.problems)))


class Problems:
    """Gathers the problems of one file, and gives each its line."""

    def __init__(self, file: str, lines: Mapping[Path, int]) -> None:
        self._file = clean(file)
        self._lines = lines
        self._set: dict[Path, str] = {}
        self._found: dict[Problem, None] = {}

    def add(self, path: Path, message: str, hint: str = "") -> None:
        """Add what is wrong at a key; one that is not in the file has the line of the table that misses it."""
        at = path
        while at and at not in self._lines and at not in self._set:
            at = at[:-1]
        given = self._set.get(at) or next(
            (text for key, text in self._set.items() if path and key[: len(path)] == path), ""
        )
        if given:
            self._found[Problem(given, 0, key_path(path), clean(message), clean(hint))] = None
            return
        self.add_at(self._lines.get(at, 1), message, hint, key=key_path(path))

    def add_at(self, line: int, message: str, hint: str = "", *, key: str = "") -> None:
        """Add what is wrong in a line."""
        self._found[Problem(self._file, line, key, clean(message), clean(hint))] = None

    def set_by(self, path: Path, text: str) -> None:
        """Take note that a key was set on the command line, by this text: errors in it, or around it, name that."""
        self._set[path] = clean(text)

    def add_later(self, path: Path, hint: str = "remove it") -> None:
        """Add a key, or its value, that a later version will know."""
        self.add(path, LATER, hint)

    def error(self) -> ConfigError:
        """Return the error to raise."""
        return ConfigError(sorted(self._found, key=lambda problem: problem.line))

    def __bool__(self) -> bool:
        return bool(self._found)
