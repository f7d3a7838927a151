"""A right configuration becomes settings; a file that cannot be read, or is no TOML, is told in one line."""

import os
import re
from datetime import UTC
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_agent.config.errors import ConfigError, Problem
from edge_agent.config.loader import load
from edge_agent.config.settings import AgentSettings, Config, default_state_dir, time_zone
from edge_agent.core.fields import SECOND, Settings
from edge_agent.core.settings import TESTS, AlarmSettings, ConditionSettings, ScheduleSettings
from edge_agent.iotcall.settings import IotcallSettings, RuleSettings
from edge_agent.source_desk import source_spec
from edge_agent.sources import registry
from edge_agent.sources.broker import BrokerSettings
from edge_agent.web.settings import WebSettings

EXAMPLE = (Path(__file__).parents[2] / "config.example.toml").read_text(encoding="utf-8")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def config(file: Path, text: str) -> Config:
    file.write_text(text, encoding="utf-8")
    return load(file, secrets=False, env={})


def problems(file: Path, data: bytes) -> list[Problem]:
    file.write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        load(file, secrets=False, env={})
    return caught.value.problems


class TestExample:
    """config.example.toml is right, and shows every key."""

    def test_it_is_right(self, file: Path) -> None:
        shown = config(file, EXAMPLE)
        assert set(shown.sources) == {"door", "power", "boiler", "meter", "scale", "freezer", "room", "ups"}
        tests = {condition.test() for alarm in shown.alarms.values() for condition in alarm.conditions}
        assert tests == set(TESTS)
        assert {alarm.schedule for alarm in shown.alarms.values()} == {None, "night"}

    def test_what_is_commented_out_is_right_too(self, file: Path) -> None:
        shown = config(file, re.sub(r"^# ([a-z_]+ = )", r"\1", EXAMPLE, flags=re.MULTILINE))
        assert shown.mqtt["plant"].tls
        assert shown.iotcall.proxy == "http://proxy.example.org:3128"

    def test_every_key_is_shown(self) -> None:
        models: list[type[Settings]] = [AgentSettings, IotcallSettings, RuleSettings, BrokerSettings, AlarmSettings]
        models += [
            ConditionSettings,
            ScheduleSettings,
            WebSettings,
            *(registry.source_type(name).settings for name in registry.names()),
        ]
        for model in models:
            for name, field in model.model_fields.items():
                key = field.alias or name
                shown = re.search(rf"^(# )?{key} = ", EXAMPLE, re.MULTILINE)
                assert shown or f"iotcall.{key}." in EXAMPLE, f"{model}: {key}"

    def test_every_key_is_in_the_documentation(self) -> None:
        text = (Path(__file__).parents[2] / "docs/configuration.md").read_text(encoding="utf-8")
        for key in re.findall(r"^(?:# )?([a-z_]+) = ", EXAMPLE, re.MULTILINE):
            assert f"`{key}" in text, key

    def test_each_source_type_brings_a_right_example(self, file: Path) -> None:
        for name in registry.names():
            shown = config(file, "[mqtt.b]\nhost='h'\n" + registry.source_type(name).example)
            assert [source.type for source in shown.sources.values()] == [name]


def test_defaults(file: Path) -> None:
    """Those that the documentation promises."""
    text = "[iotcall.rules.r]\nurl_key='K'\n[mqtt.b]\nhost='h'\n[sources.s]\ntype='serial'\nport='p'\n"
    text += "[sources.m]\ntype='mqtt'\ntopic='t/+'\n[sources.g]\ntype='gpio'\npin=4\n"
    text += "[alarms.a]\ninput='s'\nabove=1\n[schedules.n]\n"
    shown = config(file, text)
    rule, alarm, broker = shown.iotcall.rules["r"], shown.alarms["a"], shown.mqtt["b"]
    assert shown.agent.name == os.uname().nodename.partition(".")[0]
    assert (shown.agent.language, shown.agent.clock, shown.agent.log_level) == ("en", "auto", "info")
    assert shown.agent.max_shelve == 86400 * SECOND
    assert (shown.agent.keep_rows, shown.agent.max_events) == (90 * 86400 * SECOND, 100_000)
    assert (shown.iotcall.base_url, shown.iotcall.timeout) == ("https://sys.iotcall.jp", 15 * SECOND)
    assert (rule.expires, rule.max_calls, rule.per) == (86400 * SECOND, 10, 3600 * SECOND)
    assert (rule.coalesce, rule.verify, rule.on_ambiguous) == (True, "off", "call_again")
    assert (alarm.on_delay, alarm.off_delay, alarm.cooldown, alarm.deadband, alarm.repeat) == (0, 0, 0, 0, None)
    assert (alarm.priority, alarm.on_bad, alarm.enabled, alarm.call) == ("medium", "hold", True, ())
    assert (broker.tcp_port, broker.version, broker.tls) == (1883, "5", False)
    assert (shown.web.listen, shown.web.hosts) == ("127.0.0.1:8790", ())
    assert shown.sources["m"].model_dump()["broker"] == "b"
    assert shown.schedules["n"].days == ("daily",)
    assert shown.auth_code is None
    assert shown.passwords == {}


