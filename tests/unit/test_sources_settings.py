"""The models of the source types and brokers: their examples, their defaults, and the words of each refusal."""

import tomllib
from typing import Any

import pytest
from pydantic import ValidationError

from edge_agent.sources.base import DriverContext
from edge_agent.sources.broker import BrokerSettings
from edge_agent.sources.registry import build_drivers, names, source_type

GPIO: dict[str, Any] = {"type": "gpio", "pin": 17}
SERIAL: dict[str, Any] = {"type": "serial", "port": "/dev/ttyUSB0"}
MQTT: dict[str, Any] = {"type": "mqtt", "topic": "a/+"}


def refusal(table: dict[str, Any]) -> str:
    with pytest.raises(ValidationError) as refused:
        source_type(table["type"]).settings.model_validate(table)
    return "; ".join(f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in refused.value.errors())


def test_every_name_has_its_type_with_an_example_that_is_accepted() -> None:
    assert names() == ["gpio", "mqtt", "serial"]
    for name in names():
        kind = source_type(name)
        assert kind.name == name
        ((source, table),) = tomllib.loads(kind.example)["sources"].items()
        settings = kind.settings.model_validate(table)
        brokers = {"plant": BrokerSettings(host="localhost")}
        (driver,) = build_drivers({source: settings}, DriverContext("agent", "id", brokers))
        assert driver.sources == (source,)
        driver.close()
        assert not driver.returned()


def test_unknown_type_is_a_key_error() -> None:
    for name in ("modbus", "base", "_link", "decode", ""):
        with pytest.raises(KeyError):
            source_type(name)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (GPIO | {"pin": "LED"}, "is no pin"),
        (GPIO | {"pin": 99}, "is no pin"),
        (GPIO | {"pin": True}, "pin"),
        (GPIO | {"pull": "sideways"}, "'up', 'down' or 'none'"),
        (GPIO | {"debounce": "fast"}, "is no duration"),
        (GPIO | {"scale": 2.0}, "Extra inputs"),
        (SERIAL | {"delimiter": ""}, "must not be empty"),
        (SERIAL | {"delimiter": "☃"}, "U+00FF"),
        (SERIAL | {"format": "csv"}, "needs columns"),
        (SERIAL | {"format": "csv", "columns": ["a", "a"]}, "twice"),
        (SERIAL | {"format": "csv", "columns": ["", ""]}, "names no column"),
        (SERIAL | {"format": "csv", "columns": ["a b"]}, "is no field name"),
        (SERIAL | {"columns": ["a"]}, 'needs format = "csv"'),
        (SERIAL | {"format": "regex"}, "needs pattern"),
        (SERIAL | {"format": "regex", "pattern": "("}, "is no regular expression"),
        (SERIAL | {"format": "regex", "pattern": "(a)"}, "no named groups"),
        (SERIAL | {"format": "regex", "pattern": "(?P<é>a)"}, "is no field name"),
        (SERIAL | {"pattern": "(?P<a>a)"}, 'needs format = "regex"'),
        (SERIAL | {"fields": {"a": "b"}}, '"json" or "keyvalue"'),
        (SERIAL | {"format": "json", "fields": {"a": "b["}}, "fields.a is no JMESPath"),
        (SERIAL | {"format": "json", "fields": {}}, "at least 1"),
        (SERIAL | {"format": "json", "fields": {"a b": "c"}}, "pattern"),
        (SERIAL | {"poll": {"send": "x"}}, "every"),
        (SERIAL | {"poll": {"send": "x", "every": 0}}, "more than 0"),
        (SERIAL | {"stopbits": 3}, "must be 1, 1.5 or 2"),
        (SERIAL | {"stopbits": True}, "must be 1, 1.5 or 2"),
        (SERIAL | {"parity": "maybe"}, "'none'"),
        (SERIAL | {"baudrate": 0}, "greater than or equal to 1"),
        (SERIAL | {"min": 2, "max": 1}, "min is greater than max"),
        (SERIAL | {"true_values": ["a"]}, "do not go with"),
        (MQTT | {"topic": "a+"}, "+ must be a whole level"),
        (MQTT | {"topic": "#/a"}, "# must be the whole last level"),
        (MQTT | {"topic": ""}, "is empty"),
        (MQTT | {"qos": 2}, "QoS 2 is not offered"),
        (MQTT | {"qos": True}, "must be 0 or 1"),
        (MQTT | {"value": "a", "fields": {"a": "a"}}, "value or fields, not both"),
        (MQTT | {"value": "a["}, "is no JMESPath"),
        (MQTT | {"value": "a", "format": "text"}, 'needs format = "json"'),
        (MQTT | {"fields": {"a": "("}}, "is no JMESPath"),
        (MQTT | {"true_values": ["x"], "false_values": ["X"]}, "both hold 'x'"),
        (MQTT | {"true_values": [" "]}, "empty word"),
        (MQTT | {"true_values": ["x"], "format": "number"}, "do not go with"),
        (MQTT | {"retained": "maybe"}, "'accept' or 'ignore'"),
        (MQTT | {"max_instances": 0}, "greater than or equal to 1"),
        (MQTT | {"reject": [float("nan")]}, "finite"),
        (GPIO | {"smooth": {"median": 5}}, "Extra inputs"),
        (SERIAL | {"smooth": {}}, "neither median nor mean"),
        (SERIAL | {"smooth": {"median": 5, "mean": 5}}, "both median and mean"),
        (SERIAL | {"smooth": {"median": 0}}, "greater than or equal to 1"),
        (SERIAL | {"smooth": {"mean": 10_001}}, "less than or equal to 10000"),
        (MQTT | {"smooth": {"mean": True}}, "valid integer"),
        (MQTT | {"smooth": {"mean": 5}, "format": "text"}, "does not go with"),
    ],
    ids=lambda item: item if isinstance(item, str) else "",
)
def test_refusals_say_what_is_wrong(table: dict[str, Any], words: str) -> None:
    assert words in refusal(table)


