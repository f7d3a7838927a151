"""The model of `[mqtt.NAME]`: a broker that sources name."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from edge_agent.core.fields import Settings

_PORT = 1883
_TLS_PORT = 8883


class BrokerSettings(Settings):
    """How to reach a broker, and as whom. The password itself is never in here."""

    host: Annotated[str, Field(min_length=1)]
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    username: Annotated[str, Field(min_length=1)] | None = None
    password_file: Annotated[str, Field(min_length=1)] | None = None
    tls: bool = False
    ca_file: Annotated[str, Field(min_length=1)] | None = None
    cert_file: Annotated[str, Field(min_length=1)] | None = None
    key_file: Annotated[str, Field(min_length=1)] | None = None
    version: Literal["5", "3.1.1"] = "5"
    client_id: Annotated[str, Field(min_length=1, max_length=256)] | None = None

    @property
    def tcp_port(self) -> int:
        """Return the port to connect to: as configured, else 1883, or 8883 with tls."""
        return self.port or (_TLS_PORT if self.tls else _PORT)

    @model_validator(mode="after")
    def _consistent(self) -> "BrokerSettings":
        for key in ("ca_file", "cert_file", "key_file"):
            if getattr(self, key) is not None and not self.tls:
                raise ValueError(f"{key} needs tls = true")
        if self.key_file is not None and self.cert_file is None:
            raise ValueError("key_file needs cert_file")
        if self.password_file is not None and self.username is None:
            raise ValueError("password_file needs username")
        return self
