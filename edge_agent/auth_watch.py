"""The AuthCode while the agent runs: its file is watched, and the last good code stays when the file goes bad."""

import logging
import threading
from pathlib import Path

from edge_agent.config.secrets import Secret, SecretError, read_auth_code
from edge_agent.config.settings import Config

_log = logging.getLogger(__name__)


class AuthWatch:
    """Holds the AuthCode, and notices when its file changes, also by a rename over it. Safe from any thread."""

    def __init__(self, config: Config) -> None:
        self._lock = threading.Lock()
        self._secret: Secret | None = None
        self.trouble: str | None = None
        """Why the file cannot be used any more; None: it can."""
        self.configure(config)

    def configure(self, config: Config) -> None:
        """Take the AuthCode of a configuration that was just read."""
        with self._lock:
            self._config = config
            self._secret = config.auth_code or self._secret
            self.trouble = None
            self._seen: tuple[int, ...] | None = None  # looked at anew: it may have changed since it was read

    def code(self) -> str:
        """Return the AuthCode to send."""
        return self._secret.reveal() if self._secret is not None else ""

    def changed(self) -> bool:
        """Look at the file; return whether there is another AuthCode now."""
        with self._lock:
            return self._changed()

    def _changed(self) -> bool:
        seen = self._look()
        if seen == self._seen or self._config.iotcall.auth_code_file is None:
            return False
        self._seen = seen
        try:
            secret = read_auth_code(self._config.iotcall)
        except SecretError as error:
            self._tell(str(error))
            return False
        self._tell(None)
        different = secret != self._secret
        self._secret = secret
        return different

    def _tell(self, trouble: str | None) -> None:
        if trouble is not None and trouble != self.trouble:
            _log.error("event=auth_code_unusable error=%r note='the last good one stays'", trouble)
        self.trouble = trouble

    def _look(self) -> tuple[int, ...] | None:
        path = self._config.iotcall.auth_code_file
        if path is None:
            return None
        try:
            status = Path(path).stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino, status.st_size, status.st_mode, status.st_ctime_ns
