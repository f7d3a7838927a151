"""Plain words for people: names of keys and values, near misses, and what a model has to say about a table."""

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from edge_agent.config.lines import Path

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_MAX_SHOWN = 80
_MAX_TEXT = 500
_NEAR = 0.65


def clean(text: str) -> str:
    """Return a text that fits into one line of a terminal: control characters are escaped, the end is cut."""
    if len(text) > _MAX_TEXT:
        text = text[: _MAX_TEXT - 1] + "…"
    if text.isprintable():
        return text  # nearly all are
    return "".join(c if c.isprintable() or c == "\u3000" else c.encode("unicode_escape").decode("ascii") for c in text)


def key_path(path: Path) -> str:
    """Return a path as people write it: `alarms.freezer-warm.above`, `test_calls[0].rule`, `sources."a b".pin`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
            continue
        text += ("." if text else "") + (part if _BARE_KEY.fullmatch(part) else quote(part))
    return text


def quote(value: object) -> str:
    """Return a value as it is written in TOML, cut where it is long."""
    if isinstance(value, str):
        return json.dumps(value if len(value) <= _MAX_SHOWN else value[:_MAX_SHOWN] + "…", ensure_ascii=False)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(quote, value)) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {quote(item)}" for key, item in value.items()) + " }"
    return str(value)


def either(words: Iterable[str]) -> str:
    """Return "a, b or c"."""
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


def near_miss(word: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate that was most likely meant, or None."""
    by_form = {_form(candidate): candidate for candidate in candidates}
    found = difflib.get_close_matches(_form(word), by_form, n=1, cutoff=_NEAR)
    return by_form[found[0]] if found else None


def did_you_mean(word: str, candidates: Iterable[str], otherwise: str = "") -> str:
    """Return the hint for an unknown word: `did you mean "above"?`, or `otherwise`."""
    near = near_miss(word, candidates)
    return f"did you mean {quote(near)}?" if near is not None else otherwise


def choose(word: str, known: Iterable[str], table: str) -> str:
    """Return the hint for a name that there is not: the one that was meant, all that there are, or how to add one."""
    known = list(known)
    return did_you_mean(word, known, f"there is {either(map(quote, known))}" if known else f"add a table {table}")


def _form(word: str) -> str:
    return word[:_MAX_SHOWN].lower().replace("-", "_")


def kind(value: object) -> str:
    """Return what a value is, in words."""
    if isinstance(value, bool):
        return "true or false"
    for types, word in (((int, float), "a number"), (str, "a text"), (list, "a list"), (dict, "a table")):
        if isinstance(value, types):
            return word
    return "a date or time"


EXPECTED = {
    "string_type": "a text in quotes",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "date_type": "a date",
}
"""What must stand there, by the type of pydantic's error."""

_LIMITS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}
_CHOICES = ("literal_error", "enum")
_QUOTED = re.compile(r"'((?:[^'\\]|\\.)*)'")


def expected(error: Mapping[str, Any]) -> str | None:
    """Return what kind of value an error asks for; None where the kind was right and something else is wrong."""
    if error["type"] in _CHOICES:
        choices: str = error["ctx"]["expected"]
        return _QUOTED.sub(r'"\1"', choices).replace("True", "true").replace("False", "false")
    return EXPECTED.get(error["type"])


def explain(errors: list[Mapping[str, Any]], value: object, example: str) -> list[tuple[str, str]]:
    """Return (what is wrong, what would be right) for what pydantic says about one key.

    Several errors of one key are the branches of an "either … or …". `example` is a line with a right value, or "".
    """
    special = [error for error in errors if expected(error) is None]
    if not special:
        right = either(dict.fromkeys(filter(None, map(expected, errors))))
        hint = f"must be {right}" + (f", for example {example}" if example and errors[0]["type"] in EXPECTED else "")
        if isinstance(value, bool) and right in ("true", "false"):
            return [(f"{quote(value)} is not possible", hint)]
        if isinstance(value, str) and any(error["type"] in _CHOICES for error in errors):
            near = did_you_mean(value, _choices(errors))
            return [(f"{quote(value)} is not possible", hint + (f"; {near}" if near else ""))]
        return [(f"is {kind(value)}", hint)]
    return [words for error in special for words in _explain_one(error, value, example)]


def _choices(errors: list[Mapping[str, Any]]) -> list[str]:
    return [word for error in errors if error["type"] in _CHOICES for word in _QUOTED.findall(error["ctx"]["expected"])]


def _explain_one(error: Mapping[str, Any], value: object, example: str) -> list[tuple[str, str]]:
    name, context = error["type"], error.get("ctx", {})
    like = f"write it like {example}" if example else ""
    if name == "value_error":
        said = [split(line) for line in str(context["error"]).split("\n")]
        return [(message, hint or like) for message, hint in said]
    if name in _LIMITS:
        limit, words = _LIMITS[name]
        return [(f"{quote(value)} is out of range", f"must be {words} {context[limit]}")]
    if name == "missing":
        if isinstance(value, list):
            return [("has too few values", like)]
        return [("is missing", f"add {example or '{} = …'.format(error['loc'][-1])}")]
    if name == "string_pattern_mismatch":
        return [pattern_words(context["pattern"], value)]
    if name == "too_short" and not value:
        return [("is empty", like or f"at least {context['min_length']} are needed")]
    if name in ("too_short", "string_too_short"):
        return [("is too short", like or f"at least {context['min_length']} are needed")]
    if name in ("too_long", "string_too_long"):
        return [("is too long", f"at most {context['max_length']}")]
    if name == "finite_number":
        return [("is no finite number", like)]
    return [(error["msg"].replace("Input should be", "must be"), like)]


def pattern_words(pattern: str, value: object) -> tuple[str, str]:
    """Return what a text of the wrong form should have been. URL keys are never repeated."""
    from edge_agent.core.fields import NAME_PATTERN  # noqa: PLC0415 - pydantic comes with it, and errors are rare
    from edge_agent.iotcall.settings import URL_KEY_PATTERN  # noqa: PLC0415

    if pattern == NAME_PATTERN:
        return name_words(str(value))
    if pattern == URL_KEY_PATTERN:
        return "is no URL key", "only letters, digits, - and _; it is the last part of …/mc/KEY in the console"
    return "has the wrong form", f"must match {pattern}"


def name_words(name: str) -> tuple[str, str]:
    """Return what is wrong with a local name."""
    return f"{quote(name)} is no name", "use letters, digits, - and _, beginning with a letter or _, at most 64"


def split(text: str) -> tuple[str, str]:
    """Return (what is wrong, what would be right) of a message that holds both."""
    message, _, hint = text.partition("; ")
    return message, hint
