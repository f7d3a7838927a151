"""Judging complete answers: the contract's table, Retry-After, and what may be shown of foreign text."""

import gzip
import json
import zlib
from datetime import UTC, datetime

import pytest

from edge_agent.iotcall.answer import BODY_LIMIT, judge, parse_date
from edge_agent.iotcall.masking import mask, printable, shorten
from edge_agent.iotcall.outcome import Outcome, Result

KEY = "15XXXXXXXXXX28b89"
CODE = "MFhjT0s2ODIDWA=="
OK = b'{"status": "ok", "message": "done"}'
DATE = "Wed, 21 Oct 2026 07:28:00 GMT"


def judged(status: int, body: bytes = b"", **headers: str) -> Outcome:
    named = {name.replace("_", "-").title(): value for name, value in headers.items()}
    return judge(status, named, body, CODE, KEY)


@pytest.mark.parametrize(
    ("status", "body", "result"),
    [
        (200, OK, Result.PLACED),
        (201, OK, Result.PLACED),
        (200, b'\xef\xbb\xbf{"status": "ok"}', Result.PLACED),
        (200, b'{"status": "error", "message": "no"}', Result.REFUSED),
        (200, b'{"status": "OK"}', Result.REFUSED),
        (200, b'{"status": null}', Result.REFUSED),
        (200, b"{}", Result.REFUSED),
        (200, b"", Result.NOT_IOTCALL),
        (204, b"", Result.NOT_IOTCALL),
        (200, b"  \r\n", Result.NOT_IOTCALL),
        (200, b"[]", Result.NOT_IOTCALL),
        (200, b'"ok"', Result.NOT_IOTCALL),
        (200, b'[{"status": "ok"}]', Result.NOT_IOTCALL),
        (200, b'{"status": "ok"', Result.NOT_IOTCALL),
        (200, b'{"status": "ok", "message": "\xff"}', Result.NOT_IOTCALL),
        (200, b"<html>please sign in</html>", Result.NOT_IOTCALL),
        (200, b"[" * 60000, Result.NOT_IOTCALL),
        (200, b'{"status": "ok", "message": "' + b"x" * BODY_LIMIT + b'"}', Result.NOT_IOTCALL),
        (301, OK, Result.NOT_IOTCALL),
        (302, OK, Result.NOT_IOTCALL),
        (304, OK, Result.NOT_IOTCALL),
        (307, OK, Result.NOT_IOTCALL),
        (103, OK, Result.NOT_IOTCALL),
        (407, OK, Result.NOT_IOTCALL),
        (601, OK, Result.NOT_IOTCALL),
        (401, OK, Result.AUTH),
        (403, b"<html>", Result.AUTH),
        (400, OK, Result.RULE),
        (404, b"", Result.RULE),
        (405, b"", Result.RULE),
        (422, b"", Result.RULE),
        (451, b"", Result.RULE),
        (408, b"", Result.BUSY),
        (425, b"", Result.BUSY),
        (429, b"", Result.BUSY),
        (500, OK, Result.BUSY),
        (502, b"<html>", Result.BUSY),
        (503, b"", Result.BUSY),
        (599, b"", Result.BUSY),
    ],
)
def test_verdict(status: int, body: bytes, result: Result) -> None:
    """Each row of the table of contract §4."""
    assert judged(status, body).result is result


def test_body_at_the_limit_is_read() -> None:
    frame = b'{"status": "ok", "message": ""}'
    body = frame[:-2] + b"x" * (BODY_LIMIT - len(frame)) + frame[-2:]
    assert len(body) == BODY_LIMIT
    assert judged(200, body).result is Result.PLACED


@pytest.mark.parametrize(
    ("coding", "body", "result"),
    [
        ("gzip", gzip.compress(OK), Result.PLACED),
        ("X-GZip", gzip.compress(OK), Result.PLACED),
        ("deflate", zlib.compress(OK), Result.PLACED),
        ("identity", OK, Result.PLACED),
        ("gzip", gzip.compress(OK)[:-12], Result.NOT_IOTCALL),
        ("gzip", gzip.compress(OK)[:-1], Result.NOT_IOTCALL),
        ("gzip", OK, Result.NOT_IOTCALL),
        ("br", OK, Result.NOT_IOTCALL),
        ("gzip", gzip.compress(OK[:-1] + b" " * 10_000_000 + b"}"), Result.NOT_IOTCALL),
    ],
)
def test_compressed(coding: str, body: bytes, result: Result) -> None:
    """Torn, false and exploding compression is not IoTCall's."""
    assert judged(200, body, content_encoding=coding).result is result