def test_values(file: Path) -> None:
    text = "[iotcall]\nbase_url='http://127.0.0.1:1/x/'\ntimeout=2.5\nca_file='ca.pem'\nauth_code_file='/etc/code'\n"
    text += "[iotcall.rules.a-b]\nurl_key='K_-1'\nexpires='never'\n[iotcall.rules.c]\nurl_key='K_-1'\nexpires='1h30m'\n"
    text += "[mqtt.b]\nhost='h'\nversion='3.1.1'\ntls=true\ncert_file='c'\nkey_file='../k'\n"
    text += "[sources.s]\ntype='serial'\nport='p'\n[alarms.a]\ninput='s'\nis=1\ncall=['c','a-b']\n"
    shown = config(file, text)
    folder = file.parent
    assert (shown.iotcall.ca_file, shown.iotcall.auth_code_file) == (str(folder / "ca.pem"), "/etc/code")
    assert shown.iotcall.timeout == 2_500_000
    assert [rule.expires for rule in shown.iotcall.rules.values()] == [None, 5400 * SECOND]
    assert (shown.mqtt["b"].cert_file, shown.mqtt["b"].key_file) == (str(folder / "c"), str(folder / "../k"))
    assert shown.alarms["a"].call == ("c", "a-b")
    assert shown.alarms["a"].limit("is") == 1


def test_alarms(file: Path) -> None:
    """What the engine gets of each kind of alarm."""
    text = "[sources.s]\ntype='serial'\nport='p'\nformat='csv'\ncolumns=['t','d']\nsmooth={mean=3}\n"
    text += "[sources.m]\ntype='mqtt'\ntopic='m'\nsmooth={median=4}\n[mqtt.b]\nhost='h'\n[schedules.n]\n"
    text += "[alarms.one]\ninput='s.t'\nis=true\ninhibited_by='two'\nschedule='n'\nlatching=true\n"
    text += "[alarms.two]\nany=[{input='s.t',rises_by=1,within='2m'},{input='agent.auth_ok',is=false}]\n"
    text += "[[alarms.three.all]]\ninput='s.d'\ntrips=3\nwithin=60\n[[alarms.three.all]]\ninput='m'\nmatches='(?i)x'\n"
    shown = config(file, text)
    one, two, three = shown.alarms["one"], shown.alarms["two"], shown.alarms["three"]
    assert [(c.input, c.test(), c.limit(c.test())) for c in one.conditions] == [("s.t", "is", True)]
    assert [(c.input, c.test(), c.within) for c in two.conditions] == [
        ("s.t", "rises_by", 120 * SECOND),
        ("agent.auth_ok", "is", None),
    ]
    assert [(c.input, c.limit(c.test())) for c in three.conditions] == [("s.d", 3), ("m", "(?i)x")]
    assert (one.inhibited_by, one.schedule, one.latching, two.all) == (("two",), "n", True, None)
    assert one.replaced(input="s.d").conditions[0].input == "s.d"
    assert [source_spec(shown.sources[name]).smooth for name in ("s", "m")] == [("mean", 3), ("median", 4)]


def test_exact_limits(file: Path) -> None:
    """0.3 - 0.1 is 0.2: a deadband of half of it is right."""
    text = "[sources.s]\ntype='serial'\nport='p'\n[alarms.a]\ninput='s'\noutside=[0.1, 0.3]\ndeadband=0.1"
    assert config(file, text).alarms["a"].deadband == 0.1


