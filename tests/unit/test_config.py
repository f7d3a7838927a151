"""A right configuration becomes settings; each wrong one is told with line, key and remedy, all at once."""

import dataclasses
import re
import tomllib
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
from edge_agent.core.settings import AlarmSettings, ScheduleSettings
from edge_agent.iotcall.settings import IotcallSettings, RuleSettings
from edge_agent.sources import registry
from edge_agent.sources.broker import BrokerSettings
from edge_agent.web.settings import WebSettings

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "config.example.toml"

BASE = """\
[iotcall.rules.pump]
url_key = "KEY"
[mqtt.plant]
host = "localhost"
[sources.door]
type = "gpio"
pin = 17
[sources.level]
type = "serial"
port = "/dev/ttyUSB0"
[sources.boiler]
type = "serial"
port = "/dev/ttyUSB1"
format = "csv"
columns = ["temperature", "pressure"]
[sources.free]
type = "serial"
port = "/dev/ttyUSB2"
format = "keyvalue"
[sources.freezer]
type = "mqtt"
topic = "site/+/freezer"
[sources.room]
type = "mqtt"
topic = "room/+"
fields = { temperature = "t", door = "d" }
[sources.word]
type = "mqtt"
topic = "word"
format = "text"
"""
BASE_LINES = BASE.count("\n")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def problems(file: Path, text: str, **options: Any) -> list[Problem]:
    """Return what is wrong with a text; [] if nothing is."""
    file.write_text(text, encoding="utf-8")
    options = {"secrets": False, "env": {"HOME": "/root"}} | options
    try:
        load(file, **options)
    except ConfigError as error:
        return error.problems
    return []


def told(file: Path, text: str) -> list[str]:
    """Return the problems of BASE and a text after it as "LINE: KEY: what; remedy", the lines counted in the text."""
    found = [str(problem).removeprefix(f"{file}:") for problem in problems(file, BASE + text)]
    return [f"{int(line) - BASE_LINES}:{rest}" for line, _, rest in (problem.partition(":") for problem in found)]


def good(file: Path, text: str, **options: Any) -> Config:
    file.write_text(text, encoding="utf-8")
    return load(file, secrets=False, **options)


ALARM = '[alarms.a]\ninput = "level"\nabove = 1\n'
SEVEN = "above, below, outside, inside, is, is_not, silent_for"
DURATION = 'is no duration; write it like "250ms", "30s", "5m", "2h", "1d" or "1h30m"'
LATER = "not supported in this version; remove it"

