# ruff: noqa: E501 - in the cases a line holds what is wrong with it
"""Each wrong configuration is told with line, key, what is wrong and what would be right; all at once."""

import re
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
WORDS = {
    "TESTS": "above, below, outside, inside, is, is_not, matches, rises_by, falls_by, silent_for, changes, trips",
    "OWN": '"agent.iotcall_reachable", "agent.auth_ok", "agent.outbox_waiting", "agent.clock_synced", '
    '"agent.cpu_temperature", "agent.disk_free_percent" or "agent.undervoltage"',
}
"""What stands in the cases for a longer text."""

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
history_file = true  #! agent.history_file: not supported in this version; remove it
[iotcall.rules.r]
url_key = "K"
rule_id = "0008200149"  #! iotcall.rules.r.rule_id: not supported in this version; remove it
verify = "answered"  #! iotcall.rules.r.verify: not supported in this version; remove it
verify_within = "20m"  #! iotcall.rules.r.verify_within: not supported in this version; remove it
on_unanswered = ["pump"]  #! iotcall.rules.r.on_unanswered: not supported in this version; remove it
on_ambiguous = "check_log"  #! iotcall.rules.r.on_ambiguous: not supported in this version; remove it
[sources.s]
type = "serial"
port = "x"
unit = "C"  #! sources.s.unit: not supported in this version; remove it
[sources.t]
type = "mqtt"
topic = "t"
broker = "plant"
units = { a = "C" }  #! sources.t.units: not supported in this version; remove it
=== [agent]
[agent]
name = "a#b"  #! agent.name: is no name; use 1 to 100 characters without +, # and control characters
max_shelve = 0  #! agent.max_shelve: must be more than 0; write it like max_shelve = "24h"
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
[alarms.a]  #! alarms.a: has no test; give exactly one of TESTS, or several conditions in all or any
input = "level"
[alarms.b]  #! alarms.b: has above and below; give exactly one of TESTS, or several conditions in all or any
input = "level"
above = 1
below = 2
[alarms.c]  #! alarms.c.input: is missing; add input = "freezer", or several conditions in all or any
above = 1
[alarms.d]  #! alarms.d: has no test; give exactly one of TESTS, or several conditions in all or any
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
[alarms.k]
input = "level"
outside = [0.1, 0.3]
deadband = 0.1
[alarms.l]
input = "door"
changes = false  #! alarms.l.changes: false is not possible; must be true
[alarms.m]
input = "level"
falls_by = 1  #! alarms.m.falls_by: needs within; for example within = "10m"
deadband = 1  #! alarms.m.deadband: does not apply to falls_by; it serves above, below, outside, inside
[alarms.n]
input = "level"
below = 1
within = 5  #! alarms.n.within: does not apply to below; it serves rises_by, falls_by, trips
[alarms.o]
input = "level"
rises_by = 0  #! alarms.o.rises_by: 0 is out of range; must be more than 0
within = 0  #! alarms.o.within: must be more than 0; write it like within = "10m"
[alarms.p]
input = "door"
trips = 0  #! alarms.p.trips: 0 is out of range; must be at least 1
within = "60s"
[alarms.q]
input = "door"
trips = 10001  #! alarms.q.trips: 10001 is out of range; must be at most 10000
within = "60s"
[alarms.r]
input = "word"
matches = "(a"  #! alarms.r.matches: is no regular expression: missing ), unterminated subpattern at position 0; try it with Python's re.search
[alarms.s]
input = "word"
changes = true
on_delay = "1s"  #! alarms.s.on_delay: does not go with changes, which is true for an instant only; remove on_delay
[alarms.t]
input = "level"
above = 1
latching = "yes"  #! alarms.t.latching: is a text; must be true or false, for example latching = true
[alarms.u]
input = "level"
trips = 2.5  #! alarms.u.trips: is a number; must be a whole number, for example trips = 3 #! alarms.u.trips: level is never true or false; test it by above, below, outside or inside, for example above = 5
silent_for = "x"  #! alarms.u.silent_for: 'x' is no duration; write it like "250ms", "30s", "5m", "2h", "1d" or "1h30m"
=== several conditions
[alarms.a]
all = [
  { input = "level", abov = 3 },  #! alarms.a.all[0].abov: unknown key; did you mean "above"?
  { input = "level", above = "x" },  #! alarms.a.all[1].above: is a text; must be a number, for example above = -15.0
  { input = "level", above = 3, on_delay = 1 },  #! alarms.a.all[2].on_delay: unknown key; write it beside all, not in it
  { input = "level", foo = 3 },  #! alarms.a.all[3].foo: unknown key; known here: TESTS, within, deadband, input #! alarms.a.all[3]: has no test; give exactly one of TESTS
  5,  #! alarms.a.all[4]: is a number; must be a table, as in all = [{ input = "freezer", above = -15.0 }, { input = "door", is = true }]
  { above = 3 },  #! alarms.a.all[5].input: is missing; add input = "freezer"
  { input = "level", outside = [3, 1], within = "x" },  #! alarms.a.all[6].within: 'x' is no duration; write it like "250ms", "30s", "5m", "2h", "1d" or "1h30m" #! alarms.a.all[6].outside: has its low limit above its high one; write [low, high]
  { input = "level", rises_by = 3 },  #! alarms.a.all[7].rises_by: needs within; for example within = "10m"
  { input = "level", above = 1, below = 2 },  #! alarms.a.all[8]: has above and below; give exactly one of TESTS
  { input = "leval", above = 1 },  #! alarms.a.all[9].input: there is no source "leval"; did you mean "level"?
  { input = 5, inside = [1, "x"] },  #! alarms.a.all[10].input: is a number; must be a text in quotes, for example input = "freezer" #! alarms.a.all[10].inside[1]: is a text; must be a number
  { input = "level", above = 1, deadband = 0.5 },
]
on_delay = "x"  #! alarms.a.on_delay: 'x' is no duration; write it like "250ms", "30s", "5m", "2h", "1d" or "1h30m"
[[alarms.b.any]]
input = "door"
above = 1  #! alarms.b.any[0].above: door is never a number; test it by is, is_not or trips, for example is = true
[[alarms.b.any]]  #! alarms.b.any[1]: has no test; give exactly one of TESTS
input = "level"
[alarms.c]
any = []  #! alarms.c.any: is empty; write it like any = [{ input = "freezer", above = -15.0 }, { input = "door", is = true }]
[alarms.d]
all = { input = "door", is = true }  #! alarms.d.all: is a table; must be a list, for example all = [{ input = "freezer", above = -15.0 }, { input = "door", is = true }]
[alarms.e]
al = [{ input = "door", is = true }]  #! alarms.e.al: unknown key; did you mean "all"?
[alarms.f]
all = [{ input = "door", is = true }]
any = [{ input = "door", is = true }]  #! alarms.f.any: stands beside all; give one of them
[alarms.g]
any = [{ input = "door", is = true }]
input = "level"  #! alarms.g.input: stands beside any; write it into one of any's conditions
above = 1  #! alarms.g.above: stands beside any; write it into one of any's conditions
deadband = 1  #! alarms.g.deadband: belongs to each condition; write it into those of any
within = 1  #! alarms.g.within: stands beside any; write it into one of any's conditions
[alarms.h]
any = [{ input = "word", changes = true }, { input = "door", is = 1 }]  #! alarms.h.any[1].is: door is only ever true or false; write is = true, or false
on_delay = 1  #! alarms.h.on_delay: does not go with changes, which is true for an instant only; remove on_delay
[alarms.i]
all = [[{ input = "door" }], "x"]  #! alarms.i.all[0]: is a list; must be a table, as in all = [{ input = "freezer", above = -15.0 }, { input = "door", is = true }] #! alarms.i.all[1]: is a text; must be a table, as in all = [{ input = "freezer", above = -15.0 }, { input = "door", is = true }]
=== schedules and inhibitors of alarms
[schedules.night]
[schedules.off]
from = 1  #! schedules.off.from: is no time of day; write it like "18:00"
[alarms.a]
input = "level"
above = 1
schedule = "nigt"  #! alarms.a.schedule: there is no schedule "nigt"; did you mean "night"?
inhibited_by = ["b",
  "a"]  #! alarms.a.inhibited_by[1]: an alarm cannot be inhibited by itself; name another one, or remove it