INPUTS = ["level", "level.online", "boiler.t", "free.anything", "freezer", "freezer[f1]", "freezer[a/b]"]
INPUTS += ["freezer[x.y]", "freezer.online", "room.t", "room[1].t", "room[].t", "room[a]b].t", "door"]
INPUTS += ["agent.iotcall_reachable", "agent.undervoltage"]


@pytest.mark.parametrize("point", INPUTS)
def test_inputs(file: Path, point: str) -> None:
    text = "[mqtt.b]\nhost='h'\n[sources.level]\ntype='serial'\nport='p'\n[sources.door]\ntype='gpio'\npin=1\n"
    text += "[sources.boiler]\ntype='serial'\nport='q'\nformat='csv'\ncolumns=['t']\n"
    text += "[sources.free]\ntype='serial'\nport='r'\nformat='keyvalue'\n"
    text += "[sources.freezer]\ntype='mqtt'\ntopic='a/#'\n[sources.room]\ntype='mqtt'\ntopic='r/+'\nfields={t='t'}\n"
    assert config(file, text + f"[alarms.a]\ninput='{point}'\nis=true\n").alarms["a"].input == point


URLS = ["https://sys.iotcall.jp", "https://h:8443/a/b/", "http://127.0.0.1:1", "http://127.9.9.9", "http://[::1]:80/"]
URLS += ["http://localhost:1"]
NO_URLS = [
    "http://h",
    "http://10.0.0.1",
    "https://h?x=1",
    "https://h#x",
    "https://u@h",
    "https://u:p@h",
    "ftp://h",
    "h",
]
NO_URLS += [
    "",
    "https://",
    "https://h:70000",
    "https://h\\t.x",
    "https://h x",
    "http://localhost.example.com",
    "https://ä",
]


@pytest.mark.parametrize("url", URLS)
def test_base_urls(file: Path, url: str) -> None:
    assert config(file, f'[iotcall]\nbase_url = "{url}"').iotcall.base_url == url


@pytest.mark.parametrize("url", NO_URLS)
def test_what_is_no_base_url(file: Path, url: str) -> None:
    [problem] = problems(file, f'[iotcall]\nbase_url = "{url}"'.encode())
    assert (problem.line, problem.key) == (2, "iotcall.base_url")


@pytest.mark.parametrize("listen", ["", "127.0.0.1:8790", "[::1]:8790", "[::]:1", "0.0.0.0:65535", "localhost:8790"])
def test_listen(file: Path, listen: str) -> None:
    assert config(file, f"[web]\nlisten='{listen}'").web.listen == listen


@pytest.mark.parametrize(
    "listen", ["x", "1.2.3.4", "a:0", "a:70000", "a:x", "::1:80", "[x]:1", "a b:1", "http://a:1", "a:"]
)
def test_what_is_no_listen(file: Path, listen: str) -> None:
    assert [problem.key for problem in problems(file, f"[web]\nlisten='{listen}'".encode())] == ["web.listen"]


HOME_STATE = Path.home() / ".local/state/edge-agent"
STATE_DIRS = [
    ("/etc/edge-agent/config.toml", {"STATE_DIRECTORY": "/var/lib/private/x:/b"}, Path("/var/lib/private/x")),
    ("/etc/edge-agent/config.toml", {"XDG_STATE_HOME": "/x"}, Path("/var/lib/edge-agent")),
    ("/etc/edge-agent/sites/a.toml", {}, Path("/var/lib/edge-agent")),
    ("/etc/edge-agent2/config.toml", {"XDG_STATE_HOME": "/x"}, Path("/x/edge-agent")),
    ("/srv/config.toml", {"XDG_STATE_HOME": "relative"}, HOME_STATE),
    ("/srv/config.toml", {"XDG_STATE_HOME": ""}, HOME_STATE),
    ("/srv/config.toml", {}, HOME_STATE),
]


@pytest.mark.parametrize(("path", "env", "expected"), STATE_DIRS)
def test_where_the_state_lies(path: str, env: dict[str, str], expected: Path) -> None:
    assert default_state_dir(Path(path), env) == expected


