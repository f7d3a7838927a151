"""Checks one table of the file against its model, and reports everything that is wrong with it at once."""

import re
import types
import typing
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from edge_agent.config.errors import Problems
from edge_agent.config.examples import Example
from edge_agent.config.lines import Path
from edge_agent.config.words import did_you_mean, expected, explain, key_path, kind, near_miss, quote, split
from edge_agent.core.fields import Settings

Model = typing.TypeVar("Model", bound=Settings)


def check_table(problems: Problems, path: Path, table: object, model: type[Model], example: Example) -> Model | None:
    """Return the table's settings, or None after having reported what is wrong."""
    if not isinstance(table, dict):
        problems.add(path, f"is {kind(table)}", f"must be a table, [{key_path(path)}]")
        return None
    return _Table(problems, path, table, model, example).check()


class _Table(typing.Generic[Model]):
    def __init__(
        self,
        problems: Problems,
        path: Path,
        table: dict[str, Any],
        model: type[Model],
        example: Example,
        around: type[BaseModel] | None = None,
    ) -> None:
        """`around`: the model of the table that has this one in a list."""
        self._problems = problems
        self._path = path
        self._model = model
        self._example = example
        self._around = around
        self._later = {key for key, value in table.items() if _is_later(model, key, value)}
        self._table = {key: value for key, value in table.items() if key not in self._later}

    def check(self) -> Model | None:
        for key in self._later:
            self._problems.add_later((*self._path, key))
        right = [self._check_members(key, value) for key, value in list(self._table.items())]
        settings = self._check_itself()
        return settings if all(right) else None

    def _check_members(self, key: str, value: object) -> bool:
        """Check each table of a list of tables by itself; this table is then checked with the right ones."""
        model = _model_at(self._model, (key,)) if isinstance(value, list) else None
        if not isinstance(value, list) or model is None or not issubclass(model, Settings):
            return True
        members = [self._check_member(key, index, member, model) for index, member in enumerate(value)]
        right = [member for member in members if member is not None]
        self._table[key] = right if right or not members else self._example().get(key, [])
        return len(right) == len(members)

    def _check_member(self, key: str, index: int, member: object, model: type[Settings]) -> Settings | None:
        path = (*self._path, key, index)
        if not isinstance(member, dict):
            self._problems.add(path, f"is {kind(member)}", f"must be a table, as in {self._example_line((key,))}")
            return None
        return _Table(self._problems, path, member, model, self._example, self._model).check()

    def _check_itself(self) -> Model | None:
        try:
            settings = self._model.model_validate(self._table)
        except ValidationError as error:
            self._report(error)
            return None
        return None if self._later else settings

    def _report(self, error: ValidationError) -> None:
        found: dict[Path, list[Mapping[str, Any]]] = {}
        for item in error.errors(include_url=False):
            found.setdefault(_place(item, self._table), []).append(item)
        for place, errors in found.items():
            if not _overruled(place, errors, found):
                self._report_one(place, errors)
        bad = {str(place[0]) for place in found if place}
        if bad:
            self._report_rest(bad)

    def _report_one(self, place: Path, errors: list[Mapping[str, Any]]) -> None:
        if errors[0]["type"] == "extra_forbidden":
            self._report_unknown(place)
        else:
            value = _at(self._table, place)
            for message, hint in explain(errors, value, self._example_line(place)):
                self._add(place, message, hint)

    def _add(self, place: Path, message: str, hint: str) -> None:
        """Add what a validator says; of a whole table, its first word is the key, as in `fields.door`."""
        value = _at(self._table, place)
        first, _, rest = message.partition(" ")
        about: Path = ()
        for part in first.split(".") if first != "is" else ():  # a verb, though a test is called so too
            if isinstance(value, dict) and part in value:
                about, value = (*about, part), value[part]
        if not about and not place and rest.startswith("is missing") and first in _keys(self._model):
            about = (first,)
        if about:
            place, message = (*place, *about), rest
        self._problems.add((*self._path, *place), message, hint)

    def _report_unknown(self, place: Path) -> None:
        model = _model_at(self._model, place[:-1])
        key = str(place[-1])
        if model is not None and key in getattr(model, "later", ()):
            self._problems.add_later((*self._path, *place))
            return
        known = _keys(model) if model is not None else []
        if self._around is not None and len(place) == 1 and key in _keys(self._around):
            self._problems.add((*self._path, *place), "unknown key", f"write it beside {self._path[-2]}, not in it")
            return
        hint = did_you_mean(key, known, f"known here: {', '.join(known)}" if known else "remove it")
        self._problems.add((*self._path, *place), "unknown key", hint)

    def _report_rest(self, bad: set[str]) -> None:
        """Report what the table's own validators say once the bad keys are out of the way, if it is not about them."""
        table = {key: value for key, value in self._table.items() if key not in bad}
        known = _keys(self._model)
        for key in bad & self._table.keys() - set(known):
            meant = near_miss(key, known)
            if meant is not None:
                table.setdefault(meant, self._table[key])
        try:
            self._model.model_validate(table)
        except ValidationError as error:
            for item in error.errors(include_url=False):
                if item["type"] == "value_error" and not item["loc"]:
                    self._report_lines(str(item["ctx"]["error"]), bad)

    def _report_lines(self, text: str, bad: set[str]) -> None:
        for line in text.split("\n"):
            if not bad & set(re.findall(r"[\w-]+", line)):
                self._add((), *split(line))

    def _example_line(self, place: Path) -> str:
        """Return `key = value` with a right value; "" where the example has none."""
        example: object = self._example()
        key = ""
        for part in place:
            if not isinstance(part, str) or not isinstance(example, Mapping) or part not in example:
                return ""
            key, example = part, example[part]
        return f"{key} = {quote(example)}" if key else ""


def _is_later(model: type[Settings], key: str, value: object) -> bool:
    values = model.later_values.get(key, ())
    return key in model.later or any(
        isinstance(value, later) if isinstance(later, type) else type(value) is type(later) and value == later
        for later in values
    )


def _place(error: Mapping[str, Any], table: Any) -> Path:
    """Return where an error stands in the file: pydantic's path without the names of an either-or's branches."""
    place: Path = ()
    for part in error["loc"]:
        inside = part in table if isinstance(table, dict) else isinstance(table, list) and part in range(len(table))
        if inside:
            place, table = (*place, part), table[part]
    last = error["loc"][-1] if error["loc"] else None
    if error["type"] == "missing" and isinstance(last, str):
        place = (*place, last)
    return place


def _at(table: object, place: Path) -> object:
    for part in place:
        if isinstance(table, dict):
            table = table.get(part)
        elif isinstance(table, list) and isinstance(part, int):
            table = table[part]
    return table


def _overruled(place: Path, errors: list[Mapping[str, Any]], found: Mapping[Path, object]) -> bool:
    """Return whether what is wrong further inside tells more: of another branch of an either-or, or of a list."""
    deeper = any(len(other) > len(place) and other[: len(place)] == place for other in found)
    return bool(place) and deeper and all(expected(error) or error["type"] == "too_short" for error in errors)


def _keys(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_at(model: type[BaseModel], place: Path) -> type[BaseModel] | None:
    """Return the model of a table inside a table."""
    found: type[BaseModel] | None = model
    for part in place:
        if found is None or isinstance(part, int):
            continue
        field = next((field for name, field in found.model_fields.items() if part in (name, field.alias)), None)
        found = None if field is None else _model_in(field.annotation)
    return found


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return annotation if issubclass(annotation, BaseModel) else None
    return next((model for argument in typing.get_args(annotation) if (model := _model_in(argument))), None)