WRONG: list[tuple[str, list[str]]] = [
    # unknown keys and tables, with near misses
    (ALARM.replace("above", "abov"), ['3: alarms.a.abov: unknown key; did you mean "above"?']),
    (ALARM + "on-delay = 1", ['4: alarms.a.on-delay: unknown key; did you mean "on_delay"?']),
    ("[agent]\nxyzzy = 1", ["2: agent.xyzzy: unknown key; known here: name, state_dir, timezone, language, clock, "
                            "keep_rows, keep_events, max_events, log_level, history_file"]),
    ("[alarm.a]\ninput='door'", ['1: alarm: unknown table; did you mean "alarms"?']),
    ("[foo]", ["1: foo: unknown table; known tables: agent, iotcall, mqtt, sources, alarms, schedules, web"]),
    ("[web]\nListen = ''", ['2: web.Listen: unknown key; did you mean "listen"?']),
    ("[sources.s]\ntype='gpio'\npin=4\npul='up'", ['4: sources.s.pul: unknown key; did you mean "pull"?']),
    ('[sources.s]\ntype="serial"\nport="x"\npoll={send="a", evry=5}',
     ['4: sources.s.poll.evry: unknown key; did you mean "every"?', '4: sources.s.poll.every: is missing; add every = …']),
    # what comes in a later version
    *((f"[{table}]", [f"1: {table}: {LATER}"]) for table in
      ("webhook", "heartbeat", "publish", "outputs.a", "fallback", "[test_calls]", "standby", "contacts.a")),
    ("[agent]\nlanguage = 'ja'\nmax_shelve = '1h'\nhistory_file = true",
     [f"2: agent.language: {LATER}", f"3: agent.max_shelve: {LATER}", f"4: agent.history_file: {LATER}"]),
    ("[iotcall.rules.r]\nurl_key='K'\nverify='answered'\non_ambiguous='check_log'\nrule_id='0008200149'",
     [f"3: iotcall.rules.r.verify: {LATER}", f"4: iotcall.rules.r.on_ambiguous: {LATER}",
      f"5: iotcall.rules.r.rule_id: {LATER}"]),
    ("[iotcall.rules.r]\nurl_key='K'\n[[iotcall.rules.r.shifts]]\ngroup='A'", [f"3: iotcall.rules.r.shifts: {LATER}"]),
    (ALARM + "latching=true\ncancel_on_clear=true\nschedule='n'\ninhibited_by=[]",
     [f"{line}: alarms.a.{key}: {LATER}" for line, key in
      enumerate(("latching", "cancel_on_clear", "schedule", "inhibited_by"), 4)]),
    *((f'[alarms.a]\ninput="level"\n{key}\n', [f"3: alarms.a.{key.split()[0]}: {LATER}"]) for key in
      ("matches = 'x'", "changes = true")),
    ('[alarms.a]\ninput="level"\ntrips = 3\nwithin = "60s"', [f"3: alarms.a.trips: {LATER}", f"4: alarms.a.within: {LATER}"]),
    ("[alarms.a]\nall = [{input='door', is=true}]", [f"2: alarms.a.all: {LATER}"]),
    ("[alarms.a]\ninput='agent.outbox_waiting'\nabove=1",
     ["2: alarms.a.input: not supported in this version; points of the agent itself come later; use a source's"]),
    ("[sources.s]\ntype='serial'\nport='x'\nsmooth={median=5}\nunit='C'",
     [f"4: sources.s.smooth: {LATER}", f"5: sources.s.unit: {LATER}"]),
    # values
    ("[agent]\nkeep_rows = '3 d'\nmax_events = 0\nclock = 'trust'\nlog_level = 1",
     [f"2: agent.keep_rows: '3 d' {DURATION}", "3: agent.max_events: 0 is out of range; must be at least 1",
      '4: agent.clock: "trust" is not possible; must be "auto" or "trusted"; did you mean "trusted"?',
      '5: agent.log_level: is a number; must be "debug", "info", "warning" or "error"']),
    ("[agent]\ntimezone='Asia/Tokio'", ['2: agent.timezone: is no time zone; did you mean "Asia/Tokyo"?']),
    ("[agent]\ntimezone='Asia'", ['2: agent.timezone: is no time zone; write it like "Asia/Tokyo"']),
    ("[agent]\nname='a#b'",
     ["2: agent.name: is no name; use 1 to 100 characters without +, # and control characters"]),
    ("[agent]\nname=\"a\\u0000\"\nstate_dir=\"\\u0000\"",
     ["2: agent.name: is no name; use 1 to 100 characters without +, # and control characters",
      '3: agent.state_dir: is no path; write it like state_dir = "/var/lib/edge-agent"']),
    ("[agent]\nkeep_events = '0s'", ['2: agent.keep_events: must be more than 0; write it like keep_events = "90d"']),
    ("[iotcall]\nbase_url='http://example.com'\ntimeout=true\nproxy='https://p'",
     ["2: iotcall.base_url: http:// would send the AuthCode unencrypted; write https:// (http:// is for loopback only)",
      f"3: iotcall.timeout: True {DURATION}",
      '4: iotcall.proxy: is no proxy\'s address; write it like "http://host:port"']),
    ("[iotcall.rules.r]\nurl_key='a b'\nexpires='nver'\nmax_calls=1.5\nverify='on'",
     ["2: iotcall.rules.r.url_key: is no URL key; only letters, digits, - and _; it is the last part of …/mc/KEY in the "
      "console", f"3: iotcall.rules.r.expires: 'nver' {DURATION}",
      "4: iotcall.rules.r.max_calls: is a number; must be a whole number, for example max_calls = 6",
      '5: iotcall.rules.r.verify: "on" is not possible; must be "off"']),
    ("[iotcall.rules.r]\nexpires='1h'", ['1: iotcall.rules.r.url_key: is missing; add url_key = "15XXXXXXXXXX28b89"']),
    ("[iotcall.rules]\nr = 5", ["2: iotcall.rules.r: is a number; must be a table with a name of its own, "
                                "[iotcall.rules.NAME]"]),
    ("[alarms.'a b']\ninput='door'\nis=true",
     ['1: alarms."a b": "a b" is no name; use letters, digits, - and _, beginning with a letter or _, at most 64']),
    (f"[alarms.{'a' * 65}]\ninput='door'\nis=true",
     [f'1: alarms.{"a" * 65}: "{"a" * 65}" is no name; use letters, digits, - and _, beginning with a letter or _, '
      "at most 64"]),
    ("[web]\nlisten='8790'\nhosts='x'",
     ["2: web.listen: '8790' is no address to listen on; write it like \"127.0.0.1:8790\" or \"[::]:8790\"",
      '3: web.hosts: is a text; must be a list, for example hosts = ["pump-house.example.org"]']),
    ("[web]\nlisten=':8790'\nhosts=['http://x']",
     ['2: web.listen: has no host; write "0.0.0.0:8790" for all interfaces, "127.0.0.1:8790" for this machine',
      "3: web.hosts[0]: is no host's name; write it without scheme and port, like pump-house.example.org"]),
    ("[schedules.s]\ndays=['mon', 'monday']\nfrom='25:00'\nto='8:00'\nholidays='DE'",
     ["2: schedules.s.days[1]: 'monday' is no day; use mon … sun, a range like \"mon-fri\", or daily, weekends, holidays, "
      "workdays", '3: schedules.s.from: is no time of day; write it like "18:00"',
      '4: schedules.s.to: is no time of day; write it like "18:00"',
      '5: schedules.s.holidays: "DE" is not possible; must be "JP" or a list']),
    ("[schedules.s]\nfrom='18:00'",
     ['1: schedules.s: give both from and to, or neither for the whole day; for example from = "18:00"']),
    # alarms: exactly one test, and what goes with it
    ("[alarms.a]\ninput='level'", [f"1: alarms.a: has no test; give exactly one of {SEVEN}"]),
    (ALARM + "below = 2", [f"1: alarms.a: has above and below; give exactly one of {SEVEN}"]),
    ("[alarms.a]\nabove=1", ['1: alarms.a.input: is missing; add input = "freezer"']),
    ("[alarms.a]\ninput='level'\noutside=[5, 1]",
     ["3: alarms.a.outside: has its low limit above its high one; write [low, high]"]),
    ("[alarms.a]\ninput='level'\ninside=[5, 1]",
     ["3: alarms.a.inside: has its low limit above its high one; write [low, high]"]),
    ("[alarms.a]\ninput='level'\noutside=[1, 5]\ndeadband=2.1",
     ["4: alarms.a.deadband: is too large: outside could never end; at most half of high - low"]),
    ("[alarms.a]\ninput='door'\nis=true\ndeadband=1\nmax_repeats=3\non_delay='x'",
     ["4: alarms.a.deadband: does not apply to is; it serves above, below, outside, inside",
      '5: alarms.a.max_repeats: needs repeat; for example repeat = "30m"', f"6: alarms.a.on_delay: 'x' {DURATION}"]),
    ("[alarms.a]\ninput='level'\nabove=nan\non_bad='ignore'\npriority='urgent'",
     ["3: alarms.a.above: must be a finite number; write it like above = -15.0",
      '4: alarms.a.on_bad: "ignore" is not possible; must be "hold", "raise" or "clear"',
      '5: alarms.a.priority: "urgent" is not possible; must be "high", "medium" or "low"']),
    ("[alarms.a]\ninput='level'\nabove='1'", ["3: alarms.a.above: is a text; must be a number, for example above = -15.0"]),
    ("[alarms.a]\ninput='level'\nis=[1]",
     ["3: alarms.a.is: is a list; must be true or false, a number or a text in quotes, for example is = true"]),
    ("[alarms.a]\ninput='level'\noutside=[1]", ["3: alarms.a.outside: has too few values; write it like "
                                                "outside = [2.0, 8.0]"]),
    ("[alarms.a]\ninput='level'\noutside=[1, 'x']",
     ["3: alarms.a.outside[1]: is a text; must be a number"]),
    (ALARM + "deadband=-1\nmax_repeats=-1",
     ["4: alarms.a.deadband: -1 is out of range; must be at least 0",
      "5: alarms.a.max_repeats: -1 is out of range; must be at least 0"]),
    # references
    (ALARM + "call='pmp'", ['4: alarms.a.call: there is no IoTCall rule "pmp"; did you mean "pump"?']),
    (ALARM + "call=['pump',\n'boss']", ['5: alarms.a.call[1]: there is no IoTCall rule "boss"; there is "pump"']),
    (ALARM + "call=['pump', 'pump']", ["4: alarms.a.call: names the same rule twice; name each once"]),
    ("[alarms.a]\ninput='leval'\nabove=1", ['2: alarms.a.input: there is no source "leval"; did you mean "level"?']),
    ("[alarms.a]\ninput='boilr.temperature'\nabove=1",
     ['2: alarms.a.input: there is no source "boilr"; did you mean "boiler.temperature"?']),
    ("[alarms.a]\ninput='boiler'\nabove=1",
     ['2: alarms.a.input: boiler has several fields; write "boiler.temperature" or "boiler.pressure"']),
    ("[alarms.a]\ninput='boiler.temprature'\nabove=1",
     ['2: alarms.a.input: boiler has no field "temprature"; did you mean "boiler.temperature"?']),
    ("[alarms.a]\ninput='boiler.x'\nabove=1",
     ['2: alarms.a.input: boiler has no field "x"; write "boiler.temperature" or "boiler.pressure"']),
    ("[alarms.a]\ninput='free'\nabove=1",
     ['2: alarms.a.input: free has several fields; name one of them, "free.FIELD"']),
    ("[alarms.a]\ninput='level.x'\nabove=1", ['2: alarms.a.input: level has one value and no fields; write "level"']),
    ("[alarms.a]\ninput='level[1]'\nabove=1", ['2: alarms.a.input: level has no instances; write "level"']),
    ("[alarms.a]\ninput='freezer[f1].t'\nabove=1",
     ['2: alarms.a.input: freezer has one value and no fields; write "freezer[f1]"']),
    ("[alarms.a]\ninput='room[1]'\nabove=1",
     ['2: alarms.a.input: room has several fields; write "room[1].temperature" or "room[1].door"']),
    ("[alarms.a]\ninput='freezer[f1].online'\nis=false",
     ["2: alarms.a.input: online is the whole source's; write \"freezer.online\""]),
    ("[alarms.a]\ninput='door'\nabove=1",
     ["3: alarms.a.above: door is never a number; test it by is or is_not, for example is = true"]),
    ("[alarms.a]\ninput='level.online'\ninside=[0, 1]",
     ["3: alarms.a.inside: level.online is never a number; test it by is or is_not, for example is = true"]),
    ("[alarms.a]\ninput='word'\nbelow=1",
     ["3: alarms.a.below: word is never a number; test it by is or is_not, for example is = true"]),
    # sources and brokers
    ("[sources.s]", ['1: sources.s.type: is missing; add type = "gpio", "mqtt" or "serial"']),
    ("[sources.s]\ntype='mqt'", ['2: sources.s.type: there is no source type "mqt"; did you mean "mqtt"?']),
    ("[sources.s]\ntype='modbus'",
     ['2: sources.s.type: there is no source type "modbus"; take "gpio", "mqtt" or "serial"']),
    ("[sources.s]\ntype=1", ['2: sources.s.type: is a number; must be "gpio", "mqtt" or "serial"']),
    ("[sources.s]\ntype='gpio'", ["1: sources.s.pin: is missing; add pin = 17"]),
    ("[sources.agent]\ntype='gpio'\npin=3",
     ["1: sources.agent: the name agent is taken by the agent's own points; take another name"]),
    ("[sources.s]\ntype='mqtt'\ntopic='x'\nfields={online='a'}",
     ["1: sources.s: has a field named online, which every source has of itself; rename it"]),
    ("[sources.s]\ntype='gpio'\npin='BOARD11'",
     ['3: sources.s.pin: "BOARD11" is the pin of sources.door too; give each source a pin of its own']),
    ("[sources.s]\ntype='mqtt'\ntopic='x'\nbroker='plnt'",
     ['4: sources.s.broker: there is no broker "plnt"; did you mean "plant"?']),
    ("[mqtt.b]\nport=70000",
     ['1: mqtt.b.host: is missing; add host = "localhost"', "2: mqtt.b.port: 70000 is out of range; must be at most 65535"]
     + []),
    ("[sources.s]\ntype='serial'\nport='x'\nmin=2\nmax=1", ["4: sources.s.min: is greater than max; swap them"]),
    ("[sources.s]\ntype='serial'\nport='x'\nformat='json'\nfields={a='[['}", None),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), [case for case in WRONG if case[1] is not None])
def test_what_is_wrong(file: Path, text: str, expected: list[str]) -> None:
    found = [problem for problem in told(file, text) if "several brokers" not in problem]
    assert sorted(found) == sorted(expected)
