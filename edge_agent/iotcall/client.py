"""The client: one attempt to trigger a rule, whose every failure is a value. It never tries again by itself."""

import http.client
import logging
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from edge_agent.iotcall.lean import requests  # isort: skip # before anything else of requests
from requests.adapters import HTTPAdapter
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import HTTPError

from edge_agent import __version__
from edge_agent.core.fields import SECOND
from edge_agent.iotcall.answer import BODY_LIMIT, judge
from edge_agent.iotcall.line import (
    Attempt,
    FailedError,
    GuardedConnection,
    GuardedTlsConnection,
    HeldBackError,
    Line,
    TimedTlsSocket,
    dial,
)
from edge_agent.iotcall.lookup import GetAddrInfo, Resolver
from edge_agent.iotcall.outcome import Outcome, Result
from edge_agent.iotcall.settings import IotcallSettings

# urllib3 logs whole URLs, and with them URL keys, at DEBUG and for headers that it cannot parse.
logging.getLogger("urllib3").setLevel(logging.CRITICAL + 1)

_WORLD = (requests.RequestException, HTTPError, http.client.HTTPException, OSError, ValueError)
"""What a failure of the world can surface as."""


class Client:
    """Triggers IoTCall rules. Safe from any thread: each has its own session and its own kept connection."""

    def __init__(
        self, settings: IotcallSettings, auth_code: Callable[[], str], getaddrinfo: GetAddrInfo | None = None
    ) -> None:
        """Take the settings; `auth_code` is asked at each attempt. ValueError for an address that is none."""
        self._base_url = settings.base_url.rstrip("/")
        self._timeout_s = settings.timeout / SECOND
        self._proxy = settings.proxy
        self._ca_file = settings.ca_file
        self._auth_code = auth_code
        self._target = _host_port(self._base_url)
        self._first_hop = _host_port(self._proxy) if self._proxy else self._target
        self._resolver = Resolver(getaddrinfo) if getaddrinfo else Resolver()
        self._context: ssl.SSLContext | None = None
        self._context_lock = threading.Lock()
        self._local = threading.local()
        self._requests: dict[str, tuple[str, requests.PreparedRequest]] = {}

    def trigger(self, url_key: str, before_send: Callable[[], None] | None = None) -> Outcome:
        """Make one attempt of `POST …/call` and return what came of it.

        `before_send` is called once, when the connection stands and the request's first byte is about to go out. If it
        raises, nothing is sent and its exception comes out here; nothing else does.
        """
        auth_code = self._auth_code()
        if not auth_code or not auth_code.isprintable() or " " in auth_code:
            return Outcome(Result.AUTH, "the AuthCode is empty, or has characters that it cannot have")
        attempt = Attempt(self._peer(), time.monotonic() + self._timeout_s, before_send)
        try:
            return self._post(url_key, auth_code, attempt)
        except FailedError as exc:
            return exc.outcome
        except HeldBackError as exc:
            raise exc.error from None
        except _WORLD as exc:
            return attempt.failed(exc)

    def probe(self) -> bool:
        """Return whether one bare TCP connection to the service (or the proxy) could be made; sends nothing."""
        host, port = self._first_hop
        try:
            dial(self._resolver, host, port, time.monotonic() + self._timeout_s).close()
        except (OSError, ValueError):
            return False
        return True

    def close(self) -> None:
        """Close this thread's kept connection; those of other threads go with their threads."""
        session = getattr(self._local, "session", None)
        if session is not None:
            session.close()

    def _post(self, url_key: str, auth_code: str, attempt: Attempt) -> Outcome:
        session = self._session()
        session.line.attempt = attempt
        request = self._request(url_key, auth_code)
        response = session.send(request, stream=True, allow_redirects=False, timeout=self._timeout_s)
        try:
            body = _read(response, attempt)
        finally:
            response.close()
        return judge(response.status_code, response.headers, body, auth_code, url_key)

    def _request(self, url_key: str, auth_code: str) -> requests.PreparedRequest:
        """Return the request, prepared once: that takes a third of the time until it is out."""
        kept_code, request = self._requests.get(url_key, (None, None))
        if request is None or kept_code != auth_code:
            request = requests.Request(
                "POST",
                f"{self._base_url}/pattern/{url_key}/call",
                headers={"User-Agent": f"edge-agent/{__version__}", "Accept": "application/json"},
                auth=_AuthCode(auth_code),
            ).prepare()
            self._requests[url_key] = (auth_code, request)
        return request

    def _peer(self) -> str:
        host, port = self._target
        proxy = f" through the proxy {self._first_hop[0]}:{self._first_hop[1]}" if self._proxy else ""
        return f"{host}:{port}{proxy}"

    def _session(self) -> "_Session":
        session = getattr(self._local, "session", None)
        if session is None:
            context = self._tls_context() if self._base_url.lower().startswith("https:") else None
            session = _Session(Line(self._resolver), self._target, self._proxy, context)
            self._local.session = session
        return session

    def _tls_context(self) -> ssl.SSLContext:
        """Return the one TLS context: the system's authorities (some megabytes) are read once, when first needed."""
        with self._context_lock:
            if self._context is None:
                context = ssl.create_default_context(cafile=self._ca_file)
                context.minimum_version = ssl.TLSVersion.TLSv1_2
                context.sslsocket_class = TimedTlsSocket
                self._context = context
            return self._context


