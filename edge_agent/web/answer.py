"""Bodies and headers of answers: JSON, errors, ETags. Nothing here knows routes or the agent."""

import json
from hashlib import blake2b
from http import HTTPStatus
from typing import Any

JSON = "application/json"
NO_STORE = ("Cache-Control", "no-store")

HARDENING = (
    ("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
)
"""Headers of every answer, errors included."""

Headers = list[tuple[str, str]]


def to_json(value: Any) -> bytes:
    """Return compact JSON, all ASCII: text from sensors may hold what no encoding takes."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii")


def status_line(status: int) -> str:
    """Return `404 Not Found`."""
    return f"{status} {HTTPStatus(status).phrase}"


def error(status: int, message: str) -> tuple[str, Headers, bytes]:
    """Return (status line, headers, body) of an error answer."""
    body = to_json({"error": message})
    headers = [("Content-Type", JSON), ("Content-Length", str(len(body))), NO_STORE, *HARDENING]
    return status_line(status), headers, body


def etag_of(body: bytes) -> str:
    """Return the weak ETag of a body."""
    return f'W/"{blake2b(body, digest_size=12).hexdigest()}"'


def matches(if_none_match: str, etag: str) -> bool:
    """Return whether an If-None-Match header names `etag`, compared weakly (RFC 9110, 13.1.2)."""
    named = [entry.strip().removeprefix("W/") for entry in if_none_match.split(",")]
    return "*" in named or etag.removeprefix("W/") in named
