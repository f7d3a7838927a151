"""The routes of the JSON API, /healthz and /metrics: they read the view, and pass people's commands on to it."""

import functools
import json
import re
from collections.abc import Callable
from threading import BoundedSemaphore
from typing import Any

import bottle

import edge_agent
from edge_agent.core.reading import Value, number
from edge_agent.web.answer import JSON, etag_of, matches, to_json
from edge_agent.web.view import Refused, View

_NUMBER = re.compile(r"[0-9]{1,18}")
_ROW = "<row:re:[0-9]{1,18}>"
_ALARM = "/api/v1/alarms/<alarm:re:[A-Za-z0-9_-]{1,64}>"
_EVENTS = 100
_MAX_EVENTS = 1000
_CALLS_AT_ONCE = 2


def api(view: View) -> Any:
    """Return the WSGI application that serves `view`. It raises what is not foreseen."""
    routes = bottle.Bottle()
    routes.config["catchall"] = False
    routes.default_error_handler = _error
    reads, commands = _Reads(view), _Commands(view)
    for path, read in (
        ("/healthz", reads.health),
        ("/metrics", reads.metrics),
        ("/api/v1/status", reads.status),
        ("/api/v1/alarms", reads.alarms),
        ("/api/v1/outbox", reads.outbox),
        ("/api/v1/events", reads.events),
        ("/api/v1/owed", reads.owed),
        ("/api/v1/chatter", reads.chatter),
        (f"{_ALARM}/explain", reads.explain),
        ("/api/v1/readings", reads.readings),
    ):
        routes.route(path, "GET", _answered(read))
    for path, command in (
        ("/api/v1/inject", commands.inject),
        ("/api/v1/call", commands.call),
        (f"{_ALARM}/ack", commands.acknowledge),
        (f"{_ALARM}/shelve", commands.shelve),
        (f"{_ALARM}/unshelve", commands.unshelve),
        ("/api/v1/reload", commands.reload),
        (f"/api/v1/outbox/{_ROW}/retry", commands.retry),
        (f"/api/v1/outbox/{_ROW}/cancel", commands.cancel),
    ):
        routes.route(path, "POST", _answered(command))
    return routes


class _Reads:
    """What can be asked."""

    def __init__(self, view: View) -> None:
        self._view = view

    def health(self) -> Any:
        silent = self._view.unhealthy()
        if not silent:
            return {"ok": True}
        body = {"ok": False, "error": f"no beat from: {', '.join(silent)}", "silent": silent}
        return bottle.HTTPResponse(to_json(body), 503, {"Content-Type": JSON})

    def metrics(self) -> Any:
        from edge_agent.web.metrics import CONTENT_TYPE, exposition  # noqa: PLC0415 - 80 ms that only scrapers need

        text = exposition(self._view.counters(), edge_agent.__version__)
        return bottle.HTTPResponse(text, 200, {"Content-Type": CONTENT_TYPE})

    def status(self) -> Any:
        status = self._view.status()
        return _tagged(status, {name: value for name, value in status.items() if name != "uptime_s"})

    def alarms(self) -> Any:
        return _tagged(self._view.status()["alarms"])

    def outbox(self) -> Any:
        state = bottle.request.query.get("state") or None
        if state is not None and state not in (known := self._view.counters().calls):
            raise Refused(400, f"state is one of {', '.join(known)}")
        return _tagged(self._view.outbox(state, _integer("limit")))

    def events(self) -> Any:
        limit = min(_integer("limit") or _EVENTS, _MAX_EVENTS)
        alarm, instance = _word("alarm"), _word("instance")
        if instance is not None and alarm is None:
            raise Refused(400, "instance goes with alarm")
        events, cursor = self._view.events(_integer("before"), limit, alarm, instance)
        return _tagged({"events": events, "next": cursor})

    def owed(self) -> Any:
        return _tagged({"owed": self._view.owed()})

    def chatter(self) -> Any:
        return _tagged({"chatter": self._view.chatter()})

    def explain(self, alarm: str) -> Any:
        return self._view.explain(alarm, _word("instance"), _word("at"))

    def readings(self) -> Any:
        return self._view.readings(bottle.request.query.get("after") or None)