def test_content_type_says_nothing() -> None:
    assert judged(200, OK, content_type="text/html").result is Result.PLACED
    assert judged(200, b"<html>", content_type="application/json").result is Result.NOT_IOTCALL


@pytest.mark.parametrize(
    ("text", "date", "seconds"),
    [
        ("7", "", 7.0),
        (" 7 ", "", 7.0),
        ("0", "", None),
        ("-5", "", None),
        ("1.5", "", None),
        ("soon", "", None),
        ("", "", None),
        ("²", "", None),
        ("300", "", 300.0),
        ("301", "", 300.0),
        ("9" * 400, "", 300.0),
        ("Wed, 21 Oct 2026 07:28:30 GMT", DATE, 30.0),
        ("Wed, 21 Oct 2026 16:28:30 +0900", DATE, 30.0),
        ("Wed, 21 Oct 2026 09:28:00 GMT", DATE, 300.0),
        ("Wed, 21 Oct 2026 07:28:00 GMT", DATE, None),
        ("Wed, 21 Oct 2026 07:27:00 GMT", DATE, None),
        ("Wed, 21 Oct 2026 07:28:30 GMT", "", None),
        ("Wed, 21 Oct 2026 07:28:30 GMT", "nonsense", None),
    ],
)
def test_retry_after(text: str, date: str, seconds: float | None) -> None:
    """Seconds, or a date against the answer's own Date; at most 5 minutes; what can't be used is None."""
    for status in (429, 503):
        assert judged(status, retry_after=text, date=date).retry_after_s == seconds


def test_retry_after_is_for_busy_only() -> None:
    assert judged(404, retry_after="7").retry_after_s is None
    assert judged(200, OK, retry_after="7").retry_after_s is None


def test_date_is_kept_where_iotcall_answered() -> None:
    moment = datetime(2026, 10, 21, 7, 28, tzinfo=UTC)
    assert judged(200, OK, date=DATE).date == moment
    assert judged(401, date=DATE).date == moment
    assert judged(302, date=DATE).date is None
    assert judged(200, OK, date="x").date is None


@pytest.mark.parametrize("text", ["", "x", "Wed, 99 Oct 2026 07:28:00 GMT", "0", ",", "Wed, 21 Oct 99999 07:28:00 GMT"])
def test_no_date(text: str) -> None:
    assert parse_date(text) is None


@pytest.mark.parametrize("status", [200, 401, 404, 429, 500])
def test_secrets_do_not_come_back(status: int) -> None:
    """A service that repeats what it was sent puts neither code, key nor number into a message."""
    text = "z" * 130 + f"{CODE} for {KEY}, call +818043391234 or 08043391234"
    body = json.dumps({"status": "error", "message": text}).encode()
    message = judged(status, body).message
    for secret in (CODE, CODE[:8], KEY, "8043391234"):
        assert secret not in message
    assert len(message) <= 200
    assert judged(302, location=f"http://{KEY}.example/{CODE}").message.count(KEY) == 0


def test_service_text_is_cut_and_made_printable() -> None:
    body = json.dumps({"status": "error", "message": "a\x1b[31m\nb\ud800" + "長" * 5000}).encode()
    message = judged(200, body).message
    assert message.isprintable()
    assert len(message) == 200
    assert "a [31m b" in message


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        (KEY, "15XX…8b89"),
        ("+818043391234", "+81…234"),
        ("08043391234", "08…34"),
        ("abcd", "a…d"),
        ("abc", "…"),
        ("", "…"),
    ],
)
def test_shorten(key: str, shown: str) -> None:
    assert shorten(key) == shown


def test_masking_helpers() -> None:
    assert printable("  a \n\t b\x00c ") == "a b c"
    assert mask("code  x", "", "") == "code x"
