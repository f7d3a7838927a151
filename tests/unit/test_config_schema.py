"""The schema for editors says of a file what `check` says, as far as a schema can."""

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from edge_agent.config.errors import ConfigError
from edge_agent.config.loader import load
from edge_agent.config.schema import config_schema
from edge_agent.core.settings import AlarmSettings
from edge_agent.sources import registry

EXAMPLE = (Path(__file__).parents[2] / "config.example.toml").read_text(encoding="utf-8")
EVERYTHING = re.sub(r"^# ([a-z_]+ = )", r"\1", EXAMPLE, flags=re.MULTILINE)
SOURCE = "[sources.level]\ntype='serial'\nport='p'\n"
ALARM = SOURCE + "[alarms.a]\ninput='level'\n"


@cache
def made() -> jsonschema.Draft202012Validator:
    schema = config_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.fixture
def validator() -> jsonschema.Draft202012Validator:
    return made()


RIGHT = [
    EXAMPLE,
    EVERYTHING,
    ALARM + "above=1",
    ALARM + "is=true",
    ALARM + "is_not='x'\ncall=[]\non_delay=5",
    ALARM + "outside=[1, 2.5]\ndeadband=0.5\non_delay='1h30m'",
    ALARM + "rises_by=0.5\nwithin='10m'\nlatching=true\ncancel_on_clear=true",
    ALARM + "changes=true\non_delay='0s'\ndeadband=0",
    ALARM + "above=1\nschedule='s'\ninhibited_by=['b']\n[alarms.b]\ninput='level.online'\nis=false\n[schedules.s]",
    SOURCE + "[alarms.a]\nall=[{input='level',above=1,deadband=1},{input='agent.auth_ok',is=false}]\non_delay=5",
    SOURCE + "[[alarms.a.any]]\ninput='level'\nchanges=true\n[[alarms.a.any]]\ninput='level'\nfalls_by=1\nwithin=5",
    SOURCE + "smooth={median=5}",
    SOURCE + "smooth={mean=10000}",
    "[agent]\nmax_shelve='12h'",
    "[iotcall.rules.r]\nurl_key='K'\nexpires='never'\nper=60\nmax_calls=0",
    "[schedules.s]\nfrom='18:00'\nto='24:00'\nholidays=['2026-12-31']",
    "[web]\nlisten=''",
    *(registry.source_type(name).example + "[mqtt.b]\nhost='h'" for name in registry.names()),
]


@pytest.mark.parametrize("text", RIGHT)
def test_what_is_right(validator: jsonschema.Draft202012Validator, tmp_path: Path, text: str) -> None:
    validator.validate(tomllib.loads(text))
    (tmp_path / "config.toml").write_text(text, encoding="utf-8")
    load(tmp_path / "config.toml", secrets=False, env={})