def test_the_state_dir_is_absolute(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the file was named by a relative path; nothing is made."""
    file.write_text("[agent]\nstate_dir='state'\n", encoding="utf-8")
    monkeypatch.chdir(file.parent)
    shown = load("config.toml", secrets=False, env={})
    assert (shown.path, shown.state_dir) == (file, file.parent / "state")
    assert not shown.state_dir.exists()


def test_time_zones(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert config(file, "[agent]\ntimezone='Asia/Tokyo'").zone() == ZoneInfo("Asia/Tokyo")
    monkeypatch.setenv("TZ", ":Europe/Berlin")
    assert time_zone(None) == ZoneInfo("Europe/Berlin")
    monkeypatch.setenv("TZ", "nonsense")
    assert time_zone(None) == UTC
    monkeypatch.delenv("TZ")
    assert time_zone(None) is not None


UNREADABLE: list[tuple[str, bytes, int, str]] = [
    ("empty", b"", 1, "holds no configuration"),
    ("comments only", b"# x\n\n", 1, "holds no configuration"),
    ("binary", b"[agent]\n\xff\xfe", 2, "is no UTF-8 text"),
    ("BOM", b"\xef\xbb\xbf[agent]", 1, "byte order mark"),
    ("NUL", b"[agent]\nname = 'a\0'", 2, "remove the control character"),
    ("UTF-16", "[agent]".encode("utf-16"), 1, "is no UTF-8 text"),
    ("deep list", b"x = " + b"[" * 50_000, 1, "nested too deeply"),
    ("deep key", b"\n" + b"a." * 100_000 + b"a = 1", 2, "nested too deeply"),
    ("deep header", b"\n[" + b"a." * 100_000 + b"a]", 2, "nested too deeply"),
    ("deep tables", b"x = " + b"{a=" * 50_000, 1, "nested too deeply"),
    ("long number", b"x = " + b"1" * 5000, 1, "too long"),
    ("too large", b"#" * 5_000_000, 1, "is longer than 4 MB"),
    ("no quotes", b"[agent]\nname = pump", 2, "texts stand in quotes"),
    ("open text", b"[agent]\nname = 'pump\nx=1", 2, "close the text"),
    ("backslash", b'[agent]\nname = "\\d"', 2, "single quotes"),
    ("no value", b"[agent]\nname\n", 2, "write key = value"),
    ("a key twice", b"[agent]\nname='a'\nname='b'", 3, "the key is there twice"),
    ("a table twice", b"[agent]\n[web]\n[agent]", 3, "cannot declare agent twice"),
    ("open list", b"[web]\nhosts = ['a',\n\n", 2, "close the list"),
    ("open long text", b"[web]\nlisten = '''\n\n", 2, "close the text"),
    ("open header", b"[web\n", 1, "close the header"),
    ("two in a line", b"a = 1 b = 2", 1, "one key = value in a line"),
]


@pytest.mark.parametrize(
    ("data", "line", "words"), [case[1:] for case in UNREADABLE], ids=[case[0] for case in UNREADABLE]
)
def test_what_is_no_configuration(file: Path, data: bytes, line: int, words: str) -> None:
    [problem] = problems(file, data)
    assert (problem.line, problem.key) == (line, "")
    assert words in str(problem)
    assert problem.hint


def test_files_that_are_none(tmp_path: Path) -> None:
    cases = [
        (tmp_path, "is a folder"),
        (tmp_path / "none.toml", "there is no such file"),
        (Path("/dev/null"), "holds no"),
    ]
    cases += [(tmp_path / "a\0b", "cannot be read"), (tmp_path / ("x" * 999), "cannot be read: File name too long")]
    cases += [(Path("/dev/zero"), "longer than")]
    for path, words in cases:
        with pytest.raises(ConfigError, match=words) as caught:
            load(path, secrets=False, env={})
        assert len(caught.value.problems) == 1
        assert str(caught.value.problems[0]).isprintable()


def test_crlf(file: Path) -> None:
    assert set(config(file, EXAMPLE.replace("\n", "\r\n")).alarms) == set(config(file, EXAMPLE).alarms)
    found = problems(file, b"[agent]\r\n\r\nnam = 'x'\r\n")
    assert [(problem.line, problem.key) for problem in found] == [(3, "agent.nam")]


DATA = EXAMPLE.encode()
LINES = DATA.split(b"\n")
KEYS = [index for index, line in enumerate(LINES) if re.match(rb"(# )?[a-z_]+ = ", line)]
TOKENS = b"\" ' [ ]] { \n = . [[ true -1 1e999 nan [] {} \xef\xbb\xbf \0 99999999999999999999".split(b" ")
MUTATIONS = st.tuples(
    st.integers(0, len(DATA) - 1), st.integers(0, 12), st.binary(max_size=4) | st.sampled_from([*TOKENS, b"'''"])
)
VALUES = b'1 -1 true "" "x" [] [1] ["a"] {} {a=1} nan 1979-05-27 [[]] 1.5 "\\u0000" "../x" [{a=1}]'.split(b" ")


def told(file: Path) -> list[Problem]:
    try:
        load(file, secrets=True, env={})
    except ConfigError as error:
        return error.problems or pytest.fail("an error without a problem")
    return []


def no_worse_than_a_configuration_error(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    for problem in told(file):
        assert str(problem).isprintable()
        assert 1 <= problem.line <= data.count(b"\n") + 1
        assert not re.search("pydantic|Input should", str(problem))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mutations=st.lists(MUTATIONS, min_size=1, max_size=5))
def test_mutated_files(file: Path, mutations: list[tuple[int, int, bytes]]) -> None:
    """Bytes put in and taken out anywhere: right, or told in lines that stand on their own."""
    data = DATA
    for at, removed, inserted in mutations:
        data = data[:at] + inserted + data[at + removed :]
    no_worse_than_a_configuration_error(file, data)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(draw=st.data())
def test_mutated_values(file: Path, draw: Any) -> None:
    """Any kind of value at any key."""
    lines = list(LINES)
    for index in draw.draw(st.lists(st.sampled_from(KEYS), min_size=1, max_size=4, unique=True)):
        key = lines[index].removeprefix(b"# ").partition(b" = ")[0]
        lines[index] = key + b" = " + draw.draw(st.sampled_from(VALUES))
    no_worse_than_a_configuration_error(file, b"\n".join(lines))


@pytest.mark.parametrize("value", [value.decode() for value in VALUES])
def test_every_key_with_every_kind_of_value(file: Path, value: str) -> None:
    """Each at its own line, and in words of ours."""
    lines = list(LINES)
    for index in KEYS:
        key = LINES[index].removeprefix(b"# ").partition(b" = ")[0]
        lines[index] = LINES[index] if key == b"type" else key + b" = " + value.encode()
    data = b"\n".join(lines)
    no_worse_than_a_configuration_error(file, data)


INSIDE = [*TESTS, "within", "deadband", "on_delay"]
NESTED = [
    *(
        f'[alarms.KEY]\nall = [{{ input = "level", {key} = VALUE }}, {{ input = "level", above = 1 }}]'
        for key in INSIDE
    ),
    *(f'[[alarms.KEY.any]]\ninput = "level"\n{key} = VALUE' for key in INSIDE),
    "[alarms.KEY]\nall = [VALUE]\nany = VALUE",
    "[alarms.KEY]\nall = [{ input = VALUE, above = 1 }]",
    "[alarms.KEY]\ninhibited_by = [VALUE, 'k0']\nschedule = VALUE\nall = [[VALUE], {}]",
    *(f"[sources.KEY]\ntype = 'serial'\nport = 'KEY'\nsmooth = {{ {key} = VALUE }}" for key in ("median", "mean", "x")),
    "[sources.KEY]\ntype = 'gpio'\npin = VALUE\nsmooth = VALUE",
    "[schedules.KEY]\ndays = [VALUE]\nholidays = [VALUE]",
]


@pytest.mark.parametrize("value", [value.decode() for value in VALUES])
def test_every_kind_of_value_within_lists_and_tables(file: Path, value: str) -> None:
    text = "[sources.level]\ntype = 'serial'\nport = 'p'\n"
    text += "\n".join(case.replace("KEY", f"k{at}").replace("VALUE", value) for at, case in enumerate(NESTED))
    no_worse_than_a_configuration_error(file, text.encode())
    assert len(told(file)) > len(NESTED) / 2
