"""The commands' way to the running agent: its HTTP API on this machine. And tables for what it says."""

import http.client
import json
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from edge_agent.cli import CliError
from edge_agent.config.settings import Config
from edge_agent.config.words import clean
from edge_agent.web.address import address, is_loopback, split_listen
from edge_agent.web.token import TOKEN_FILE

_TIMEOUT_S = 10.0
_MAX_BYTES = 64 * 1024 * 1024
_GAP = "  "
_NOT_RUNNING = "edge-agent is not running with this configuration"


class RefusedError(CliError):
    """The agent refuses; `reason` is why, as it said it, which may be several lines."""

    def __init__(self, reason: str) -> None:
        super().__init__(clean(reason))
        self.reason = reason


def request(config: Config, method: str, path: str, body: Any = None, *, timeout_s: float = _TIMEOUT_S) -> Any:
    """Return what the running agent answers.

    Raises:
        CliError: it is not running, cannot be reached, or refuses (RefusedError); the message says which.
    """
    if not config.web.listen:
        raise CliError("the running agent cannot be asked: its HTTP API is turned off", '[web] listen is ""')
    host, port = _target(config.web.listen)
    status, raw = _exchange(
        http.client.HTTPConnection(host, port, timeout=timeout_s),
        (method, path, None if body is None else json.dumps(body).encode()),
        _headers(config, method, host, has_body=body is not None),
    )
    try:
        answer = json.loads(raw)
    except (ValueError, RecursionError):
        raise CliError(f"something else than edge-agent answers at {config.web.listen}") from None
    if status != http.HTTPStatus.OK:
        refusal = answer.get("error") if isinstance(answer, dict) else None
        raise RefusedError(str(refusal or f"the agent answered with HTTP status {status}"))
    return answer


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table, aligned also where characters are two columns wide; control characters escaped."""
    lines = [header, *([clean(cell) for cell in row] for row in rows)]
    widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        padded = (cell + " " * (width - _width(cell)) for cell, width in zip(line, widths, strict=True))
        yield _GAP + _GAP.join(padded).rstrip()


def _width(text: str) -> int:
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def _target(listen: str) -> tuple[str, int]:
    """Return where to reach an agent that listens there: one that listens everywhere is on loopback too."""
    host, port = split_listen(listen)
    parsed = address(host)
    if not host or (parsed is not None and parsed.is_unspecified):
        return ("127.0.0.1" if parsed is None or parsed.version == 4 else "::1"), port  # noqa: PLR2004 - IP version
    return host, port


def _headers(config: Config, method: str, host: str, *, has_body: bool) -> dict[str, str]:
    headers = {"Host": "localhost"}  # ours under any `listen`
    if has_body:
        headers["Content-Type"] = "application/json"
    if method == "GET" and (host == "localhost" or is_loopback(host)):
        return headers
    try:
        token = (config.state_dir / TOKEN_FILE).read_text(encoding="ascii").split("\n", 1)[0].strip()
    except (OSError, ValueError) as error:
        raise _no_token(config.state_dir / TOKEN_FILE, error) from None
    return {**headers, "Authorization": f"Bearer {token}"}


def _no_token(path: Path, error: OSError | ValueError) -> CliError:
    if isinstance(error, FileNotFoundError):
        return CliError(f"{_NOT_RUNNING}: there is no {path}", "start it with: edge-agent run")
    if isinstance(error, PermissionError):
        return CliError(f"{path} may not be read", "run the command with sudo, or join the group edge-agent")
    return CliError(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}")


def _exchange(
    connection: http.client.HTTPConnection, request_: tuple[str, str, bytes | None], headers: dict[str, str]
) -> tuple[int, bytes]:
    where = f"{connection.host}:{connection.port}"
    try:
        connection.request(*request_, headers)
        response = connection.getresponse()
        return response.status, response.read(_MAX_BYTES)
    except ConnectionRefusedError:
        raise CliError(f"{_NOT_RUNNING}: nothing listens at {where}", "start it with: edge-agent run") from None
    except TimeoutError:
        raise CliError(f"the agent at {where} does not answer") from None
    except (http.client.RemoteDisconnected, ConnectionResetError):
        raise CliError(
            f"the agent at {where} ended before it answered", "whether it was done: see edge-agent outbox list"
        ) from None
    except http.client.HTTPException:
        raise CliError(f"something else than edge-agent answers at {where}") from None
    except OSError as error:
        raise CliError(f"the agent at {where} cannot be reached: {error.strerror or error}") from None
    finally:
        connection.close()
