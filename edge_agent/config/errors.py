"""What is wrong with a configuration: problems with file, line, key and remedy, gathered and raised at once."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from edge_agent.config.lines import Path
from edge_agent.config.words import clean, key_path

LATER = "not supported in this version"


@dataclass(frozen=True, slots=True)
class Problem:
    """One error: `message` tells what is wrong, `hint` what would be right. `key` is "" where it is the whole file."""

    file: str
    line: int
    key: str
    message: str
    hint: str

    def __str__(self) -> str:
        """Return `FILE:LINE: KEY.PATH: what is wrong; what would be right`."""
        place = f"{self.file}:{self.line}: "
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
        self._found: dict[Problem, None] = {}

    def add(self, path: Path, message: str, hint: str = "") -> None:
        """Add what is wrong at a key; one that is not in the file has the line of the table that misses it."""
        at = path
        while at and at not in self._lines:
            at = at[:-1]
        self.add_at(self._lines.get(at, 1), message, hint, key=key_path(path))

    def add_at(self, line: int, message: str, hint: str = "", *, key: str = "") -> None:
        """Add what is wrong in a line."""
        self._found[Problem(self._file, line, key, clean(message), clean(hint))] = None

    def add_later(self, path: Path, hint: str = "remove it") -> None:
        """Add a key, or its value, that a later version will know."""
        self.add(path, LATER, hint)

    def error(self) -> ConfigError:
        """Return the error to raise."""
        return ConfigError(sorted(self._found, key=lambda problem: problem.line))

    def __bool__(self) -> bool:
        return bool(self._found)
