"""Judging a complete answer to `POST …/call`: pure functions from status, headers and body to an Outcome."""

import json
import re
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from edge_agent.iotcall.masking import mask
from edge_agent.iotcall.outcome import Outcome, Result

BODY_LIMIT = 64 * 1024
"""Bytes of an answer that are read at most, after decompression."""
RETRY_AFTER_LIMIT_S = 300.0

_OK = range(200, 300)
_REDIRECTS = range(300, 400)
_CLIENT_ERRORS = range(400, 500)
_SERVER_ERRORS = range(500, 600)
_PROXY_LOGIN = 407
_AUTH = (401, 403)
_BUSY = (408, 425, 429)
_SECONDS = re.compile(r"[0-9]+")


class NotUnderstoodError(ValueError):
    """A complete body that is not what IoTCall answers; the text says why."""


def judge(status: int, headers: Mapping[str, str], body: bytes, auth_code: str, url_key: str) -> Outcome:
    """Return what a complete answer means. The body decides under 2xx, whatever Content-Type says."""
    result, words = _verdict(status, headers, body)  # words are as long and as telling as the service's until masked
    date = parse_date(headers.get("Date", "")) if result.reached else None
    retry_after_s = _retry_after(headers) if result is Result.BUSY else None
    return Outcome(result, mask(words, auth_code, url_key), retry_after_s, date)


def _verdict(status: int, headers: Mapping[str, str], body: bytes) -> tuple[Result, str]:
    if status in _OK:
        return _verdict_by_body(status, headers, body)
    said = _said(headers, body)
    if status in _AUTH:
        return Result.AUTH, f"IoTCall refuses the AuthCode (HTTP {status}){said}"
    if status in _BUSY or status in _SERVER_ERRORS:
        return Result.BUSY, f"IoTCall is busy or in trouble (HTTP {status}){said}"
    if status == _PROXY_LOGIN:
        return Result.NOT_IOTCALL, "a proxy wants a password (HTTP 407)"
    if status in _CLIENT_ERRORS:
        return Result.RULE, f"IoTCall does not take this rule (HTTP {status}); check its url_key{said}"
    if status in _REDIRECTS:
        return Result.NOT_IOTCALL, f"not IoTCall: sent elsewhere (HTTP {status}){_elsewhere(headers)}, not followed"
    return Result.NOT_IOTCALL, f"not IoTCall: HTTP {status} is no answer of it"


def _verdict_by_body(status: int, headers: Mapping[str, str], body: bytes) -> tuple[Result, str]:
    try:
        answer = read_object(headers, body)
    except NotUnderstoodError as exc:
        return Result.NOT_IOTCALL, f"not IoTCall (a captive portal?): HTTP {status}, {exc}"
    message = _message(answer)
    if answer.get("status") == "ok":
        return Result.PLACED, f"placed{message}"
    if "status" not in answer:
        return Result.REFUSED, f"refused: the answer has no status{message}"
    return Result.REFUSED, f'refused: status "{answer["status"]}"{message}'


def read_object(headers: Mapping[str, str], body: bytes) -> dict[str, object]:
    """Return the JSON object of a body, decompressed; NotUnderstoodError where it is none."""
    plain = _decompress(headers.get("Content-Encoding", ""), body)
    if len(plain) > BODY_LIMIT:
        raise NotUnderstoodError(f"a body of more than {BODY_LIMIT // 1024} KB")
    if not plain.strip():
        raise NotUnderstoodError("an empty body")
    try:
        value = json.loads(plain.decode("utf-8-sig"))
    except (ValueError, RecursionError):  # bad UTF-8 is a ValueError; "[[[[…" recurses
        raise NotUnderstoodError("a body that is no JSON") from None
    if not isinstance(value, dict):
        raise NotUnderstoodError("a body that is no JSON object")
    return value


def _decompress(coding: str, body: bytes) -> bytes:
    coding = coding.strip().lower()
    if coding in ("", "identity"):
        return body
    if coding not in ("gzip", "x-gzip", "deflate"):
        raise NotUnderstoodError("a body in an encoding that was not asked for")
    inflater = zlib.decompressobj(zlib.MAX_WBITS | 32)  # gzip or zlib, by its first bytes
    try:
        plain = inflater.decompress(body, BODY_LIMIT + 1)
    except zlib.error:
        raise NotUnderstoodError("a body that cannot be decompressed") from None
    if not inflater.eof and len(plain) <= BODY_LIMIT:
        raise NotUnderstoodError("a torn compressed body")
    return plain


def _message(answer: Mapping[str, object]) -> str:
    message = answer.get("message")
    return f": {message}" if isinstance(message, str) and message.strip() else ""


def _said(headers: Mapping[str, str], body: bytes) -> str:
    try:
        return _message(read_object(headers, body))
    except NotUnderstoodError:
        return ""


def _elsewhere(headers: Mapping[str, str]) -> str:
    try:
        host = urlsplit(headers.get("Location", "")).hostname
    except ValueError:
        host = None
    return f" to {host}" if host else ""


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that Retry-After asks for; a date counts from the answer's own Date, not from our clock."""
    text = headers.get("Retry-After", "").strip()
    if _SECONDS.fullmatch(text):
        seconds = float(text)
    else:
        until, answered = parse_date(text), parse_date(headers.get("Date", ""))
        seconds = (until - answered).total_seconds() if until and answered else 0.0
    return min(seconds, RETRY_AFTER_LIMIT_S) if seconds > 0 else None


def parse_date(text: str) -> datetime | None:
    """Return an HTTP date as an aware datetime in UTC; None where it is none."""
    try:
        date = parsedate_to_datetime(text)
        return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
