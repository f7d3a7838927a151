"""What differs between two configurations, key by key, in words; never a secret."""

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import WithJsonSchema
from pydantic.fields import FieldInfo

from edge_agent.config.document import read_document
from edge_agent.config.errors import Problems
from edge_agent.config.lines import Path
from edge_agent.config.settings import Config
from edge_agent.config.words import clean, key_path, quote
from edge_agent.core.fields import DURATION_SCHEMA, POSITIVE_SCHEMA, Settings, format_duration

_PRIVATE = frozenset({"url_key"})
"""Keys whose values are not shown."""
_MAX_SHOWN = 120
_DURATIONS = (DURATION_SCHEMA["anyOf"][0], POSITIVE_SCHEMA["anyOf"][0])


def require_same_state_dir(old: Config, new: Config) -> None:
    """Make sure that a running agent can take over a configuration.

    Raises:
        ConfigError: it cannot: the state folder is locked and open.
    """
    if new.state_dir == old.state_dir:
        return
    problems = Problems(str(new.path), read_document(new.path)[1])
    hint = f"restart the agent, or set it back to {quote(str(old.state_dir))}"
    problems.add(("agent", "state_dir"), "cannot change while the agent runs", hint)
    raise problems.error()


def changes(old: Config, new: Config) -> list[str]:
    """Return a line for each difference: `alarms.freezer-warm.above: -15.0 → -12.0`, `sources.door added`."""
    return [clean(line) for line in _changes(old, new)]


def _changes(old: Config, new: Config) -> Iterator[str]:
    yield from _of_settings(("agent",), old.agent, new.agent)
    yield from _of_settings(("iotcall",), *(each.iotcall.replaced(rules={}) for each in (old, new)))
    if old.auth_code != new.auth_code:
        yield "iotcall: another AuthCode"
    yield from _of_tables(("iotcall", "rules"), old.iotcall.rules, new.iotcall.rules)
    yield from _of_tables(("mqtt",), old.mqtt, new.mqtt)
    for broker in old.mqtt.keys() & new.mqtt.keys():
        if old.passwords.get(broker) != new.passwords.get(broker):
            yield f"{key_path(('mqtt', broker))}: another password"
    yield from _of_tables(("sources",), old.sources, new.sources)
    yield from _of_tables(("alarms",), old.alarms, new.alarms)
    yield from _of_tables(("schedules",), old.schedules, new.schedules)
    yield from _of_settings(("web",), old.web, new.web)


def _of_tables(path: Path, old: Mapping[str, Settings], new: Mapping[str, Settings]) -> Iterator[str]:
    """Compare tables of tables: first those that are there no longer, then the others in the order of the file."""
    yield from (f"{key_path((*path, name))} removed" for name in old if name not in new)
    for name, settings in new.items():
        if name in old:
            yield from _of_settings((*path, name), old[name], settings)
        else:
            yield f"{key_path((*path, name))} added"


def _of_settings(path: Path, old: Settings, new: Settings) -> Iterator[str]:
    if type(old) is not type(new):
        yield f"{key_path(path)} is another: {_shown(old)} → {_shown(new)}"
        return
    for name, field in type(new).model_fields.items():
        before, after = getattr(old, name), getattr(new, name)
        key = (*path, field.alias or name)
        if before == after:
            continue
        if key[-1] in _PRIVATE:
            yield f"{key_path(key)} changed"
        elif isinstance(before, Settings) and isinstance(after, Settings):
            yield from _of_settings(key, before, after)
        elif _are_lists_alike(before, after):
            for index, (one, other) in enumerate(zip(before, after, strict=True)):
                yield from _of_settings((*key, index), one, other)
        else:
            yield f"{key_path(key)}: {_shown(before, field)} → {_shown(after, field)}"


def _are_lists_alike(before: object, after: object) -> bool:
    """Return whether both are lists of tables of one length: then their tables are compared."""
    if not isinstance(before, tuple) or not isinstance(after, tuple) or len(before) != len(after):
        return False
    return all(isinstance(item, Settings) for item in (*before, *after))


def _shown(value: object, field: FieldInfo | None = None) -> str:
    text = _text(value, field)
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 1] + "…"


def _text(value: object, field: FieldInfo | None) -> str:
    """Return a value as it would stand in the file."""
    if isinstance(value, Settings):
        fields = type(value).model_fields
        keys = [(field.alias or name, _text(getattr(value, name), field)) for name, field in fields.items()
                if name in value.model_fields_set]  # fmt: skip
        return "{ " + ", ".join(f"{key} = {'…' if key in _PRIVATE else text}" for key, text in keys) + " }"
    if isinstance(value, tuple) and any(isinstance(item, Settings) for item in value):
        return "[" + ", ".join(_text(item, None) for item in value) + "]"
    schema = _duration_schema(field)
    if schema is not None and isinstance(value, int):
        return format_duration(value) if value else "0s"
    if value is None:
        return next((str(entry["const"]) for entry in schema or () if "const" in entry), "not set")
    return quote(value)


def _duration_schema(field: FieldInfo | None) -> list[dict[str, Any]] | None:
    """Return the forms that a field's durations may have; None: it holds no duration."""
    for mark in () if field is None else _marks(field.annotation, field.metadata):
        forms = (mark.json_schema or {}).get("anyOf", ()) if isinstance(mark, WithJsonSchema) else ()
        if any(form in _DURATIONS for form in forms):
            return list(forms)
    return None


def _marks(annotation: object, metadata: object) -> Iterator[object]:
    """Yield what is noted beside a type, and beside those that it is made of."""
    yield from metadata if isinstance(metadata, list | tuple) else ()
    yield from getattr(annotation, "__metadata__", ())
    for part in get_args(annotation):
        yield from _marks(part, ())
