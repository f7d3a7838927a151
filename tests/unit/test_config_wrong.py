# ruff: noqa: E501 - in the cases a line holds what is wrong with it
"""Each wrong configuration is told with line, key, what is wrong and what would be right; all at once."""

from pathlib import Path

import pytest

from edge_agent.config.errors import ConfigError, Problem
from edge_agent.config.loader import load

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
broker = "plant"
[sources.room]
type = "mqtt"
topic = "room/+"
broker = "plant"
fields = { temperature = "t", door = "d" }
[sources.word]
type = "mqtt"
topic = "word"
broker = "plant"
format = "text"
"""
"""What each case below follows. A "#!" in a case tells what is wrong with its line."""

CASES = r"""
=== unknown keys
[alarms.a]
input = "level"
above = 1
on-delay = 1  #! alarms.a.on-delay: unknown key; did you mean "on_delay"?
[web]
Listen = ""  #! web.Listen: unknown key; did you mean "listen"?
Xyzzy = 1  #! web.Xyzzy: unknown key; known here: listen, hosts
[sources.s]
type = "gpio"
pin = 4
pul = "up"  #! sources.s.pul: unknown key; did you mean "pull"?
[iotcall.pump]  #! iotcall.pump: unknown key; known here: base_url, auth_code_file, timeout, ca_file, proxy, rules
=== a near miss of the test is not also a missing test
[alarms.a]
input = "level"
abov = 1  #! alarms.a.abov: unknown key; did you mean "above"?
=== a table in a table
[sources.s]
type = "serial"
port = "x"
poll = {send = "a", evry = 5}  #! sources.s.poll.evry: unknown key; did you mean "every"? #! sources.s.poll.every: is missing; add every = …
=== unknown tables
[alarm.a]  #! alarm: unknown table; did you mean "alarms"?
[foo]  #! foo: unknown table; known tables: agent, iotcall, mqtt, sources, alarms, schedules, web
=== tables of later versions
[webhook]  #! webhook: not supported in this version; remove it
[heartbeat]  #! heartbeat: not supported in this version; remove it
[publish]  #! publish: not supported in this version; remove it
[outputs.siren]  #! outputs: not supported in this version; remove it
[fallback]  #! fallback: not supported in this version; remove it
[[test_calls]]  #! test_calls: not supported in this version; remove it
[standby]  #! standby: not supported in this version; remove it
[contacts.sato]  #! contacts: not supported in this version; remove it
[[iotcall.rules.pump.shifts]]  #! iotcall.rules.pump.shifts: not supported in this version; remove it
=== keys and values of later versions
[agent]
language = "ja"  #! agent.language: not supported in this version; remove it
max_shelve = "24h"  #! agent.max_shelve: not supported in this version; remove it
history_file = true  #! agent.history_file: not supported in this version; remove it
[iotcall.rules.r]
url_key = "K"
rule_id = "0008200149"  #! iotcall.rules.r.rule_id: not supported in this version; remove it
verify = "answered"  #! iotcall.rules.r.verify: not supported in this version; remove it
verify_within = "20m"  #! iotcall.rules.r.verify_within: not supported in this version; remove it
on_unanswered = ["pump"]  #! iotcall.rules.r.on_unanswered: not supported in this version; remove it
on_ambiguous = "check_log"  #! iotcall.rules.r.on_ambiguous: not supported in this version; remove it
[alarms.a]
input = "level"
above = 1
latching = true  #! alarms.a.latching: not supported in this version; remove it
cancel_on_clear = true  #! alarms.a.cancel_on_clear: not supported in this version; remove it
schedule = "night"  #! alarms.a.schedule: not supported in this version; remove it
inhibited_by = ["b"]  #! alarms.a.inhibited_by: not supported in this version; remove it
[alarms.b]
input = "word"
matches = "x"  #! alarms.b.matches: not supported in this version; remove it
[alarms.c]
input = "door"
trips = 3  #! alarms.c.trips: not supported in this version; remove it
within = "60s"  #! alarms.c.within: not supported in this version; remove it
[alarms.d]
all = [{ input = "door", is = true }]  #! alarms.d.all: not supported in this version; remove it
[alarms.e]
input = "agent.outbox_waiting"  #! alarms.e.input: not supported in this version; points of the agent itself come later; use a source's
above = 1
[sources.s]
type = "serial"
port = "x"
smooth = { median = 5 }  #! sources.s.smooth: not supported in this version; remove it
unit = "C"  #! sources.s.unit: not supported in this version; remove it
=== [agent]
[agent]
name = "a#b"  #! agent.name: is no name; use 1 to 100 characters without +, # and control characters
state_dir = "\u0000"  #! agent.state_dir: is no path; write it like state_dir = "/var/lib/edge-agent"
timezone = "Asia/Tokio"  #! agent.timezone: is no time zone; did you mean "Asia/Tokyo"?
keep_rows = "3 d"  #! agent.keep_rows: '3 d' is no duration; write it like "250ms", "30s", "5m", "2h", "1d" or "1h30m"
keep_events = 0  #! agent.keep_events: must be more than 0; write it like keep_events = "90d"
max_events = 0  #! agent.max_events: 0 is out of range; must be at least 1
clock = "trust"  #! agent.clock: "trust" is not possible; must be "auto" or "trusted"; did you mean "trusted"?
log_level = 1  #! agent.log_level: is a number; must be "debug", "info", "warning" or "error"
history_file = 1  #! agent.history_file: is a number; must be false
=== a folder of time zones
[agent]
timezone = "Asia"  #! agent.timezone: is no time zone; write it like "Asia/Tokyo"
=== [iotcall]
[iotcall]
base_url = "http://example.com"  #! iotcall.base_url: http:// would send the AuthCode unencrypted; write https:// (http:// is for loopback only)
timeout = true  #! iotcall.timeout: True is no duration; write it like "250ms", "30s", "5m", "2h", "1d" or "1h30m"
proxy = "https://p"  #! iotcall.proxy: is no proxy's address; write it like "http://host:port"
ca_file = ""  #! iotcall.ca_file: is too short; write it like ca_file = "/etc/edge-agent/ca.pem"
[iotcall.rules]
x = 5  #! iotcall.rules.x: is a number; must be a table with a name of its own, [iotcall.rules.NAME]
[iotcall.rules.q]  #! iotcall.rules.q.url_key: is missing; add url_key = "15XXXXXXXXXX28b89"
coalesce = 1  #! iotcall.rules.q.coalesce: is a number; must be true or false, for example coalesce = true
[iotcall.rules.r]
url_key = "a b"  #! iotcall.rules.r.url_key: is no URL key; only letters, digits, - and _; it is the last part of …/mc/KEY in the console
expires = "nver"  #! iotcall.rules.r.expires: 'nver' is no duration; write it like "250ms", "30s", "5m", "2h", "1d" or "1h30m"
max_calls = 1.5  #! iotcall.rules.r.max_calls: is a number; must be a whole number, for example max_calls = 6
verify = "on"  #! iotcall.rules.r.verify: "on" is not possible; must be "off"
=== names
[alarms."a b"]  #! alarms."a b": "a b" is no name; use letters, digits, - and _, beginning with a letter or _, at most 64
input = "door"
is = true
[mqtt.1]  #! mqtt.1: "1" is no name; use letters, digits, - and _, beginning with a letter or _, at most 64
host = "x"
[sources.agent]  #! sources.agent: the name agent is taken by the agent's own points; take another name
type = "gpio"
pin = 3
=== [web]
[web]
listen = "8790"  #! web.listen: '8790' is no address to listen on; write it like "127.0.0.1:8790" or "[::]:8790"
hosts = "x"  #! web.hosts: is a text; must be a list, for example hosts = ["pump-house.example.org"]
=== [web] for all
[web]
listen = ":8790"  #! web.listen: has no host; write "0.0.0.0:8790" for all interfaces, "127.0.0.1:8790" for this machine
hosts = ["a",
  "http://x"]  #! web.hosts[1]: is no host's name; write it without scheme and port, like pump-house.example.org
