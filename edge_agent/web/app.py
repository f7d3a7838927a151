"""The WSGI application: guards first, then the API; every answer hardened, no exception shown."""

import logging
from collections.abc import Callable, Iterable
from typing import Any

from edge_agent.web import answer
from edge_agent.web.api import api
from edge_agent.web.guard import Guard
from edge_agent.web.view import View

_LOG = logging.getLogger(__name__)


class Application:
    """What the server calls for each request, from several threads."""

    def __init__(self, view: View, guard: Guard) -> None:
        self._routes = api(view)
        self._guard = guard
        self._failing: set[str] = set()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""

        def hardened(status: str, headers: answer.Headers, _exc_info: Any = None) -> Any:
            present = {name for name, _ in headers}
            missing = [header for header in (*answer.HARDENING, answer.NO_STORE) if header[0] not in present]
            return start_response(status, [*headers, *missing])

        try:
            refusal = self._guard.refusal(environ)
            if refusal is not None:
                return _error(environ, start_response, refusal.status, refusal.message, *refusal.headers)
            answered: Iterable[bytes] = self._routes(environ, hardened)
            self._failing.discard(_rule(environ))
        except Exception:  # noqa: BLE001 - the top of a request: neither the client nor the thread may see it
            self._report(_rule(environ))
            return _error(environ, start_response, 500, "it failed here; the agent's log has the reason")
        return answered

    def _report(self, rule: str) -> None:
        """Log the exception once until the route works again: a page asks every 2 s."""
        if rule not in self._failing:
            self._failing.add(rule)
            _LOG.exception("web request failed route=%s", rule)


def _error(
    environ: dict[str, Any], start_response: Callable[..., Any], status: int, message: str, *more: tuple[str, str]
) -> list[bytes]:
    line, headers, body = answer.error(status, message)
    start_response(line, [*headers, *more])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


def _rule(environ: dict[str, Any]) -> str:
    """Return the route's pattern: unlike the path it is a word of ours."""
    return str(getattr(environ.get("bottle.route"), "rule", "none"))