def _host_port(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("an address must look like https://host or http://host:port")
    return parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)


def _read(response: requests.Response, attempt: Attempt) -> bytes:
    """Return the body as it came, up to just over the limit; a torn one matters only where the body decides."""
    body = b""
    try:
        while len(body) <= BODY_LIMIT and (part := response.raw.read(BODY_LIMIT + 1 - len(body), decode_content=False)):
            body += part
    except _WORLD as exc:
        if response.status_code // 100 == 2:  # noqa: PLR2004 - 2xx
            raise FailedError(attempt.ambiguous(_torn(exc))) from exc
    return body


def _torn(exc: Exception) -> Exception:
    """Return what people can make something of: urllib3 wraps the socket's own error."""
    cause = exc.__cause__ or exc.__context__
    return cause if isinstance(cause, OSError) else ConnectionAbortedError("the answer was torn")


class _AuthCode(requests.auth.AuthBase):
    """The Authorization header, exactly the AuthCode; given as `auth`, so that nothing else can put one there."""

    def __init__(self, code: str) -> None:
        self._code = code

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Put the header."""
        headers: dict[str, Any] = {"Authorization": self._code.encode()}
        request.headers.update(headers)
        return request


class _Session(requests.Session):
    """One thread's session: no .netrc, no proxy variables, no cookies kept, no redirects, one connection kept."""

    def __init__(self, line: Line, target: tuple[str, int], proxy: str | None, context: ssl.SSLContext | None) -> None:
        super().__init__()
        self.line = line
        self.trust_env = False
        self.proxies = {"http": proxy, "https": proxy} if proxy else {}
        for adapter in self.adapters.values():
            adapter.close()
        self.adapters.clear()
        scheme = "https" if context else "http"
        self.mount(f"{scheme}://", _Adapter(line, target, proxy, context))

    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002 - the base's signature
        """Follow nothing: even only looking at where it leads would read the whole body, however large."""
        return None


class _Adapter(HTTPAdapter):
    """Connections to one place only, guarded, with our TLS context instead of requests' own authorities."""

    def __init__(self, line: Line, target: tuple[str, int], proxy: str | None, context: ssl.SSLContext | None) -> None:
        super().__init__(pool_connections=1, pool_maxsize=1)
        self._target = target
        self._proxy = proxy
        self._context = context
        self._kind: type[GuardedConnection] = type(
            "Connection", (GuardedTlsConnection if context else GuardedConnection,), {"line": line}
        )

    def cert_verify(self, *args: object, **kwargs: object) -> None:
        """Leave the pool alone: the context verifies, and requests would add authorities of its own."""

    def get_connection_with_tls_context(
        self,
        request: requests.PreparedRequest,  # noqa: ARG002 - the base's signature
        verify: object,  # noqa: ARG002
        proxies: Mapping[str, str] | None = None,  # noqa: ARG002
        cert: object = None,  # noqa: ARG002
    ) -> HTTPConnectionPool:
        """Return the pool of the one place."""
        host, port = self._target
        manager = self.proxy_manager_for(self._proxy) if self._proxy else self.poolmanager
        scheme, options = ("https", {"ssl_context": self._context}) if self._context else ("http", {})
        pool: HTTPConnectionPool = manager.connection_from_host(host, port, scheme, pool_kwargs=options)
        pool.ConnectionCls = self._kind
        return pool