WRONG = [
    "",
    "[foo]",
    "[publish]",
    "[agent]\nnam='x'",
    "[agent]\nlanguage='ja'",
    "[agent]\nkeep_rows='3 d'",
    "[agent]\nmax_events=0",
    "[iotcall.rules.r]",
    "[iotcall.rules.'a b']\nurl_key='K'",
    "[iotcall.rules.r]\nurl_key='a b'",
    "[iotcall.rules.r]\nurl_key='K'\nverify='answered'",
    "[iotcall.rules.r]\nurl_key='K'\nexpires='nver'",
    "[mqtt.b]\nhost='h'\nport=70000",
    "[mqtt]\nhost='h'",
    "[sources.s]",
    "[sources.s]\ntype='mqt'",
    "[sources.s]\ntype='gpio'",
    "[sources.s]\ntype='gpio'\npin=4\ntopic='x'",
    SOURCE + "poll={send='x'}",
    SOURCE + "format='json'\nfields={'a b'='x'}",
    SOURCE + "smooth={median=5,mean=5}",
    SOURCE + "smooth={}",
    SOURCE + "smooth={median=0}",
    SOURCE + "unit='C'",
    "[sources.g]\ntype='gpio'\npin=4\nsmooth={median=5}",
    "[agent]\nmax_shelve=0",
    "[agent]\nmax_shelve='0m0s'",
    ALARM,
    ALARM + "above=1\nbelow=2",
    ALARM + "above='1'",
    ALARM + "outside=[1]",
    ALARM + "above=1\ndeadband=-1",
    ALARM + "above=1\npriority='urgent'",
    ALARM + "above=1\nlatching=1",
    ALARM + "above=1\nmax_repeats=1",
    ALARM + "above=1\nschedule='a b'",
    ALARM + "changes=false",
    ALARM + "changes=true\non_delay='1s'",
    ALARM + "rises_by=1",
    ALARM + "rises_by=0\nwithin=5",
    ALARM + "above=1\nwithin=5",
    ALARM + "is=1\ndeadband=1",
    ALARM + "all=[{input='level',above=1}]",
    SOURCE + "[alarms.a]\nabove=1",
    SOURCE + "[alarms.a]\nall=[]",
    SOURCE + "[alarms.a]\nall=[{input='level'}]",
    SOURCE + "[alarms.a]\nall=[{above=1}]",
    SOURCE + "[alarms.a]\nall=[{input='level',above=1,on_delay=1}]",
    SOURCE + "[alarms.a]\nall=[{input='level',above=1}]\nany=[{input='level',above=1}]",
    SOURCE + "[alarms.a]\nall=[{input='level',above=1},{input='level',changes=true}]\non_delay=1",
    ALARM + "above=1\nis_=true",
    ALARM + "above=1\ncall='a b'",
    "[schedules.s]\nfrom='25:00'\nto='01:00'",
    "[schedules.s]\nfrom='20:00'",
]


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong(validator: jsonschema.Draft202012Validator, tmp_path: Path, text: str) -> None:
    assert not validator.is_valid(tomllib.loads(text))
    (tmp_path / "config.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError):
        load(tmp_path / "config.toml", secrets=False, env={})


TEST_KEYS: dict[str, list[Any]] = {
    "above": [1, -2.5, "1", True],
    "outside": [[1, 2], [1], "x"],
    "is": [True, 0, "x", []],
    "matches": ["x", 1],
    "rises_by": [1.5, 0],
    "silent_for": ["10m", 0],
    "changes": [True, False],
    "trips": [3, 0],
    "within": ["1m", "0s", 5],
    "deadband": [0, 0.25, -1],
    "input": ["level", 1],
}
ALARM_KEYS: dict[str, list[Any]] = {
    "on_delay": [0, "0s", "5m", 1],
    "repeat": ["1m", 0],
    "max_repeats": [0, -1],
    "latching": [True, "no"],
    "schedule": ["s", 1],
    "inhibited_by": ["b", ["b", "c"], ["b", "b"], "a b"],
    "unit": ["C"],
}


RIGHT_TESTS: list[dict[str, Any]] = [
    {"above": 1, "deadband": 0.25},
    {"outside": [1, 2], "deadband": 0},
    {"is": True},
    {"matches": "x"},
    {"rises_by": 1.5, "within": "1m"},
    {"silent_for": "10m"},
    {"changes": True},
    {"trips": 3, "within": 5},
]


def _some(keys: dict[str, list[Any]], most: int) -> st.SearchStrategy[dict[str, Any]]:
    """Return tables of a few keys; the values that are right are likelier."""
    values = {key: st.sampled_from([values[0], values[0], *values]) for key, values in keys.items()}
    names = st.lists(st.sampled_from(sorted(keys)), max_size=most, unique=True)
    return names.flatmap(lambda chosen: st.fixed_dictionaries({name: values[name] for name in chosen}))


TESTS = st.tuples(st.sampled_from(RIGHT_TESTS), st.just({}) | _some(TEST_KEYS, 2)).map(lambda two: two[0] | two[1])
CONDITIONS = TESTS.map(lambda table: {"input": "level"} | table)
GROUPS = st.dictionaries(st.sampled_from(["all", "any"]), st.lists(CONDITIONS, max_size=2), max_size=2)
HEARTS = CONDITIONS | GROUPS | st.tuples(_some(TEST_KEYS, 3), GROUPS).map(lambda two: two[0] | two[1])
ALARMS = st.tuples(HEARTS, _some(ALARM_KEYS, 2)).map(lambda two: {**two[0], **two[1]})


@settings(max_examples=400, deadline=None)
@given(table=ALARMS)
def test_any_alarm(table: dict[str, Any]) -> None:
    """The schema and the model agree on every combination of keys."""
    try:
        AlarmSettings.model_validate(table)
        right = True
    except ValidationError:
        right = False
    found = made().is_valid({"alarms": {"a": table}})
    assert found == right


def test_it_reads_as_the_file_is_written() -> None:
    """Durations' defaults as people write them, keys by their names in the file, no nulls."""
    definitions = config_schema()["$defs"]
    assert definitions["iotcall"]["properties"]["timeout"]["default"] == "15s"
    assert definitions["alarm"]["properties"]["on_delay"]["default"] == "0s"
    assert {"is", "is_not"} <= set(definitions["alarm"]["properties"])
    assert {"from", "to"} <= set(definitions["schedule"]["properties"])
    assert "null" not in _words(definitions)


def _words(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value) | {word for item in value.values() for word in _words(item)}
    if isinstance(value, list):
        return {word for item in value for word in _words(item)}
    return {str(value)}