[alarms.b]
input = "level"
above = 1
schedule = "off"
inhibited_by = "c"  #! alarms.b.inhibited_by: is a loop: b → c → d → b; take one of them out
[alarms.c]
input = "level"
above = 1
schedule = ["night"]  #! alarms.c.schedule: is a list; must be a text in quotes, for example schedule = "night"
inhibited_by = ["d", "e"]
[alarms.d]
input = "level"
above = 1
inhibited_by = ["b", "x"]  #! alarms.d.inhibited_by[1]: there is no alarm "x"; there is "a", "b", "c", "e" or "f"
[alarms.e]
enabled = false
input = "level"
above = 1
inhibited_by = ["f", "f"]  #! alarms.e.inhibited_by: has the same name twice; name each once
[alarms.f]
input = "level"
above = 1
inhibited_by = [1]  #! alarms.f.inhibited_by[0]: is a number; must be a text in quotes
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
call = ["pump", "pump"]  #! alarms.c.call: has the same name twice; name each once
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
above = 1  #! alarms.a.above: door is never a number; test it by is, is_not or trips, for example is = true
[alarms.b]
input = "level.online"
inside = [0, 1]  #! alarms.b.inside: level.online is never a number; test it by is, is_not or trips, for example is = true
[alarms.c]
input = "word"
below = 1  #! alarms.c.below: word is never a number; test it by is, is_not or matches, for example is = "ok"
[alarms.d]
input = "door"
is = "open"  #! alarms.d.is: door is only ever true or false; write is = true, or false
[alarms.e]
input = "level.online"
is_not = 0  #! alarms.e.is_not: level.online is only ever true or false; write is_not = true, or false
=== what is never a text, or never true or false
[alarms.a]
input = "door"
matches = "x"  #! alarms.a.matches: door is never a text; test it by is, is_not or trips, for example is = true
[alarms.b]
input = "room.online"
matches = "x"  #! alarms.b.matches: room.online is never a text; test it by is, is_not or trips, for example is = true
[alarms.c]
input = "level"
matches = "x"  #! alarms.c.matches: level is never a text; test it by above, below, outside or inside, for example above = 5
[alarms.d]
input = "level"
trips = 3  #! alarms.d.trips: level is never true or false; test it by above, below, outside or inside, for example above = 5
within = "1m"
[alarms.e]
input = "word"
trips = 3  #! alarms.e.trips: word is never true or false; test it by is, is_not or matches, for example is = "ok"
within = "1m"
[alarms.f]
input = "door"
falls_by = 3  #! alarms.f.falls_by: door is never a number; test it by is, is_not or trips, for example is = true
within = "1m"
=== points of the agent itself
[alarms.a]
input = "agent.clok_synced"  #! alarms.a.input: the agent has no point "agent.clok_synced" of its own; did you mean "agent.clock_synced"?
is = false
[alarms.b]
input = "agent"  #! alarms.b.input: the agent has no point "agent" of its own; write OWN
is = false
[alarms.c]
input = "agent.online"  #! alarms.c.input: the agent has no point "agent.online" of its own; write OWN
is = false
[alarms.d]
input = "agent[1].auth_ok"  #! alarms.d.input: the agent has no point "agent[1].auth_ok" of its own; did you mean "agent.auth_ok"?
is = false
[alarms.e]
input = "agent.auth_ok"
is = 0  #! alarms.e.is: agent.auth_ok is only ever true or false; write is = true, or false
[alarms.f]
input = "agent.undervoltage"
above = 0  #! alarms.f.above: agent.undervoltage is never a number; test it by is, is_not or trips, for example is = true
[alarms.g]
input = "agent.outbox_waiting"
is_not = false  #! alarms.g.is_not: agent.outbox_waiting is only ever a number; write is_not = 1
[alarms.h]
all = [{ input = "agent.cpu_temperature", trips = 1, within = 1 }]  #! alarms.h.all[0].trips: agent.cpu_temperature is never true or false; test it by above, below, outside or inside, for example above = 5
[alarms.i]
input = "agnt.auth_ok"  #! alarms.i.input: there is no source "agnt"; did you mean "agent.auth_ok"?
is = false
=== instances that cannot be
[sources.tree]
type = "mqtt"
topic = "tree/+/leaf/#"
broker = "plant"
[alarms.a]
input = "freezer[a/b]"  #! alarms.a.input: "site/+/freezer" has no instance "a/b"; write what + and # stand for, joined by /
above = 1
[alarms.b]
input = "tree[a]"  #! alarms.b.input: "tree/+/leaf/#" has no instance "a"; write what + and # stand for, joined by /
above = 1
[alarms.c]
input = "tree[a/b/c]"
above = 1
=== smooth
[sources.a]
type = "serial"
port = "a"
smooth = {}  #! sources.a.smooth: has neither median nor mean; write it like smooth = { median = 5 }
[sources.b]
type = "serial"
port = "b"
smooth = { median = 5, mean = 5 }  #! sources.b.smooth: has both median and mean; give one of them
[sources.c]
type = "serial"
port = "c"
smooth = { median = 0 }  #! sources.c.smooth.median: 0 is out of range; must be at least 1
[sources.d]
type = "serial"
port = "d"
smooth = { mean = 10001 }  #! sources.d.smooth.mean: 10001 is out of range; must be at most 10000
[sources.e]
type = "serial"
port = "e"
smooth = { medan = 5 }  #! sources.e.smooth.medan: unknown key; did you mean "median"?
[sources.f]
type = "serial"
port = "f"
smooth = { mean = 2.5 }  #! sources.f.smooth.mean: is a number; must be a whole number
[sources.g]
type = "serial"
port = "g"
smooth = 5  #! sources.g.smooth: is a number; must be a table, for example smooth = { median = 5 }
[sources.h]
type = "mqtt"
topic = "h"
broker = "plant"
format = "boolean"
smooth = { median = 5 }  #! sources.h.smooth: does not go with format "boolean", which has no numbers; remove it
[sources.i]
type = "gpio"
pin = 5
smooth = { median = 5 }  #! sources.i.smooth: unknown key; known here: type, pin, pull, active, debounce
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
        (number, re.sub("|".join(WORDS), lambda word: WORDS[word.group()], wrong.strip()))
        for number, line in enumerate(text.splitlines(), 1)
        for wrong in line.split("#!")[1:]
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