=== schedules
[schedules.s]
days = ["mon",
  "monday"]  #! schedules.s.days[1]: 'monday' is no day; use mon … sun, a range like "mon-fri", or daily, weekends, holidays, workdays
from = "25:00"  #! schedules.s.from: is no time of day; write it like "18:00"
to = "8:00"  #! schedules.s.to: is no time of day; write it like "18:00"
holidays = "DE"  #! schedules.s.holidays: "DE" is not possible; must be "JP" or a list
[schedules.t]  #! schedules.t: give both from and to, or neither for the whole day; for example from = "18:00"
from = "18:00"
=== one test, no more
[alarms.a]  #! alarms.a: has no test; give exactly one of above, below, outside, inside, is, is_not, silent_for
input = "level"
[alarms.b]  #! alarms.b: has above and below; give exactly one of above, below, outside, inside, is, is_not, silent_for
input = "level"
above = 1
below = 2
[alarms.c]  #! alarms.c.input: is missing; add input = "freezer"
above = 1
[alarms.d]  #! alarms.d: has no test; give exactly one of above, below, outside, inside, is, is_not, silent_for
input = "level"
enabled = "yes"  #! alarms.d.enabled: is a text; must be true or false, for example enabled = true
=== limits
[alarms.a]
input = "level"
outside = [5, 1]  #! alarms.a.outside: has its low limit above its high one; write [low, high]
[alarms.b]
input = "level"
inside = [5, 1]  #! alarms.b.inside: has its low limit above its high one; write [low, high]
[alarms.c]
input = "level"
outside = [1, 5]
deadband = 2.1  #! alarms.c.deadband: is too large: outside could never end; at most half of high - low
[alarms.d]
input = "door"
is = true
deadband = 1  #! alarms.d.deadband: does not apply to is; it serves above, below, outside, inside
max_repeats = 3  #! alarms.d.max_repeats: needs repeat; for example repeat = "30m"
on_delay = "x"  #! alarms.d.on_delay: 'x' is no duration; write it like "250ms", "30s", "5m", "2h", "1d" or "1h30m"
[alarms.e]
input = "level"
above = nan  #! alarms.e.above: must be a finite number; write it like above = -15.0
on_bad = "ignore"  #! alarms.e.on_bad: "ignore" is not possible; must be "hold", "raise" or "clear"
priority = "urgent"  #! alarms.e.priority: "urgent" is not possible; must be "high", "medium" or "low"
[alarms.f]
input = "level"
above = "1"  #! alarms.f.above: is a text; must be a number, for example above = -15.0
deadband = -1  #! alarms.f.deadband: -1 is out of range; must be at least 0
max_repeats = -1  #! alarms.f.max_repeats: -1 is out of range; must be at least 0
[alarms.g]
input = "level"
is = [1]  #! alarms.g.is: is a list; must be true or false, a number or a text in quotes, for example is = true
[alarms.h]
input = "level"
outside = [1]  #! alarms.h.outside: has too few values; write it like outside = [2.0, 8.0]
[alarms.i]
input = "level"
outside = [1, "x"]  #! alarms.i.outside[1]: is a text; must be a number
[alarms.j]
input = "level"
outside = [1, 2, 3]  #! alarms.j.outside: is too long; at most 2
=== IoTCall rules
[alarms.a]
input = "level"
above = 1
call = "pmp"  #! alarms.a.call: there is no IoTCall rule "pmp"; did you mean "pump"?
[alarms.b]
input = "level"
above = 1
call = ["pump",
  "boss"]  #! alarms.b.call[1]: there is no IoTCall rule "boss"; there is "pump"
