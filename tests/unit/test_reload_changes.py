"""What differs between two configurations, in words: every key, as it stands in the file, and never a secret."""

from pathlib import Path

import pytest

from edge_agent.config.changes import changes, require_same_state_dir
from edge_agent.config.errors import ConfigError
from edge_agent.config.loader import load
from edge_agent.config.settings import Config

BASE = """\
[agent]
name = "one"
state_dir = "state"
[iotcall.rules.pump]
url_key = "15XXXXXXXXXX28b89"
expires = "6h"
[mqtt.plant]
host = "localhost"
username = "u"
password_file = "password"
[sources.freezer]
type = "mqtt"
topic = "site/+/freezer"
[sources.boiler]
type = "serial"
port = "/dev/ttyUSB0"
poll = { send = "READ?", every = "5s" }
[sources.door]
type = "gpio"
pin = 17
[alarms.warm]
input = "freezer"
above = -15.0
on_delay = "5m"
call = "pump"
[alarms.both]
all = [{ input = "freezer", above = 1.0 }, { input = "door", is = true }]
[schedules.night]
from = "18:00"
to = "08:00"
"""
FREEZER, DOOR = '{ above = 1.0, input = "freezer" }', '{ is = true, input = "door" }'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in (("auth", "AAAA"), ("password", "hunter2")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    return tmp_path


def config(folder: Path, *edits: tuple[str, str], code: str = "AAAA") -> Config:
    text = BASE
    for old, new in edits:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (folder / "config.toml").write_text(text)
    return load(folder / "config.toml", secrets=True, env={"IOTCALL_AUTH_CODE": code})


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ("above = -15.0", "above = -12.0", ["alarms.warm.above: -15.0 → -12.0"]),
        (
            "above = -15.0",
            "below = -15.0",
            ["alarms.warm.above: -15.0 → not set", "alarms.warm.below: not set → -15.0"],
        ),
        ('on_delay = "5m"', "on_delay = 0", ["alarms.warm.on_delay: 5m → 0s"]),
        ('on_delay = "5m"', "on_delay = 300.0", []),
        ('call = "pump"', 'repeat = "90m"', ['alarms.warm.call: ["pump"] → []', "alarms.warm.repeat: not set → 1h30m"]),
        ("is = true }", "is = false }", ["alarms.both.all[1].is: true → false"]),
        (
            '{ input = "freezer", above = 1.0 }, ',
            "",
            [f"alarms.both.all: [{FREEZER}, {DOOR}] → [{DOOR}]"],
        ),
        ("[alarms.warm]", "[alarms.hot]", ["alarms.warm removed", "alarms.hot added"]),
        ("pin = 17", 'pin = 18\ndebounce = "50ms"', ["sources.door.pin: 17 → 18", "sources.door.debounce: 0s → 50ms"]),
        (
            'type = "gpio"\npin = 17',
            'type = "serial"\nport = "/dev/x"',
            ['sources.door is another: { type = "gpio", pin = 17 } → { type = "serial", port = "/dev/x" }'],
        ),
        ('every = "5s"', 'every = "1m"', ["sources.boiler.poll.every: 5s → 1m"]),
        ('expires = "6h"', 'expires = "never"', ["iotcall.rules.pump.expires: 6h → never"]),
        ('from = "18:00"', 'from = "19:00"', ['schedules.night.from: "18:00" → "19:00"']),
        ('name = "one"', 'name = "two"', ['agent.name: "one" → "two"']),
        ('host = "localhost"', 'host = "broker"', ['mqtt.plant.host: "localhost" → "broker"']),
        ("[schedules.night]", '[web]\nlisten = ""\n[schedules.night]', ['web.listen: "127.0.0.1:8790" → ""']),
        ("[schedules.night]", "# a remark\n[schedules.night]", []),
    ],
)
def test_each_change_is_a_line_with_what_was_and_what_is(folder: Path, old: str, new: str, lines: list[str]) -> None:
    assert changes(config(folder), config(folder, (old, new))) == lines


def test_no_secret_is_shown(folder: Path) -> None:
    before = config(folder)
    (folder / "password").write_text("swordfish")
    after = config(folder, ("15XXXXXXXXXX28b89", "16YYYYYYYYYY99c77"), code="BBBB")
    told = changes(before, after)
    assert told == [
        "iotcall: another AuthCode",
        "iotcall.rules.pump.url_key changed",
        "mqtt.plant: another password",
    ]


def test_a_new_rule_is_named_only(folder: Path) -> None:
    new = '[iotcall.rules.other]\nurl_key = "secret"\n[schedules.night]'
    assert changes(config(folder), config(folder, ("[schedules.night]", new))) == ["iotcall.rules.other added"]


def test_what_is_long_is_cut(folder: Path) -> None:
    long = "x" * 5000
    [line] = changes(config(folder), config(folder, ('topic = "site/+/freezer"', f'topic = "{long}"')))
    assert len(line) < 200


def test_the_state_folder_cannot_change_while_it_is_in_use(folder: Path) -> None:
    before = config(folder)
    require_same_state_dir(before, config(folder, ("above = -15.0", "above = -12.0")))
    after = config(folder, ('state_dir = "state"', 'state_dir = "other"'))
    with pytest.raises(ConfigError) as refused:
        require_same_state_dir(before, after)
    assert str(refused.value) == (
        f"{folder}/config.toml:3: agent.state_dir: cannot change while the agent runs;"
        f' restart the agent, or set it back to "{folder}/state"'
    )
