"""The JSON Schema (draft 2020-12) of the configuration, made from the models, as editors need it."""

from collections.abc import Callable
from typing import Any

from edge_agent.config.settings import AgentSettings
from edge_agent.core.fields import (
    DURATION_SCHEMA,
    NAME_PATTERN,
    POSITIVE_SCHEMA,
    ZERO_SCHEMA,
    Settings,
    format_duration,
)
from edge_agent.core.settings import TESTS, WITH_DEADBAND, WITHIN, AlarmSettings, ConditionSettings, ScheduleSettings
from edge_agent.iotcall.settings import IotcallSettings, RuleSettings
from edge_agent.sources import registry
from edge_agent.sources.base import SourceSettings
from edge_agent.sources.broker import BrokerSettings
from edge_agent.web.settings import WebSettings

Schema = dict[str, Any]
_DURATIONS = (DURATION_SCHEMA["anyOf"][0], POSITIVE_SCHEMA["anyOf"][0])
_OWN_WORDS = {"ge": "minimum", "gt": "exclusiveMinimum"}
"""Pydantic's own words for a limit behind a validator."""


def config_schema() -> Schema:
    """Return the schema of the whole file. What this version does not support is not in it."""
    models: dict[str, type[Settings]] = {
        "agent": AgentSettings,
        "iotcall": IotcallSettings,
        "rule": RuleSettings,
        "broker": BrokerSettings,
        "alarm": AlarmSettings,
        "condition": ConditionSettings,
        "schedule": ScheduleSettings,
        "web": WebSettings,
    }
    definitions = {name: _table(model) for name, model in models.items()}
    definitions["alarm"] |= _alarm_rules()
    definitions["condition"]["oneOf"] = [_test(test) for test in TESTS]
    for group in ("all", "any"):
        definitions["alarm"]["properties"][group]["items"] = _reference("condition")
    definitions["schedule"]["dependentRequired"] = {"from": ["to"], "to": ["from"]}
    definitions["iotcall"]["properties"]["rules"] = _named("rule")
    types = {f"source-{name}": _source(name) for name in registry.names()}
    definitions |= types
    definitions["source"] = {
        "type": "object",
        "properties": {"type": {"enum": registry.names()}},
        "required": ["type"],
        "oneOf": [_reference(name) for name in types],
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The configuration of edge-agent",
        "type": "object",
        "additionalProperties": False,
        "minProperties": 1,
        "properties": {
            "agent": _reference("agent"),
            "iotcall": _reference("iotcall"),
            "mqtt": _named("broker"),
            "sources": _named("source"),
            "alarms": _named("alarm"),
            "schedules": _named("schedule"),
            "web": _reference("web"),
        },
        "$defs": definitions,
    }


def _test(test: str) -> Schema:
    """Return what must, and what must not, stand beside a test."""
    needed = [test, "within"] if test in WITHIN else [test]
    properties: Schema = dict.fromkeys([key for key in (*TESTS, "within") if key not in needed], False)
    if test not in WITH_DEADBAND:
        properties["deadband"] = {"const": 0}
    return {"required": needed, "properties": properties}


def _alarm_rules() -> Schema:
    """Return what must stand together in an alarm: an input with one test, or else all or any."""
    choices = []
    for test in TESTS:
        rules = _test(test)
        properties = {**rules["properties"], "all": False, "any": False}
        if test == "changes":
            properties["on_delay"] = ZERO_SCHEMA
        choices.append({"required": ["input", *rules["required"]], "properties": properties})
    for group, other in (("all", "any"), ("any", "all")):
        alone = dict.fromkeys(("input", *TESTS, "within", other), False)
        choices.append({"required": [group], "properties": {**alone, "deadband": {"const": 0}}})
    return {
        "oneOf": choices,
        "dependentRequired": {"max_repeats": ["repeat"]},
        "if": {"anyOf": [_has_change("all"), _has_change("any")]},
        "then": {"properties": {"on_delay": ZERO_SCHEMA}},
    }


def _has_change(group: str) -> Schema:
    return {"required": [group], "properties": {group: {"contains": {"required": ["changes"]}}}}


def _reference(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _named(name: str) -> Schema:
    names = {"pattern": NAME_PATTERN, "maxLength": 64}
    return {"type": "object", "propertyNames": names, "additionalProperties": _reference(name)}


def _source(name: str) -> Schema:
    settings: type[SourceSettings] = registry.source_type(name).settings
    schema = _table(settings)
    schema["properties"]["type"] = {"const": name}
    schema["required"] = sorted({"type", *schema.get("required", [])})
    return schema


def _table(model: type[Settings]) -> Schema:
    """Return a table's schema by itself: without references, nulls and titles, durations as people write them."""
    schema = model.model_json_schema(mode="validation", by_alias=True)
    definitions = schema.pop("$defs", {})
    tidy: Schema = _tidy(schema, lambda reference: definitions[reference.rpartition("/")[2]])
    return tidy


def _tidy(schema: Any, resolve: Callable[[str], Any]) -> Any:
    if isinstance(schema, list):
        return [_tidy(item, resolve) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        schema = {**resolve(schema["$ref"]), **{key: value for key, value in schema.items() if key != "$ref"}}
    tidy = {key: _tidy(value, resolve) for key, value in schema.items() if key != "title" or isinstance(value, dict)}
    for word in _OWN_WORDS.keys() & tidy.keys():
        tidy[_OWN_WORDS[word]] = tidy.pop(word)
    if "patternProperties" in tidy:
        tidy["additionalProperties"] = False
    choices = [choice for choice in tidy.get("anyOf", ()) if choice != {"type": "null"}]
    if len(choices) == 1:
        tidy = {**choices[0], **{key: value for key, value in tidy.items() if key != "anyOf"}}
    elif choices:
        tidy["anyOf"] = choices
    return _with_default(tidy)


def _with_default(schema: Schema) -> Schema:
    """Return a key's schema with its default as it would be written in the file, or none."""
    if schema.get("default", "") is None:
        del schema["default"]
    elif isinstance(schema.get("default"), int) and any(form in _DURATIONS for form in schema.get("anyOf", ())):
        schema["default"] = format_duration(schema["default"]) if schema["default"] else "0s"
    return schema