[alarms.c]
input = "level"
above = 1
call = ["pump", "pump"]  #! alarms.c.call: names the same rule twice; name each once
=== inputs
[alarms.a]
input = "leval"  #! alarms.a.input: there is no source "leval"; did you mean "level"?
above = 1
[alarms.b]
input = "boilr.temperature"  #! alarms.b.input: there is no source "boilr"; did you mean "boiler.temperature"?
above = 1
[alarms.c]
input = "boiler"  #! alarms.c.input: boiler has several fields; write "boiler.temperature" or "boiler.pressure"
above = 1
[alarms.d]
input = "boiler.temprature"  #! alarms.d.input: boiler has no field "temprature"; did you mean "boiler.temperature"?
above = 1
[alarms.e]
input = "boiler.x"  #! alarms.e.input: boiler has no field "x"; write "boiler.temperature" or "boiler.pressure"
above = 1
[alarms.f]
input = "free"  #! alarms.f.input: free has several fields; name one of them, "free.FIELD"
above = 1
[alarms.g]
input = "level.x"  #! alarms.g.input: level has one value and no fields; write "level"
above = 1
[alarms.h]
input = "level[1]"  #! alarms.h.input: level has no instances; write "level"
above = 1
[alarms.i]
input = "freezer[f1].t"  #! alarms.i.input: freezer has one value and no fields; write "freezer[f1]"
above = 1
[alarms.j]
input = "room[1]"  #! alarms.j.input: room has several fields; write "room[1].temperature" or "room[1].door"
above = 1
[alarms.k]
input = "freezer[f1].online"  #! alarms.k.input: online is the whole source's; write "freezer.online"
is = false
[alarms.l]
input = ""  #! alarms.l.input: there is no source ""; there is "door", "level", "boiler", "free", "freezer", "room" or "word"
above = 1
[alarms.m]
input = 5  #! alarms.m.input: is a number; must be a text in quotes, for example input = "freezer"
above = 1
=== what is never a number
[alarms.a]
input = "door"
above = 1  #! alarms.a.above: door is never a number; test it by is or is_not, for example is = true
[alarms.b]
input = "level.online"
inside = [0, 1]  #! alarms.b.inside: level.online is never a number; test it by is or is_not, for example is = true
[alarms.c]
input = "word"
below = 1  #! alarms.c.below: word is never a number; test it by is or is_not, for example is = true
[alarms.d]
input = "door"
is = "open"  #! alarms.d.is: door is only ever true or false; write is = true, or false
[alarms.e]
input = "level.online"
is_not = 0  #! alarms.e.is_not: level.online is only ever true or false; write is_not = true, or false
=== sources
[sources]
n = 1  #! sources.n: is a number; must be a table with a name of its own, [sources.NAME]
[sources.a]  #! sources.a.type: is missing; add type = "gpio", "mqtt" or "serial"
[sources.b]
type = "mqt"  #! sources.b.type: there is no source type "mqt"; did you mean "mqtt"?
[sources.c]
type = "modbus"  #! sources.c.type: there is no source type "modbus"; take "gpio", "mqtt" or "serial"
[sources.d]
type = 1  #! sources.d.type: is a number; must be "gpio", "mqtt" or "serial"
[sources.e]  #! sources.e.pin: is missing; add pin = 17
type = "gpio"
[sources.f]
type = "gpio"
pin = "BOARD11"  #! sources.f.pin: "BOARD11" is the pin of sources.door too; give each source a pin of its own
[sources.g]  #! sources.g: has a field named online, which every source has of itself; rename it
type = "mqtt"
topic = "x"
fields = { online = "a" }
[sources.h]
type = "serial"
port = "x"
min = 2  #! sources.h.min: is greater than max; swap them
max = 1
=== brokers
[sources.s]
type = "mqtt"
topic = "x"
broker = "plnt"  #! sources.s.broker: there is no broker "plnt"; did you mean "plant"?
[sources.t]  #! sources.t.broker: is missing, as there are several brokers; name one: "plant" or "b"
type = "mqtt"
topic = "y"
[mqtt.b]  #! mqtt.b.host: is missing; add host = "localhost"
port = 70000  #! mqtt.b.port: 70000 is out of range; must be at most 65535
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def problems(file: Path, text: str) -> list[Problem]:
    """Return what is wrong with a text; [] if nothing is."""
    file.write_text(text, encoding="utf-8")
    try:
        load(file, secrets=False, env={})
    except ConfigError as error:
        return error.problems
    return []