@pytest.mark.parametrize(
    ("table", "fields", "instances"),
    [
        (GPIO, (), False),
        (SERIAL, (), False),
        (SERIAL | {"format": "csv", "columns": ["a", "", "b"]}, ("a", "b"), False),
        (SERIAL | {"format": "regex", "pattern": "(?P<a>.)(?P<b>.)"}, ("a", "b"), False),
        (SERIAL | {"format": "keyvalue"}, None, False),
        (SERIAL | {"format": "json"}, None, False),
        (SERIAL | {"format": "json", "fields": {"t": "a.b"}}, ("t",), False),
        (MQTT, (), True),
        (MQTT | {"topic": "a/b"}, (), False),
        (MQTT | {"fields": {"a": "a", "b": "x.y"}}, ("a", "b"), True),
    ],
)
def test_fields_and_instances(table: dict[str, Any], fields: tuple[str, ...] | None, instances: bool) -> None:  # noqa: FBT001 - a parameter of the table
    settings = source_type(table["type"]).settings.model_validate(table)
    assert settings.field_names() == fields
    assert settings.has_instances() == instances


@pytest.mark.parametrize(("pull", "active", "level"), [("up", None, False), ("down", None, True), ("up", "high", True)])
def test_active_level_follows_the_pull(pull: str, active: str | None, level: bool) -> None:  # noqa: FBT001 - a parameter of the table
    table = GPIO | {"pull": pull} | ({} if active is None else {"active": active})
    settings: Any = source_type("gpio").settings.model_validate(table)
    assert settings.active_level is level


@pytest.mark.parametrize(("smooth", "window"), [({"median": 1}, ("median", 1)), ({"mean": 10_000}, ("mean", 10_000))])
def test_smoothing(smooth: dict[str, int], window: tuple[str, int]) -> None:
    for table in (SERIAL, MQTT):
        settings: Any = source_type(table["type"]).settings.model_validate(table | {"smooth": smooth})
        assert settings.smooth.window == window


def test_port_of_a_broker() -> None:
    assert BrokerSettings(host="x").tcp_port == 1883
    assert BrokerSettings(host="x", tls=True).tcp_port == 8883
    assert BrokerSettings(host="x", tls=True, port=1).tcp_port == 1


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"ca_file": "x"}, "needs tls = true"),
        ({"tls": True, "key_file": "x"}, "key_file needs cert_file"),
        ({"password_file": "x"}, "needs username"),
        ({"port": 0}, "greater than or equal to 1"),
        ({"version": "4"}, "'5' or '3.1.1'"),
        ({"host": ""}, "at least 1"),
    ],
)
def test_refusals_of_brokers(table: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as refused:
        BrokerSettings.model_validate({"host": "x"} | table)
    assert words in str(refused.value)
