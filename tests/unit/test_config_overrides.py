"""Settings given on the command line: where they go, and that errors name them and no line of the file."""

from pathlib import Path

import pytest

from edge_agent.config.errors import ConfigError
from edge_agent.config.loader import load
from edge_agent.config.overrides import parse_override
from edge_agent.config.settings import Config

CONFIG = """
[agent]
name = "pump"
[iotcall.rules.pump]
url_key = "PUMP"
[mqtt.plant]
host = "localhost"
[sources.tank]
type = "mqtt"
topic = "tank"
[alarms.high]
input = "tank"
above = 10
[alarms.both]
all = [{ input = "tank", above = 1 }, { input = "tank", below = 5 }]
"""


def with_set(folder: Path, *texts: str) -> Config:
    path = folder / "config.toml"
    path.write_text(CONFIG)
    return load(path, secrets=False, env={"HOME": str(folder)}, overrides=map(parse_override, texts))


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("alarms.high.above=-12", ("alarms", "high", "above"), -12),
        (" alarms . high . above = 1.5 ", ("alarms", "high", "above"), 1.5),
        ('alarms."a b".call="x"', ("alarms", "a b", "call"), "x"),
        ("a.b=true", ("a", "b"), True),
        ("a.b=5m", ("a", "b"), "5m"),
        ("a.b=two words", ("a", "b"), "two words"),
        ("a.b=", ("a", "b"), ""),
        ("a.b=x=y", ("a", "b"), "x=y"),
        ('a.b=["x", "y"]', ("a", "b"), ["x", "y"]),
        ("a={ b = 1 }", ("a",), {"b": 1}),
        ("a=1 # comment", ("a",), 1),
        ("a=1\nb=2", ("a",), "1\nb=2"),
    ],
)
def test_a_value_is_toml_or_a_bare_word(text: str, path: tuple[str, ...], value: object) -> None:
    override = parse_override(text)
    assert (override.path, override.value, override.text) == (path, value, f"--set {text}")


@pytest.mark.parametrize("text", ["alarms.high", "=1", "a b=1", "a..b=1", "[a]=1", "a\n=1", 'a="x', "a=[1", "a={"])
def test_what_is_no_setting(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no|has no"):
        parse_override(text)


def test_a_key_is_changed_or_added(tmp_path: Path) -> None:
    config = with_set(tmp_path, "alarms.high.above=3", "alarms.high.on_delay=5m", "alarms.high.above=4")
    assert (config.alarms["high"].above, config.alarms["high"].on_delay) == (4, 300_000_000)
    assert not with_set(tmp_path, "alarms.high.enabled=false").alarms["high"].enabled
    assert with_set(tmp_path, "alarms.new={ input = 'tank', below = 1 }").alarms["new"].below == 1
    config = with_set(tmp_path, "alarms.new.input=tank", "alarms.new.below=1", "agent.timezone=Europe/Berlin")
    assert (config.alarms["new"].below, config.agent.timezone) == (1, "Europe/Berlin")


def test_an_entry_of_a_list_is_named_by_its_number(tmp_path: Path) -> None:
    assert with_set(tmp_path, "alarms.both.all.1.below=7").alarms["both"].conditions[1].below == 7


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("alarms.high.above=hot", "alarms.high.above: is a text; must be a number, for example above = -15.0"),
        ("alarms.high.abov=3", 'alarms.high.abov: unknown key; did you mean "above"?'),
        ("alarms.high.below=3", "alarms.high: has above and below"),
        ("alarms.hi.above=3", "alarms.hi.input: is missing"),
        ("alarms.high.call=pumpe", 'alarms.high.call: there is no IoTCall rule "pumpe"; did you mean "pump"?'),
        ("alarms.high.above.x=1", "alarms.high.above.x: alarms.high.above is a number; only a table has keys"),
        ("alarms.both.all.1.below=x", "alarms.both.all[1].below: is a text"),
        ("alarms.both.all.2.below=1", "alarms.both.all[2].below: alarms.both.all[2] is not there"),
        ("alarms.both.all.2=1", "alarms.both.all[2]: there is no such entry; the list has 2, counted from 0"),
        ("alarms.both.all.x.below=1", "alarms.both.all.x.below: "),
        ("alarms=1", "alarms: is a number"),
        ("alarm.high.above=1", "alarm: unknown table"),
    ],
)
def test_errors_name_the_setting(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        with_set(tmp_path, text)
    assert str(refused.value.problems[0]).startswith(f"--set {text}: {said}")


def test_errors_of_the_file_keep_their_line(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG + "nonsense = 1\n")
    with pytest.raises(ConfigError) as refused:
        load(path, secrets=False, overrides=[parse_override("alarms.high.above=1")])
    assert (
        str(refused.value) == f"{path}:16: alarms.both.nonsense: unknown key; " + str(refused.value).partition("; ")[2]
    )
