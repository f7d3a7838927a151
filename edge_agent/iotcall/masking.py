"""Cutting down what people are shown: keys and phone numbers never whole, the AuthCode never, foreign text short."""

import re

_SHOWN = 4
_TEXT_LIMIT = 200
_NUMBER = re.compile(r"\+?[0-9]{7,}")


def shorten(key: str) -> str:
    """Return a URL key or a phone number as it may be shown: "15XX…8b89"; at most half of it, never more."""
    shown = min(_SHOWN, len(key) // 4)
    return f"{key[:shown]}…{key[-shown:]}" if shown else "…"


def printable(text: str, limit: int = _TEXT_LIMIT) -> str:
    """Return at most `limit` printable characters of what somebody else said, on one line."""
    clean = "".join(letter if letter.isprintable() else " " for letter in text)
    clean = " ".join(clean.split())
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


def mask(text: str, auth_code: str, url_key: str) -> str:
    """Return foreign text fit for a message: without the AuthCode, with keys and numbers shortened, and short."""
    if auth_code:
        text = text.replace(auth_code, "***")
    if url_key:
        text = text.replace(url_key, shorten(url_key))
    return printable(_NUMBER.sub(lambda found: shorten(found.group()), text))
