"""Reads the file itself: bytes, text, TOML, and the line of every key; what cannot be read is told in plain words."""

import re
import tomllib
from pathlib import Path
from typing import Any, NoReturn

from edge_agent.config.errors import ConfigError, Problem
from edge_agent.config.lines import Path as KeyPath
from edge_agent.config.lines import ScanError, TooDeepError, key_lines
from edge_agent.config.words import clean, key_path

_MAX_BYTES = 4 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"
_PLACE = re.compile(r" \(at (?:line ([0-9]+), column [0-9]+|end of document)\)$")
_KEY = re.compile(r"\((?:'[^']*'(?:, |,)?)+\)")
_PART = re.compile(r"'([^']*)'")
_REMEDIES = (
    ("Unescaped '\\'", "write \\\\ for one backslash, or take single quotes, as in pattern = '\\d+'"),
    ("Invalid value (at end", "close the list with ], the table with }"),
    ("Invalid value", 'texts stand in quotes, as in name = "pump"; true and false are written small'),
    ("Expected '='", "write key = value, or [table]"),
    ("character '\\n'", "close the text with a quote on the same line"),
    ("character", "remove the control character"),
    ("Expected newline", "write one key = value in a line"),
    ("Cannot overwrite a value", "the key is there twice; keep one of them"),
    ("twice", "the table is there twice; put its keys together"),
    ("Invalid statement", "write key = value, or [table]"),
    ("Unclosed array", "close the list with ]"),
    ("Unterminated string", "close the text with the quotes with which it begins"),
    ('Expected "\'"', "close the text with a quote on the same line"),
    ("Expected \"'''\"", "close the text with the quotes with which it begins"),
    ("Expected ']'", "close the header with ]"),
)
"""(what tomllib says, what would be right)"""


def read_document(path: Path) -> tuple[dict[str, Any], dict[KeyPath, int]]:
    """Return a TOML file's content, and the line of each of its keys.

    Raises:
        ConfigError: it cannot be read, or is no TOML.
    """
    text = _decode(path, _read(path))
    scanned = 0
    try:
        lines = key_lines(text)
    except TooDeepError as error:
        _refuse(path, error.line, "is nested too deeply", "no table of the configuration is that deep")
    except ScanError as error:
        lines, scanned = {}, error.line  # tomllib knows better what is wrong, but not always where
    try:
        return tomllib.loads(text), lines
    except tomllib.TOMLDecodeError as error:
        _refuse_toml(path, text, str(error), scanned)
    except (ValueError, RecursionError):  # an integer of thousands of digits; what else tomllib does not expect
        _refuse(path, 1, "holds a value that is too long or too deep", "see the longest lines")


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except IsADirectoryError:
        _refuse(path, 1, "is a folder", "give the path of the file, as in --config config.toml")
    except FileNotFoundError:
        _refuse(path, 1, "there is no such file", "begin with a copy of config.example.toml, or give --config PATH")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        _refuse(path, 1, f"cannot be read: {reason}", "see who may read it, or give --config PATH")
    if len(data) > _MAX_BYTES:
        _refuse(path, 1, f"is longer than {_MAX_BYTES // 1024 // 1024} MB", "give the path of a configuration")
    return data


def _decode(path: Path, data: bytes) -> str:
    if data.startswith(_BOM):
        _refuse(path, 1, "begins with a byte order mark", "save the file as UTF-8 without BOM")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        _refuse(path, line, "is no UTF-8 text", "save the file as UTF-8")


def _refuse_toml(path: Path, text: str, said: str, scanned: int) -> NoReturn:
    place = _PLACE.search(said)
    line = int(place.group(1)) if place and place.group(1) else scanned or text.count("\n") + 1
    message = _KEY.sub(lambda key: key_path(tuple(_PART.findall(key.group()))), _PLACE.sub("", said))
    remedy = next((remedy for words, remedy in _REMEDIES if words in said), "see toml.io for how TOML is written")
    _refuse(path, line, f"is no TOML: {message[:1].lower()}{message[1:]}", remedy)


def _refuse(path: Path, line: int, message: str, hint: str) -> NoReturn:
    raise ConfigError([Problem(clean(str(path)), line, "", clean(message), clean(hint))]) from None
