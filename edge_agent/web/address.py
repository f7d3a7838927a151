"""Addresses and Host names as the web room compares them: pure functions, no look-ups."""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address

_MAX_PORT = 65535
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^\[\]:\s]+)(?::[0-9]{0,5})?", re.IGNORECASE)


def split_listen(listen: str) -> tuple[str, int]:
    """Return (host, port) of `127.0.0.1:8790`, `[::]:8790`, `localhost:8790`; the host is "" for `:8790`.

    Raises:
        ValueError: with what would be right.
    """
    host, colon, port = listen.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    wrong_host = ":" in bare and bare == host
    if not colon or wrong_host or not (port.isascii() and port.isdigit()) or int(port) > _MAX_PORT:
        raise ValueError(f'{listen!r} is no address to listen on; write it like "127.0.0.1:8790" or "[::]:8790"')
    return bare, int(port)


def address(text: str) -> IPv4Address | IPv6Address | None:
    """Return the address that `text` is, an IPv4 address in IPv6 clothes as itself; None: it is a name."""
    try:
        parsed = ip_address(text)
    except ValueError:
        return None
    return getattr(parsed, "ipv4_mapped", None) or parsed


def is_loopback(text: str) -> bool:
    """Return whether `text` is an address in 127.0.0.0/8 or ::1."""
    parsed = address(text)
    return parsed is not None and parsed.is_loopback


def canonical(host: str) -> str:
    """Return a name in small letters, or an address in its one form: what two spellings have in common."""
    parsed = address(host.removeprefix("[").removesuffix("]"))
    return host.lower() if parsed is None else str(parsed)


def host_of(header: str) -> str | None:
    """Return the canonical host of a Host header, its port left out; None where it is none."""
    match = _HOST.fullmatch(header)
    return None if match is None else canonical(match[1])