def test_many_loops_are_no_burden(file: Path) -> None:
    """Some are told; then the rest."""
    names = [f"a{number}" for number in range(60)]
    text = BASE + "".join(
        f"[alarms.{name}]\ninput='level'\nabove=1\ninhibited_by={[n for n in names if n != name]}\n" for name in names
    )
    assert len(problems(file, text)) == 20


def test_a_long_chain_is_no_loop(file: Path) -> None:
    text = BASE + "".join(
        f"[alarms.a{number}]\ninput='level'\nabove=1\ninhibited_by='a{number + 1}'\n" for number in range(1500)
    )
    assert problems(file, text + "[alarms.a1500]\ninput='level'\nabove=1\n") == []


def test_a_regular_expression_with_a_warning(file: Path, recwarn: pytest.WarningsRecorder) -> None:
    """What Python thinks of it would be a line that is none of ours."""
    text = BASE + "[alarms.a]\ninput='word'\nmatches='[[a]'\n"
    assert problems(file, text) == []
    assert not recwarn.list


def test_what_may_be_a_secret_is_not_repeated(file: Path) -> None:
    text = "[iotcall]\nauth_code='HUNTER2'\nbase_url='https://u:HUNTER2@h'\nproxy='http://u:HUNTER2@h:1'\n"
    text += "[iotcall.rules.r]\nurl_key='HUNTER2 x'\n[mqtt.b]\nhost='h'\npassword='HUNTER2'\n"
    text += "password_file=['HUNTER2']"
    found = problems(file, text)
    assert len(found) == 6
    assert "HUNTER2" not in "".join(map(str, found))
