"""The model of `[web]`: where the page and its API are served, and by which names."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from edge_agent.core.fields import Settings
from edge_agent.web.address import address, split_listen

_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_.])?")


def _listen(value: str) -> str:
    if not value:
        return value
    host, port = split_listen(value)
    if not host:
        raise ValueError(f'has no host; write "0.0.0.0:{port}" for all interfaces, "127.0.0.1:{port}" for this machine')
    named = _HOST.fullmatch(host) is not None and not value.startswith("[")
    if not named and address(host) is None:
        raise ValueError('is no host and port; write it like "127.0.0.1:8790" or "[::1]:8790", or "" to turn it off')
    if port == 0:
        raise ValueError("has the port 0; take one of 1 to 65535")
    return value


def _host(value: str) -> str:
    bare = value[1:-1] if value.startswith("[") and value.endswith("]") else value
    if not _HOST.fullmatch(value) and address(bare) is None:
        raise ValueError("is no host's name; write it without scheme and port, like pump-house.example.org")
    return value


class WebSettings(Settings):
    """Where the page listens ("" is nowhere), and further names by which it may be called."""

    listen: Annotated[str, AfterValidator(_listen)] = "127.0.0.1:8790"
    hosts: Annotated[tuple[Annotated[str, AfterValidator(_host)], ...], Field(strict=False)] = ()
