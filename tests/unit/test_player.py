"""The player: the alarms of a configuration in virtual time; and what its events add up to."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest

from edge_agent.config.loader import load
from edge_agent.config.settings import Config
from edge_agent.core.events import Event, EventKind
from edge_agent.core.fields import SECOND
from edge_agent.core.own import OWN_FIELDS
from edge_agent.core.reading import Reading, Value
from edge_agent.core.settings import Priority
from edge_agent.tools.replay.compare import Comparison, Difference, Duel
from edge_agent.tools.replay.entries import Command, Entry, Word
from edge_agent.tools.replay.player import MAX_NAMED, Player
from edge_agent.tools.replay.summary import Summary

START = 1_769_817_600
"""2026-01-31T09:00:00+09:00, a Saturday, in Unix seconds."""
HEAD = """
[agent]
timezone = "Asia/Tokyo"
[iotcall.rules.pump]
url_key = "PUMP"
max_calls = 2
[iotcall.rules.manager]
url_key = "MANAGER"
[mqtt.plant]
host = "192.0.2.1"
username = "agent"
password_file = "/nowhere/password"
[sources.tank]
type = "mqtt"
topic = "tank"
[sources.freezer]
type = "mqtt"
topic = "site/+/freezer"
max_instances = 2
[sources.room]
type = "mqtt"
topic = "room"
fields = { temperature = "t", window = "w" }
[schedules.night]
from = "18:00"
to = "08:00"
"""
HIGH = '[alarms.high]\ninput = "tank"\nabove = 10\ncall = "pump"\n'
Make = Callable[..., Config]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def config(alarms: str = HIGH) -> Config:
        path = tmp_path / "config.toml"
        path.write_text(HEAD + alarms)
        return load(path, secrets=False, env={"HOME": str(tmp_path)})

    return config


def reading(second: float, value: Value | None, point: str = "tank") -> Reading:
    return Reading(point, value, round((START + second) * SECOND))


def did(second: float, word: Word, alarm: str = "high", until: float | None = None) -> Command:
    end = None if until is None else round((START + until) * SECOND)
    return Command(word, alarm, None, round((START + second) * SECOND), end)


def played(config: Config, entries: Sequence[Entry], until: float | None = None) -> list[tuple[float, str]]:
    end = None if until is None else round((START + until) * SECOND)
    return brief(Player(config).run(entries, end))


def brief(events: Iterable[Event]) -> list[tuple[float, str]]:
    return [(event.at / SECOND - START, str(event.kind)) for event in events]


def test_it_begins_at_the_first_line_and_ends_with_the_last(make: Make) -> None:
    """What falls due at the last instant is served; `until` goes on without readings, or leaves later ones out."""
    config = make(HIGH + 'on_delay = "5m"')
    steps = [reading(0, 20), reading(300, 21)]
    assert played(config, steps) == [(0, "pending"), (300, "raised"), (300, "call")]
    assert played(config, steps[:1]) == [(0, "pending")]
    assert played(config, steps[:1], 300) == [(0, "pending"), (300, "raised"), (300, "call")]
    assert played(config, steps, 299) == [(0, "pending")]
    assert played(config, steps, -1) == []
    assert played(config, []) == []


def test_silence_counts_from_the_beginning(make: Make) -> None:
    config = make('[alarms.silent]\ninput = "tank"\nsilent_for = "10m"\n')
    assert played(config, [reading(0, 1, "unknown"), reading(3600, 1)]) == [(600, "raised"), (3600, "cleared")]
    player = Player(config)
    player.begin((START - 300) * SECOND)
    assert brief(player.feed(reading(301, 1))) == [(300, "raised"), (301, "cleared")]


def test_unknown_points_move_the_clock_and_are_named_once(make: Make) -> None:
    said: list[str] = []
    player = Player(make(HIGH + 'on_delay = "5m"'), said.append)
    names = ["boiler", "tank.level", "freezer", "room", "room.light", "agent.mood", "tank[a]"]
    entries = [reading(0, 20), *[reading(60 + at, 1, name) for at, name in enumerate(names * 2)], reading(300, 1, "x")]
    assert brief(player.run(entries)) == [(0, "pending"), (300, "raised"), (300, "call")]
    assert [message.partition(":")[0] for message in said] == [*names, "x"]


def test_points_that_serve_are_known_without_an_alarm(make: Make) -> None:
    """Every source has `online`, the agent has its own points, and a bad frame may name the whole source."""
    said: list[str] = []
    player = Player(make(), said.append)
    known = ["tank", "tank.online", "freezer[a]", "freezer.online", "room.window", *(f"agent.{x}" for x in OWN_FIELDS)]
    for name in known:
        player.feed(reading(0, 1, name))
    player.feed(reading(1, None, "room"))
    assert said == []
    assert not player.engine.points["room.window"].good


def test_own_points_serve_in_alarms(make: Make) -> None:
    config = make('[alarms.offline]\ninput = "agent.iotcall_reachable"\nis = false\n')
    assert played(config, [reading(0, value=False, point="agent.iotcall_reachable")]) == [(0, "raised")]


def test_instances_beyond_the_limit_are_named_once(make: Make) -> None:
    said: list[str] = []
    player = Player(make('[alarms.warm]\ninput = "freezer"\nabove = -15\n'), said.append)
    events = player.run([reading(at, 0, f"freezer[f{at % 3}]") for at in range(9)])
    assert brief(events) == [(0, "raised"), (1, "raised")]
    assert said == ["freezer[f2]: freezer has max_instances = 2 already"]


def test_the_names_of_unknown_points_do_not_fill_the_memory(make: Make) -> None:
    said: list[str] = []
    player = Player(make(), said.append)
    for number in range(MAX_NAMED + 50):
        player.feed(reading(number, 1, f"x{number}"))
    assert len(said) == MAX_NAMED + 1
    assert brief(player.feed(reading(5000, 20))) == [(5000, "raised"), (5000, "call")]


def test_what_people_did_is_done_again(make: Make) -> None:
    config = make(HIGH + 'repeat = "10m"')
    steps: list[Entry] = [reading(0, 20), did(60, "ack"), reading(1200, 1), reading(1300, 20)]
    assert played(config, steps) == [
        *[(0, "raised"), (0, "call"), (60, "acknowledged"), (1200, "cleared"), (1300, "raised"), (1300, "call")],
    ]
    steps = [reading(-1, 1), did(0, "shelve", until=300), reading(60, 20), reading(400, 20)]
    assert played(config, steps) == [
        *[(0, "shelved"), (60, "raised"), (60, "suppressed"), (300, "unshelved"), (300, "call")],
    ]
    steps[2:] = [reading(60, 20), did(70, "unshelve")]
    assert played(config, steps)[-2:] == [(70, "unshelved"), (70, "call")]


def test_a_shelf_ends_as_the_configuration_says(make: Make) -> None:
    said: list[str] = []
    player = Player(make(), said.append)
    events = list(player.run([reading(0, 1), did(0, "shelve", until=7 * 86400), reading(3 * 86400, 1)]))
    assert brief(events) == [(0, "shelved"), (86400, "unshelved")]
    assert said == ["shelve of high: the shelf ends after agent.max_shelve = 1d"]


def test_commands_for_unknown_alarms_are_named_once(make: Make) -> None:
    said: list[str] = []
    player = Player(make(HIGH + "enabled = false"), said.append)
    assert list(player.run([did(0, "ack", "low"), did(1, "ack", "low"), did(2, "ack", "high")])) == []
    assert said == ["ack of low: no alarm is called so", "ack of high: the alarm is not enabled"]


def test_budgets_count_in_virtual_time(make: Make) -> None:
    steps = [reading(at * 300, 20 if at % 2 == 0 else 1) for at in range(5)]
    kinds = [kind for _, kind in played(make(), steps, 3600)]
    assert kinds == ["raised", "call", "cleared", "raised", "call", "cleared", "raised", "suppressed", "call"]


def test_schedules_follow_the_wall_clock_of_the_zone(make: Make) -> None:
    """Instants are Unix time: a call of the morning is made at 18:00 in Tokyo, without a reading."""
    events = played(make(HIGH + 'schedule = "night"'), [reading(0, 20)], 86400)
    assert events == [(0, "raised"), (0, "suppressed"), (9 * 3600, "call")]


def test_an_instant_gone_by_is_taken_as_the_one_reached(make: Make) -> None:
    assert played(make(), [reading(0, 1), reading(10, 1), reading(5, 20)]) == [(10, "raised"), (10, "call")]
    assert played(make(), [reading(0, 20), reading(10, 20), did(5, "ack")])[-1] == (10, "acknowledged")


def test_the_summary_adds_up(make: Make) -> None:
    config = make(HIGH + '[alarms.warm]\ninput = "freezer"\nabove = -15\ncall = ["pump", "manager"]\noff_delay = "1m"')
    steps = [reading(0, 20), reading(600, 1), reading(3000, 0, "freezer[a]"), reading(3000, 0, "freezer[b]")]
    player, summary = Player(config), Summary(config.zone())
    for event in player.run(steps, (START + 7200) * SECOND):
        summary.add(event)
    totals = summary.totals(player.now)
    assert (totals["high"].raises, totals["high"].calls, totals["high"].in_alarm) == (1, 1, 600 * SECOND)
    assert (totals["warm"].raises, totals["warm"].in_alarm) == (2, 8400 * SECOND)
    assert (totals["warm"].calls, totals["warm"].held) == (4, 1)
    lines = list(summary.report(player.began_at, player.now))
    assert lines[0] == "From 2026-01-31T09:00:00.000+09:00 to 2026-01-31T11:00:00.000+09:00, 2h"
    text = "\n".join(lines)
    assert "  high        1  10m           1        0          0\n" in text
    assert "  manager      2        0          0\n" in text
    assert "held back by budget (1)" in text
    assert [line.split()[:2] for line in lines if ":00  " in line] == [["09:00", "4"], ["10:00", "1"]]


def test_the_summary_names_what_chatters(make: Make) -> None:
    steps = [reading(at * 5, 20 if at % 2 else 9) for at in range(12)]
    config = make()
    summary = Summary(config.zone())
    for event in Player(config).run(steps, (START + 600) * SECOND):
        summary.add(event)
    (line,) = [line for line in summary.report(0, 0) if line.startswith("  high: ")]
    assert line.startswith(
        "  high: once, 6 raises in all; at its worst raised 6 times in 50s; one episode with deadband"
    )


def test_nothing_happened(make: Make) -> None:
    assert list(Summary(make().zone()).report(0, SECOND))[1:] == ["Nothing happened to any alarm."]


# Comparing ------------------------------------------------------------------------------------------------------------


def event(second: int, kind: str, rule: str | None = None, alarm: str = "a") -> Event:
    return Event(second, EventKind(kind), alarm, None, rule, "", 1, Priority.MEDIUM)


def compared(*steps: tuple[list[Event], list[Event]]) -> list[tuple[int, int, str]]:
    comparison = Comparison()
    found: list[Difference] = []
    for base, other in steps:
        found += comparison.add(base, other)
    found += comparison.finish()
    return [(each.side, each.event.at, str(each.event.kind)) for each in found]


def test_the_same_trouble_seen_at_another_time_is_no_difference() -> None:
    base = [event(5, "raised"), event(5, "call", "r"), event(20, "cleared")]
    other = [event(8, "raised"), event(8, "call", "r"), event(30, "cleared")]
    assert compared((base, other)) == []
    assert compared((base, []), ([], other)) == compared((base, other[:0]), ([], other))


def test_what_only_one_has_is_told_when_the_case_is_over() -> None:
    base = [event(5, "raised"), event(5, "call", "r"), event(20, "cleared")]
    assert compared((base, [])) == [(0, 5, "raised"), (0, 5, "call")]
    assert compared(([], base)) == [(1, 5, "raised"), (1, 5, "call")]
    chatter = [event(at, "raised" if at % 2 else "cleared") for at in range(5, 21)]
    assert compared((base, chatter)) == [(0, 5, "call"), *[(1, at, "raised") for at in range(7, 20, 2)]]


def test_rules_and_repeats_are_compared_by_themselves() -> None:
    base = [event(5, "raised"), event(5, "call", "r"), event(5, "call", "s"), event(9, "repeat", "r")]
    other = [event(5, "raised"), event(5, "call", "s")]
    assert compared((base, other)) == [(0, 5, "call"), (0, 9, "repeat")]


def test_alarms_of_an_instant_are_no_difference() -> None:
    """`changes` is raised and over at once, on both sides one after the other."""
    both = [event(5, "raised"), event(5, "call", "r"), event(5, "cleared")]
    assert compared((both, both)) == []


def test_two_settings_side_by_side(make: Make) -> None:
    base, other = make(), make(HIGH.replace("10", "30"))
    duel = Duel(Player(base), Player(other))
    steps = [reading(0, 20), reading(60, 1), reading(120, 40), reading(180, 1)]
    found = [(each.side, each.event.at / SECOND - START, str(each.event.kind)) for each in duel.run(steps)]
    assert found == [(0, 0, "raised"), (0, 0, "call")]
    assert list(duel.report())[2:] == [
        "  alarm  setting  raised  in alarm  calls  repeats  held back",
        "  high   base          2  2m            2        0          0",
        "         other         1  1m            1        0          0",
        "",
        "  only base: raised 1, calls 1, repeats 0",
        "  only other: raised 0, calls 0, repeats 0",
    ]
