"""Reaching a broker: looking up its name, the TLS context, and plain words with a hint for what went wrong."""

import hashlib
import queue
import socket
import ssl
import threading

from edge_agent.sources.base import DriverContext, SourceError
from edge_agent.sources.broker import BrokerSettings

_LOOK_UP_S = 5.0
_CLOCK = "is this machine's clock right? A certificate is judged by it"


class LookUp:
    """Looks a name up with a time limit, which the resolver does not have. At most one look-up is under way."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None

    def addresses(self, host: str, port: int) -> list[str]:
        """Return the host's addresses, the preferred first.

        Raises:
            SourceError: there are none, or no answer came in time.
        """
        if self._thread is not None and self._thread.is_alive():
            raise _silent(host)
        answer: queue.SimpleQueue[list[str] | OSError] = queue.SimpleQueue()
        self._thread = threading.Thread(target=_look_up, args=(host, port, answer), name=f"look-up:{host}", daemon=True)
        self._thread.start()
        try:
            found = answer.get(timeout=_LOOK_UP_S)
        except queue.Empty:
            raise _silent(host) from None
        if isinstance(found, OSError):
            raise SourceError(f"the name {host} is unknown", "check host, and that names can be looked up (DNS)")
        return found


def _look_up(host: str, port: int, answer: "queue.SimpleQueue[list[str] | OSError]") -> None:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        answer.put(list(dict.fromkeys(str(address[4][0]) for address in found)))
    except OSError as error:
        answer.put(error)
    except UnicodeError as error:  # a label that is too long, or cannot be encoded
        answer.put(OSError(str(error)))


def _silent(host: str) -> SourceError:
    return SourceError(f"looking up the name {host} got no answer", "check the network and its name server")


def tls_context(settings: BrokerSettings) -> ssl.SSLContext | None:
    """Return the context for a broker with tls: its certificate and name are always verified, TLS 1.2 at least.

    Raises:
        SourceError: a file cannot be used.
    """
    if not settings.tls:
        return None
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if settings.cert_file is not None:
            # with a password callback, as OpenSSL would ask at the terminal
            context.load_cert_chain(settings.cert_file, settings.key_file, password=lambda: b"")
    except OSError as error:  # ssl.SSLError is one
        what = error.filename or f"{settings.ca_file or ''} {settings.cert_file or ''}".strip()
        raise SourceError(
            f"the TLS files cannot be used: {_plain(error)} ({what})", "check ca_file, cert_file, key_file"
        ) from error
    return context


def connect_error(settings: BrokerSettings, error: OSError) -> SourceError:
    """Return what a failed connection means, in plain words."""
    where = f"{settings.host}:{settings.tcp_port}"
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = error.verify_message
        hint = "set ca_file to the certificate of the authority that signed the broker's"
        if "not yet valid" in reason or "expired" in reason:
            hint = _CLOCK
        elif "mismatch" in reason or "not valid for" in reason:
            hint = "host must be a name (or address) that stands in the broker's certificate"
        return SourceError(f"the certificate of {where} is not accepted: {reason}", hint)
    if isinstance(error, ssl.SSLError):
        return SourceError(f"TLS with {where} failed: {_plain(error)}", "is that the broker's TLS port?")
    if isinstance(error, ConnectionRefusedError):
        return SourceError(f"{where} refuses the connection", "is the broker running, and on that port?")
    if isinstance(error, TimeoutError):
        return SourceError(f"{where} does not answer", "check the network, host, port and the broker's firewall")
    if isinstance(error, ConnectionError):
        return SourceError(
            f"{where} closed the connection", "is that the broker's port? With tls = true, its TLS port?"
        )
    return SourceError(f"{where} cannot be reached: {_plain(error)}", "check the network and host")


def _plain(error: OSError) -> str:
    return " ".join((error.strerror or str(error)).split())


def refusal(reason: str, settings: BrokerSettings, client_id: str) -> SourceError:
    """Return what a CONNACK that refuses means."""
    hint = "see the broker's log"
    if reason in ("Not authorized", "Bad user name or password"):
        hint = "check username and the password" if settings.username else "the broker wants a username and password"
    elif reason == "Unsupported protocol version":
        hint = f'set version = "{other_version(settings)}"'
    elif reason == "Client identifier not valid":
        hint = f"set client_id: the broker does not take {client_id}"
    return SourceError(f"the broker refuses the connection: {reason}", hint)


def other_version(settings: BrokerSettings) -> str:
    """Return the version of MQTT that is not configured."""
    return "3.1.1" if settings.version == "5" else "5"


def default_client_id(context: DriverContext) -> str:
    """Return a client id that is the same at each start: the broker's session hangs on it."""
    return f"{context.agent_name}-{hashlib.sha256(context.machine_id.encode()).hexdigest()[:8]}"