class _Commands:
    """What can be done."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._calls = BoundedSemaphore(_CALLS_AT_ONCE)

    def inject(self) -> Any:
        body = _body("point", "value")
        return {"changed": self._view.inject(_text(body["point"], "point"), _value(body["value"]))}

    def call(self) -> Any:
        rule = _text(_body("rule")["rule"], "rule")
        if not self._calls.acquire(blocking=False):  # each takes a worker for up to iotcall.timeout
            raise Refused(409, "other calls by hand are under way; wait until they are answered")
        try:
            return self._view.call(rule)
        finally:
            self._calls.release()

    def acknowledge(self, alarm: str) -> Any:
        return {"changed": self._view.acknowledge(alarm, _instance(_options("instance")))}

    def shelve(self, alarm: str) -> Any:
        body = _options("instance", "for", "until")
        lasts, until = body.get("for"), body.get("until")
        if (lasts is None) is (until is None):
            raise Refused(400, 'give "for", a duration like "2h", or "until", a time: one of the two')
        return {"changed": self._view.shelve(alarm, _instance(body), lasts, until)}

    def unshelve(self, alarm: str) -> Any:
        return {"changed": self._view.unshelve(alarm, _instance(_options("instance")))}

    def reload(self) -> Any:
        _body()
        what = self._view.reload()
        return {"changed": len(what), "what": what}

    def retry(self, row: str) -> Any:
        _body()
        return {"changed": self._view.retry(int(row))}

    def cancel(self, row: str) -> Any:
        _body()
        return {"changed": self._view.cancel(int(row))}


def _answered(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Make a handler's value the JSON of a 200, and its Refused that error."""

    @functools.wraps(handler)
    def answer(**arguments: str) -> Any:
        try:
            value = handler(**arguments)
        except Refused as refused:
            return bottle.HTTPResponse(to_json({"error": str(refused)}), refused.status, {"Content-Type": JSON})
        if isinstance(value, bottle.HTTPResponse):
            return value
        return bottle.HTTPResponse(to_json(value), 200, {"Content-Type": JSON})

    return answer


def _error(failure: Any) -> str:
    """Return the body of what the router refuses."""
    bottle.response.content_type = JSON
    messages = {404: "there is nothing at this path", 405: "this path does not take that method"}
    return to_json({"error": messages.get(failure.status_code, "wrong request")}).decode()


def _tagged(value: Any, identity: Any = None) -> Any:
    """Return `value` with the ETag of `identity` (of itself where None), or 304 to whom has it already."""
    body = to_json(value)
    etag = etag_of(body if identity is None else to_json(identity))
    headers = {"ETag": etag, "Cache-Control": "no-cache"}
    if matches(bottle.request.get_header("If-None-Match", ""), etag):
        return bottle.HTTPResponse(b"", 304, headers)
    return bottle.HTTPResponse(body, 200, {"Content-Type": JSON, **headers})


def _integer(name: str) -> int | None:
    """Return a whole number above 0 of the query, or None without it."""
    text = bottle.request.query.get(name)
    if not text:
        return None
    if _NUMBER.fullmatch(text) is None or int(text) == 0:
        raise Refused(400, f"{name} is a whole number above 0")
    return int(text)


def _word(name: str) -> str | None:
    """Return a text of the query; None: it is left out, or empty."""
    text: str | None = bottle.request.query.getunicode(name)
    return text or None


def _body(*keys: str) -> dict[str, Any]:
    """Return the JSON object of the request's body, which has exactly `keys`; no body is an empty one."""
    body = _object()
    if body.keys() != set(keys):
        raise _other_form(keys)
    return body


def _options(*keys: str) -> dict[str, Any]:
    """Return the JSON object of the request's body, which has some of `keys`; no body is an empty one."""
    body = _object()
    if not body.keys() <= set(keys):
        raise _other_form(keys)
    return body


def _other_form(keys: tuple[str, ...]) -> Refused:
    form = "{" + ", ".join(f'"{key}": …' for key in keys) + "}"
    return Refused(400, f"the body must be an object {form}")


def _object() -> dict[str, Any]:
    raw: bytes = bottle.request.environ["wsgi.input"].read()
    if not raw:
        return {}
    if bottle.request.content_type.partition(";")[0].strip().lower() != JSON:
        raise Refused(415, f"the body must be {JSON}")
    try:
        body = json.loads(raw, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise Refused(400, "the body is no JSON (NaN and Infinity are none)") from None
    if not isinstance(body, dict):
        raise Refused(400, "the body must be an object")
    return body


def _no_number(word: str) -> None:
    raise ValueError(word)


def _text(value: object, key: str) -> str:
    if not isinstance(value, str) or not value or not _encodable(value):
        raise Refused(400, f"{key} must be a text")
    return value


def _instance(body: dict[str, Any]) -> str | None:
    """Return the instance that a command is for; None: all of them."""
    instance = body.get("instance")
    if instance is not None and (not isinstance(instance, str) or not _encodable(instance)):
        raise Refused(400, "instance must be a text, or null for all instances")
    return instance


def _value(value: object) -> Value | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        finite = number(value)
        if finite is None:
            raise Refused(400, "value is too large for a number")
        return finite
    if value is None or isinstance(value, bool) or (isinstance(value, str) and _encodable(value)):
        return value
    raise Refused(400, "value must be a number, a boolean, a text, or null for bad quality")


def _encodable(text: str) -> bool:
    """Return whether it is text at all: JSON can escape halves of characters, which no file or database takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