def expected(text: str) -> list[tuple[int, str]]:
    """Return [(line, what is wrong with it)] of a text's own comments."""
    return [
        (number, wrong.strip()) for number, line in enumerate(text.splitlines(), 1) for wrong in line.split("#!")[1:]
    ]


@pytest.mark.parametrize("case", [pytest.param(case, id=case.partition("\n")[0]) for case in CASES.split("\n=== ")[1:]])
def test_what_is_wrong(file: Path, case: str) -> None:
    """Each problem, and no other, at the line of its key."""
    text = BASE + case.partition("\n")[2]
    found = [str(problem).removeprefix(f"{file}:").split(": ", 1) for problem in problems(file, text)]
    assert sorted((int(line), wrong) for line, wrong in found) == sorted(expected(text))


def test_no_broker_at_all(file: Path) -> None:
    [problem] = problems(file, "[sources.s]\ntype='mqtt'\ntopic='x'")
    assert str(problem) == f"{file}:1: sources.s.broker: there is no broker; add a table [mqtt.NAME] with its host"


def test_a_broken_table_breaks_no_reference(file: Path) -> None:
    """A reference is right as soon as the table is there: one mistake is one problem."""
    text = "[iotcall.rules.r]\n[mqtt.b]\nhost=1\n[sources.s]\ntype='mqtt'\ntopic=1\n"
    text += "[alarms.a]\ninput='s'\nabove=1\ncall='r'"
    found = problems(file, text)
    assert [problem.key for problem in found] == ["iotcall.rules.r.url_key", "mqtt.b.host", "sources.s.topic"]


