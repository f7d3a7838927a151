"""Endpoint 5: telling a URL of the user's each activation's id. Loopback only: a sandbox phones nobody else."""

import contextlib
import http.client
import ipaddress
import json
import threading
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlencode, urlsplit

from edge_agent.iotcall.sandbox.phones import Activation

_TIMEOUT_S = 5.0


class WebhookStyle(StrEnum):
    """How the id is sent; the manual leaves it open."""

    GET = "get"
    FORM = "form"
    JSON = "json"
    BARE = "bare"


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where activation ids go, and how. ValueError for a URL that is not http on this machine."""

    url: str
    style: WebhookStyle = WebhookStyle.FORM

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme != "http" or not _is_loopback(parts.hostname or ""):
            raise ValueError("a webhook's URL must be http:// and on this machine, as http://127.0.0.1:8792/path")

    def send(self, activation: Activation) -> None:
        """Send the id from a thread of its own; nobody minds whether it arrives."""
        threading.Thread(target=self._send, args=(activation.id,), name="sandbox-webhook", daemon=True).start()

    def _send(self, activation_id: str) -> None:
        parts = urlsplit(self.url)
        target = parts.path or "/"
        query, method, body, kind = parts.query, "POST", activation_id, "text/plain"
        if self.style is WebhookStyle.GET:
            query, method, body = "&".join(filter(None, [query, urlencode({"code": activation_id})])), "GET", ""
        elif self.style is WebhookStyle.FORM:
            body, kind = urlencode({"code": activation_id}), "application/x-www-form-urlencoded"
        elif self.style is WebhookStyle.JSON:
            body, kind = json.dumps({"code": activation_id}), "application/json"
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=_TIMEOUT_S)
        headers = {} if method == "GET" else {"Content-Type": kind}
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            connection.request(method, f"{target}?{query}" if query else target, body or None, headers)
            connection.getresponse().read()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
