"""A scanner that finds the line of every key of a TOML file. No TOML library tells lines; tomllib does the rest."""

import re
import tomllib

Path = tuple[str | int, ...]
"""Where a value stands: keys, and indexes of arrays."""

_MAX_DEPTH = 32
_BLANK = re.compile(r"[ \t]*")
_GAP = re.compile(r"(?:[ \t\n]+|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BASIC = re.compile(r'"(?:[^"\\\n]+|\\.)*+"')
_LITERAL = re.compile(r"'[^'\n]*'")
_VALUE = re.compile(
    r'"""(?:[^"\\]+|\\.|"{1,2}(?!"))*+"{3,5}'
    r"|'''(?:[^']+|'{1,2}(?!'))*+'{3,5}"
    r'|"(?:[^"\\\n]+|\\.)*+"'
    r"|'[^'\n]*'"
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2}[ ][0-9]{2}:[^\s,\]}#]*"
    r"|[^\s,\]}#\"'][^\s,\]}#]*",
    re.DOTALL,
)


def key_lines(text: str) -> dict[Path, int]:
    """Return the line, counted from 1, of each key, table and array element of a text that tomllib accepts.

    A table's line is that of its header, or of the first key that implies it; an array of tables has the line of
    its first header.

    Raises:
        TooDeepError: before the depth can become a burden, here or to tomllib.
        ScanError: where the text is no TOML after all.
    """
    return _Scanner(text.replace("\r\n", "\n")).scan()


class ScanError(ValueError):
    """What cannot be TOML; `line` is where the scanner stood."""

    def __init__(self, line: int) -> None:
        super().__init__(f"cannot read line {line}")
        self.line = line


class TooDeepError(ScanError):
    """Tables or lists within each other, further than any configuration needs."""


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._line_at = 0
        self._lines: dict[Path, int] = {}
        self._tables: dict[Path, int] = {}
        """{array of tables: index of its latest element}"""

    def scan(self) -> dict[Path, int]:
        table: Path = ()
        self._skip(_GAP)
        while self._at < len(self._text):
            if self._peek("[["):
                table = self._array_header()
            elif self._peek("["):
                table = self._header()
            else:
                self._pair(table)
            self._skip(_GAP)
        return self._lines

    def _header(self) -> Path:
        line = self._current_line()
        self._expect("[")
        table = self._absolute(self._key(), line)
        self._expect("]")
        self._lines[table] = line
        return table

    def _array_header(self) -> Path:
        line = self._current_line()
        self._expect("[[")
        array = self._absolute(self._key(), line)
        self._expect("]]")
        index = self._tables.get(array, -1) + 1
        self._tables[array] = index
        self._lines.setdefault(array, line)
        element = (*array, index)
        self._lines[element] = line
        return element

    def _absolute(self, key: list[str], line: int) -> Path:
        """Return a header's path: below an array of tables it means the array's latest element."""
        path: Path = ()
        for part in key[:-1]:
            path = (*path, part)
            self._lines.setdefault(path, line)
            if path in self._tables:
                path = (*path, self._tables[path])
        return (*path, key[-1])

    def _pair(self, table: Path) -> None:
        line = self._current_line()
        path = table
        for part in self._key():
            path = (*path, part)
            self._lines.setdefault(path, line)
        self._expect("=")
        self._skip(_BLANK)
        self._value(path)

    def _value(self, path: Path) -> None:
        if len(path) > _MAX_DEPTH:
            raise TooDeepError(self._current_line())
        if self._peek("["):
            self._array(path)
        elif self._peek("{"):
            self._inline_table(path)
        else:
            self._take(_VALUE)

    def _array(self, path: Path) -> None:
        line = self._current_line()
        self._expect("[")
        self._skip(_GAP)
        index = 0
        while not self._peek("]"):
            if self._at == len(self._text):
                raise ScanError(line)
            element = (*path, index)
            self._lines[element] = self._current_line()
            self._value(element)
            index += 1
            self._skip(_GAP)
            if self._peek(","):
                self._expect(",")
                self._skip(_GAP)
        self._expect("]")

    def _inline_table(self, path: Path) -> None:
        self._expect("{")
        self._skip(_BLANK)
        while not self._peek("}"):
            self._pair(path)
            self._skip(_BLANK)
            if self._peek(","):
                self._expect(",")
                self._skip(_BLANK)
        self._expect("}")

    def _key(self) -> list[str]:
        """Take a dotted key, and the white space around it."""
        parts = [self._key_part()]
        while self._peek("."):
            self._expect(".")
            parts.append(self._key_part())
            if len(parts) > _MAX_DEPTH:
                raise TooDeepError(self._current_line())
        return parts

    def _key_part(self) -> str:
        self._skip(_BLANK)
        if self._peek('"'):
            token = self._take(_BASIC)
            part = str(tomllib.loads(f"key = {token}")["key"]) if "\\" in token else token[1:-1]
        elif self._peek("'"):
            part = self._take(_LITERAL)[1:-1]
        else:
            part = self._take(_BARE_KEY)
        self._skip(_BLANK)
        return part

    def _peek(self, token: str) -> bool:
        return self._text.startswith(token, self._at)

    def _expect(self, token: str) -> None:
        if not self._peek(token):
            raise ScanError(self._current_line())
        self._at += len(token)

    def _take(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        if found is None:
            raise ScanError(self._current_line())
        self._at = found.end()
        return found.group()

    def _skip(self, pattern: re.Pattern[str]) -> None:
        self._take(pattern)

    def _current_line(self) -> int:
        self._line += self._text.count("\n", self._line_at, self._at)
        self._line_at = self._at
        return self._line
