"""MQTT subscriptions by paho-mqtt: settings of the source type; the connection itself is in `_link`."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from edge_agent.core.fields import Name
from edge_agent.sources import _topics
from edge_agent.sources._payload import PayloadDecoder, payload_decoder
from edge_agent.sources.base import Driver, DriverContext, NumericSettings, SourceType
from edge_agent.sources.decode import JmesPath, WordList, check_words, words


def _filter(value: object) -> object:
    error = _topics.filter_error(value) if isinstance(value, str) else ""
    if error:
        raise ValueError(error)
    return value


def _qos(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be 0 or 1")  # noqa: TRY004 - pydantic takes a ValueError for the message
    if value == 2:  # noqa: PLR2004 - the QoS
        raise ValueError("QoS 2 is not offered: it acknowledges a message before its call is on disk; use 1")
    return value


class MqttSettings(NumericSettings):
    """A subscription; wildcards make instances."""

    type: Literal["mqtt"]
    broker: Name | None = None
    topic: Annotated[str, BeforeValidator(_filter)]
    qos: Annotated[Literal[0, 1], BeforeValidator(_qos)] = 1
    format: Literal["json", "number", "text", "boolean"] | None = None
    value: JmesPath | None = None
    fields: Annotated[dict[Name, JmesPath], Field(min_length=1)] | None = None
    true_values: WordList = ()
    false_values: WordList = ()
    retained: Literal["accept", "ignore"] = "accept"
    max_instances: Annotated[int, Field(ge=1)] = 1000

    def field_names(self) -> tuple[str, ...]:
        """Return its fields; () for one value."""
        return tuple(self.fields or ())

    def has_instances(self) -> bool:
        """Return whether the topic has wildcards."""
        return _topics.has_wildcards(self.topic)

    @model_validator(mode="after")
    def _consistent(self) -> "MqttSettings":
        if self.value is not None and self.fields is not None:
            raise ValueError("give value or fields, not both: value is one point, fields are several")
        path_key = "value" if self.value is not None else "fields" if self.fields is not None else ""
        if path_key and self.format not in (None, "json"):
            raise ValueError(f'{path_key} does not go with format "{self.format}"; it needs format = "json"')
        if (self.true_values or self.false_values) and self.format in ("number", "text"):
            raise ValueError(f'true_values and false_values do not go with format "{self.format}"; remove them')
        check_words(self.true_values, self.false_values)
        return self

    def decoder(self) -> PayloadDecoder:
        """Return the function that decodes one payload."""
        return payload_decoder(
            self.format,
            value=self.value,
            fields=self.fields,
            configured=words(self.true_values, self.false_values),
        )


def _drivers(sources: Mapping[str, Any], context: DriverContext) -> list[Driver]:
    from edge_agent.sources._link import mqtt_drivers  # noqa: PLC0415 - `check` needs no paho

    return mqtt_drivers(sources, context)


SOURCE_TYPE = SourceType(
    name="mqtt",
    settings=MqttSettings,
    drivers=_drivers,
    example="""\
[sources.freezer]
type = "mqtt"
topic = "site/+/freezer"    # site/f1/freezer is freezer[f1]
format = "json"
value = "data.temperature"  # a path into {"data": {"temperature": -18.5}}
""",
)
