"""The schema for editors says of a file what `check` says, as far as a schema can."""

import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from edge_agent.config.errors import ConfigError
from edge_agent.config.loader import load
from edge_agent.config.schema import config_schema
from edge_agent.sources import registry

EXAMPLE = (Path(__file__).parents[2] / "config.example.toml").read_text(encoding="utf-8")
EVERYTHING = re.sub(r"^# ([a-z_]+ = )", r"\1", EXAMPLE, flags=re.MULTILINE)
SOURCE = "[sources.level]\ntype='serial'\nport='p'\n"
ALARM = SOURCE + "[alarms.a]\ninput='level'\n"


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = config_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


RIGHT = [
    EXAMPLE,
    EVERYTHING,
    ALARM + "above=1",
    ALARM + "is=true",
    ALARM + "is_not='x'\ncall=[]\non_delay=5",
    ALARM + "outside=[1, 2.5]\ndeadband=0.5\non_delay='1h30m'",
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
    SOURCE + "smooth={median=5}",
    ALARM,
    ALARM + "above=1\nbelow=2",
    ALARM + "above='1'",
    ALARM + "outside=[1]",
    ALARM + "above=1\ndeadband=-1",
    ALARM + "above=1\npriority='urgent'",
    ALARM + "above=1\nlatching=true",
    ALARM + "above=1\nis_=true",
    ALARM + "above=1\ncall='a b'",
    "[schedules.s]\nfrom='25:00'\nto='01:00'",
]


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong(validator: jsonschema.Draft202012Validator, tmp_path: Path, text: str) -> None:
    assert not validator.is_valid(tomllib.loads(text))
    (tmp_path / "config.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError):
        load(tmp_path / "config.toml", secrets=False, env={})


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
