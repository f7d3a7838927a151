"""Decoding that the source types share: words for booleans, JSON and its paths, bare text. It never raises on input."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from edge_agent.core.reading import Value, number, parse_value

MAX_TEXT = 65536
"""Characters of the longest text that can be a point's value."""

_TRUE = ("true", "on", "yes", "1")
_FALSE = ("false", "off", "no", "0")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")
_SHOWN = 40

Path = Callable[[Any], Any]
"""Find a value in a JSON document; None where there is none."""


@dataclass(frozen=True, slots=True)
class Bad:
    """What could not be used, and why, for people."""

    reason: str


Decoded = Value | Bad
Fields = list[tuple[str, Decoded]]


def shown(text: str | bytes) -> str:
    """Return the beginning of what a sensor said, safe to be shown in one line."""
    return repr(text[:_SHOWN]) + ("…" if len(text) > _SHOWN else "")


def words(true_values: Sequence[str], false_values: Sequence[str]) -> dict[str, bool]:
    """Return the configured words, in lower case, each with what it means."""
    return {word.lower(): True for word in true_values} | {word.lower(): False for word in false_values}


def boolean_words(configured: dict[str, bool]) -> dict[str, bool]:
    """Return the words of the format "boolean": the defaults of a list that is not configured stay."""
    found = {"true": True, "false": False}
    if True not in configured.values():
        found |= dict.fromkeys(_TRUE, True)
    if False not in configured.values():
        found |= dict.fromkeys(_FALSE, False)
    return found | configured


def typed(value: object, configured: dict[str, bool]) -> Decoded:
    """Return what a JSON value is as a reading: strings stay text unless they are among the configured words."""
    kind = type(value)
    if kind is float:
        return value if value - value == 0.0 else Bad("not a finite number")  # type: ignore[operator,return-value]
    if kind is bool:
        return value  # type: ignore[return-value]
    if kind is str:
        return _text(value, configured)  # type: ignore[arg-type]
    if kind is int:
        usable = number(value)
        return Bad("a number that is too large") if usable is None else usable
    if value is None:
        return Bad("no value there")
    return Bad(f"a JSON {'object' if kind is dict else 'array'}, where a value is needed")


def bare(text: str, configured: dict[str, bool]) -> Decoded:
    """Return what a bare text is: a configured word, true or false, a decimal number, else text."""
    if configured:
        word = configured.get(text.strip().lower())
        if word is not None:
            return word
    value = parse_value(text)
    if value is None:
        return Bad("empty" if not text.strip() else f"not a finite number: {shown(text)}")
    return Bad("a text that is too long") if isinstance(value, str) and len(value) > MAX_TEXT else value


def _text(text: str, configured: dict[str, bool]) -> Decoded:
    if configured:
        word = configured.get(text.strip().lower())
        if word is not None:
            return word
    return text if len(text) <= MAX_TEXT else Bad("a text that is too long")


def load_json(text: str) -> Any:
    """Return the document, or Bad: too deep, or no JSON."""
    try:
        return json.loads(text)
    except RecursionError:
        return Bad("JSON nested too deep")
    except ValueError:
        return Bad(f"not JSON: {shown(text)}" if text.strip() else "empty")


def path(expression: str) -> Path:
    """Return a JMESPath expression compiled; plain dotted identifiers take a short way with the same results.

    Raises:
        ValueError: with what is wrong with it.
    """
    if _IDENTIFIER.fullmatch(expression):
        return _dotted(tuple(expression.split(".")))
    import jmespath.exceptions  # noqa: PLC0415 - only where a path is more than dotted names: start-up counts

    try:
        compiled = jmespath.compile(expression)
    except (jmespath.exceptions.JMESPathError, ValueError) as error:
        raise ValueError(f"is no JMESPath expression: {' '.join(str(error).split())}") from None
    failures = (jmespath.exceptions.JMESPathError, ArithmeticError, LookupError, RecursionError, TypeError, ValueError)

    def search(document: Any) -> Any:
        try:
            return compiled.search(document)
        except failures as error:  # a function that met a wrong type, an expression too deep for this document
            return Bad(f"the path fails on it: {' '.join(str(error).split())[:100]}")

    return search


def _dotted(keys: tuple[str, ...]) -> Path:
    if len(keys) == 1:
        (only,) = keys
        return lambda document: document.get(only) if type(document) is dict else None

    def search(document: Any) -> Any:
        for key in keys:
            if type(document) is not dict:
                return None
            document = document.get(key)
        return document

    return search


def select(paths: Sequence[tuple[str, Path]], document: Any, configured: dict[str, bool]) -> Fields | Bad:
    """Return each field that the document has (null counts as missing); Bad if it has none of them."""
    found: Fields = []
    for field, search in paths:
        value = search(document)
        if value is not None:
            found.append((field, value if type(value) is Bad else typed(value, configured)))
    return found or Bad("none of the fields is there")


def _path(value: object) -> object:
    if isinstance(value, str):
        path(value)
    return value


def _word(value: object) -> object:
    if isinstance(value, str) and not value.strip():
        raise ValueError("holds an empty word; remove it")
    return value.strip() if isinstance(value, str) else value


JmesPath = Annotated[str, BeforeValidator(_path)]
WordList = Annotated[tuple[Annotated[str, BeforeValidator(_word)], ...], Field(strict=False)]


def check_words(true_values: Sequence[str], false_values: Sequence[str]) -> None:
    """Refuse a word that stands in both lists.

    Raises:
        ValueError: naming the word.
    """
    both = {word.lower() for word in true_values} & {word.lower() for word in false_values}
    if both:
        raise ValueError(f"true_values and false_values both hold {min(both)!r}; leave it in one of them")