@pytest.mark.parametrize("name", ["agent", "iotcall", "mqtt", "sources", "alarms", "schedules", "web"])
@pytest.mark.parametrize("value", ["1", "'x'", "[]", "[[1]]", "[{}]", "1979-05-27", "true"])
def test_a_table_that_is_none(file: Path, name: str, value: str) -> None:
    [problem] = problems(file, f"\n{name} = {value}")
    assert (problem.line, problem.key) == (2, name)
    assert "must be a table" in problem.hint


def test_in_the_order_of_the_file(file: Path) -> None:
    found = problems(file, "[web]\nx=1\n[alarms.a]\ninput='q'\nis=1\n[agent]\nnam='x'")
    assert [problem.line for problem in found] == [2, 4, 7]


def test_one_problem_is_one_line(file: Path) -> None:
    """Whatever stands in the file, also in its keys."""
    text = '[agent]\n"a\\nb" = 1\nclock = "x\\ny\\u001b[31m"\nlog_level = "' + "z" * 5000 + '"'
    found = problems(file, text)
    assert len(found) == 3
    for problem in found:
        assert str(problem).isprintable()
        assert len(str(problem)) < 700


PINS = [("17", "'GPIO17'"), ("17", "'17'"), ("17", "'BCM17'"), ("17", "'BOARD11'"), ("'J8:11'", "'BOARD11'")]


@pytest.mark.parametrize(("one", "other"), PINS)
def test_one_pin_by_two_names(file: Path, one: str, other: str) -> None:
    text = f"[sources.a]\ntype='gpio'\npin={one}\n[sources.b]\ntype='gpio'\npin={other}"
    assert [(problem.line, problem.key) for problem in problems(file, text)] == [(6, "sources.b.pin")]


def test_two_pins(file: Path) -> None:
    assert problems(file, "[sources.a]\ntype='gpio'\npin=17\n[sources.b]\ntype='gpio'\npin='BOARD17'") == []


def test_what_may_be_a_secret_is_not_repeated(file: Path) -> None:
    text = "[iotcall]\nauth_code='HUNTER2'\nbase_url='https://u:HUNTER2@h'\nproxy='http://u:HUNTER2@h:1'\n"
    text += "[iotcall.rules.r]\nurl_key='HUNTER2 x'\n[mqtt.b]\nhost='h'\npassword='HUNTER2'\n"
    text += "password_file=['HUNTER2']"
    found = problems(file, text)
    assert len(found) == 6
    assert "HUNTER2" not in "".join(map(str, found))
