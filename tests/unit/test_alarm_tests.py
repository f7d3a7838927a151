"""`edge-agent test`: the notation of readings, what passes, what fails and how it is told, unusable files."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.cli import main
from edge_agent.core.events import Event, EventKind
from edge_agent.core.fields import SECOND
from edge_agent.core.settings import Priority
from edge_agent.tools.alarm_tests.cases import AlarmTest, Expected
from edge_agent.tools.alarm_tests.runner import Fault, compare
from edge_agent.tools.alarm_tests.series import MAX_READINGS, Run, length, parse_series, readings

ROOT = Path(__file__).parents[2]
CONFIG = """
[agent]
name = "tests"
timezone = "Asia/Tokyo"
[iotcall.rules.pump]
url_key = "PUMP"
max_calls = 0
[iotcall.rules.manager]
url_key = "MANAGER"
[mqtt.plant]
host = "localhost"
[sources.freezer]
type = "mqtt"
topic = "site/+/freezer"
[sources.room]
type = "mqtt"
topic = "site/room"
fields = { temperature = "t", lamp = "l" }
[sources.door]
type = "gpio"
pin = 17
debounce = "50ms"
[schedules.day]
from = "08:00"
to = "18:00"
[alarms.warm]
input = "freezer"
above = -15.0
on_delay = "5m"
call = "pump"
repeat = "10m"
[alarms.hot]
input = "room.temperature"
above = 30
call = ["pump", "manager"]
schedule = "day"
[alarms.lamp]
input = "room.lamp"
is = "red"
[alarms.open]
input = "door"
is = true
[alarms.off]
input = "door"
is = false
enabled = false
[alarms.shown]
all = [{ input = "freezer", above = -18.0 }, { input = "room.lamp", is = "green" }]
"""
WARM = """
[[test]]
name = "warm"
readings = { "freezer[f1]" = "-20x10 -14x6" }
[[test.expect]]
at = "15m"
alarm = "warm"
event = "raised"
[[test.expect]]
at = "15m"
alarm = "warm"
instance = "f1"
event = "call"
rule = "pump"
"""


class Place:
    """A configuration, and the command line."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "config.toml").write_text(CONFIG)

    def run(self, *tests: str, words: tuple[str, ...] = ()) -> Result:
        files = []
        for number, text in enumerate(tests):
            files.append(self.folder / f"{number}.toml")
            files[-1].write_text(text)
        return CliRunner().invoke(
            main, ["--config", str(self.folder / "config.toml"), "test", *map(str, files), *words], env={}
        )

    def passes(self, text: str) -> None:
        done = self.run(text)
        assert done.exit_code == 0, done.output

    def fails(self, text: str) -> str:
        done = self.run(text)
        assert (done.exit_code, done.stderr) == (1, ""), done.output
        return done.stdout

    def refused(self, text: str) -> list[str]:
        """Return what is said of a file, without its name."""
        done = self.run(text)
        assert (done.exit_code, done.stdout) == (1, ""), done.output
        return [line.removeprefix(f"{self.folder / '0.toml'}:") for line in done.stderr.splitlines()]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def expecting(*expected: str) -> str:
    """Return `[[test.expect]]` tables of "at alarm event key=value"."""
    text = ""
    for words in expected:
        at, alarm, event, *more = words.split()
        text += f'[[test.expect]]\nat = "{at}"\nalarm = "{alarm}"\nevent = "{event}"\n'
        text += "".join('{} = "{}"\n'.format(*pair.split("=")) for pair in more)
    return text


def test_the_tests_of_the_example_configuration_pass() -> None:
    """They are what a user copies."""
    files = [str(ROOT / name) for name in ("config.example.toml", "config.example.test.toml")]
    done = CliRunner().invoke(main, ["--config", files[0], "test", files[1]], env={})
    assert done.exit_code == 0, done.output
    assert done.stdout.endswith(" tests, none failed\n")


def test_the_documentation_shows_what_happens(tmp_path: Path) -> None:
    """Its test passes on the example configuration; a minute early it fails with the words that stand there."""
    shown = (ROOT / "docs/testing-alarms.md").read_text(encoding="utf-8")
    test = shown.partition("```toml\n")[2].partition("```")[0]
    failure = "FAIL" + shown.partition("```\nFAIL")[2].partition("```")[0]
    for text, wanted in ((test, None), (test.replace('at = "15m"', 'at = "14m"', 1), failure)):
        (tmp_path / "freezer.test.toml").write_text(text, encoding="utf-8")
        words = ["--config", str(ROOT / "config.example.toml"), "test", str(tmp_path / "freezer.test.toml")]
        done = CliRunner().invoke(main, words, env={})
        assert (done.exit_code, wanted in (None, done.stdout.replace(f"{tmp_path}/", ""))) == (int(text != test), True)


class TestNotation:
    """`-20x10 -14x6 _x3 nan`"""

    @pytest.mark.parametrize(
        ("text", "wanted"),
        [
            ("-20x10 -14x6 _x3 nan", (Run(10, -20), Run(6, -14), Run(3, silent=True), Run(1))),
            ("1 2.5 -.5 1e3", (Run(1, 1), Run(1, 2.5), Run(1, -0.5), Run(1, 1000.0))),
            ("true FALSEx2", (Run(1, True), Run(2, False))),
            ("open closedx2", (Run(1, "open"), Run(2, "closed"))),
            ("'On battery'x3 \"it's\"", (Run(3, "On battery"), Run(1, "it's"))),
            ("'21' 'true' '_' '' 'box3'", tuple(Run(1, text) for text in ("21", "true", "_", "", "box3"))),
            ("box3", (Run(3, "bo"),)),
            ("0x10 x3", (Run(10, 0), Run(1, "x3"))),
            ("nanx2 inf -Infinity", (Run(2), Run(1), Run(1))),
            (" 1\n 2\t3 ", (Run(1, 1), Run(1, 2), Run(1, 3))),
            ("過負荷x2", (Run(2, "過負荷"),)),
        ],
    )
    def test_what_is_written_is_what_is_read(self, text: str, wanted: tuple[Run, ...]) -> None:
        found = parse_series(text)
        assert found == wanted
        assert [type(run.value) for run in found] == [type(run.value) for run in wanted]

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("", "holds no reading"),
            ("  ", "holds no reading"),
            (3, "must be a text in quotes"),
            ("21,5", "21,5 is no number"),
            ("0x1F", "0x1F is no number"),
            ("-1+2x3", "-1+2 is no number"),
            ("1x0", "stands for no reading"),
            ("'a'y", "after the quote comes a blank"),
            ("'a", "'a is no number"),
            (f"1x{MAX_READINGS} 1", "more than"),
            ("1x" + "9" * 5000, "more than"),
        ],
    )
    def test_what_cannot_be_read_is_refused(self, text: object, said: str) -> None:
        """A slip of the finger is no text that silently matches nothing."""
        with pytest.raises(ValueError, match=said.replace("+", r"\+")):
            parse_series(text)

    @given(st.lists(st.tuples(st.sampled_from(["-1.5", "true", "_", "nan", "'a b'"]), st.integers(1, 5)), min_size=1))
    def test_each_value_stands_an_interval_after_the_one_before(self, runs: list[tuple[str, int]]) -> None:
        values = {"-1.5": -1.5, "true": True, "nan": None, "'a b'": "a b"}
        written = [word for word, count in runs for _ in range(count)]
        series = parse_series(" ".join(f"{word}x{count}" for word, count in runs))
        assert length(series) == len(written)
        assert list(readings(series)) == [(at, values[word]) for at, word in enumerate(written) if word != "_"]


class TestWhatPasses:
    def test_readings_begin_at_the_start_and_stand_an_interval_apart(self, place: Place) -> None:
        """Ten readings are 0 to 9 minutes; the eleventh begins the delay."""
        place.passes(WARM)
        place.passes(WARM.replace("15m", "15s").replace('"-20x10', '"-20x100000').replace("15s", "100005m"))
        place.passes(WARM.replace("name =", 'interval = "30s"\nname =').replace("15m", "10m").replace("x6", "x11"))

    def test_it_runs_until_the_last_expected_event(self, place: Place) -> None:
        """The last reading was at 15 minutes; repeats go on without any."""
        place.passes(WARM + expecting("25m warm repeat", "35m warm repeat"))

    def test_it_runs_until_the_end_of_the_longest_series(self, place: Place) -> None:
        """Intervals without a reading are time too."""
        assert "warm[f1] repeat" in place.fails(WARM.replace("x6", "x6 _x10"))

    def test_what_falls_due_at_its_last_instant_is_served(self, place: Place) -> None:
        place.passes(WARM.replace("x6", "x6 _x9"))

    def test_a_state_that_nobody_expected_is_no_failure(self, place: Place) -> None:
        """Only calls, repeats and raised alarms are: `pending` came at 10 minutes."""
        place.passes('[[test]]\nname = "t"\nreadings = { "freezer[f1]" = "-14x4 -20" }')

    def test_others_forgives_the_rest(self, place: Place) -> None:
        text = WARM.partition("[[test.expect]]")[0]
        assert "2 unexpected" in place.fails(text)
        place.passes(text + "others = true\n")

    def test_without_rule_or_instance_all_of_them_are_meant(self, place: Place) -> None:
        start = '[[test]]\nname = "t"\nstart = "2026-01-01T09:00"\n'
        hot = start + 'readings = { room.temperature = "20 31", "freezer[f1]" = "-10x6", "freezer[f2]" = "-10x6" }\n'
        rest = ("1m hot raised", "1m hot call", "5m warm raised", "5m warm call")
        place.passes(hot + expecting(*rest))
        only = hot + expecting(*rest[:3], "5m warm call instance=f2")
        assert "warm[f1] call pump: -10 is above -15 (unexpected)" in place.fails(only)

    def test_readings_of_one_instant_come_in_the_order_of_the_file(self, place: Place) -> None:
        text = '[[test]]\nname = "t"\n[test.readings]\n{}\n{}\n[[test.expect]]\nat = 0\nalarm = "shown"\nevent = "{}"\n'
        freezer, lamp = '"freezer[f1]" = "-10 -20"', '"room.lamp" = "green"'
        place.passes(text.format(freezer, lamp, "raised") + 'instance = "f1"')
        place.passes(text.format(lamp, freezer, "raised"))

    @pytest.mark.parametrize(
        ("start", "event"),
        [
            ("2026-06-01T07:59:00", "suppressed"),
            ("2026-06-01T08:00:00", "call"),
            ('"2026-06-01T08:00:00+09:00"', "call"),
            ("2026-06-01T08:00:00Z", "call"),
            ("2026-06-01T10:00:00Z", "suppressed"),
            ("1780268400", "call"),
            ("2026-06-01", "suppressed"),
        ],
    )
    def test_the_start_is_in_the_agents_zone(self, place: Place, start: str, event: str) -> None:
        text = f'[[test]]\nname = "t"\nstart = {start}\nreadings = {{ room.temperature = "31" }}\n'
        place.passes(text + expecting("0s hot raised", f"0s hot {event}"))

    def test_it_begins_with_2026_where_it_does_not_say(self, place: Place) -> None:
        text = '[[test]]\nname = "t"\ninterval = "1h"\nreadings = { room.temperature = "31x9" }\n'
        place.passes(text + expecting("0s hot raised", "0s hot suppressed", "8h hot call"))

    def test_a_level_counts_once_its_debounce_is_over(self, place: Place) -> None:
        place.passes('[[test]]\nname = "t"\nreadings = { door = "false true" }\n' + expecting("1m0.05s open raised"))

    def test_texts_booleans_bad_and_missing_readings_mix(self, place: Place) -> None:
        text = (
            '[[test]]\nname = "t"\n[test.readings]\nroom.lamp = "green red nan _ red green"\ndoor = "falsex3 nan true"'
        )
        place.passes(f"{text}\n{expecting('1m lamp raised', '5m lamp cleared', '4m0.05s open raised')}")

    def test_no_alarm_knows_of_the_test_before(self, place: Place) -> None:
        place.passes(WARM + WARM)


class TestWhatFails:
    def test_what_was_expected_and_what_came_stand_side_by_side(self, place: Place) -> None:
        out = place.fails(WARM.replace("15m", "14m", 1)).splitlines()
        assert out[0] == "FAIL  warm: 1 missing, 1 unexpected"
        assert out[1].endswith("0.toml:2")
        cells = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in out[2:]]
        assert cells == [
            ["at", "expected", "came"],
            ["10m", "warm[f1] pending: -14 is above -15"],
            ["!", "14m", "warm raised", "nothing; it came at 15m"],
            ["!", "15m", "warm[f1] raised: -14 is above -15, for 5m (unexpected)"],
            ["15m", "warm[f1] call pump", "warm[f1] call pump: -14 is above -15"],
            ["1 test, 1 failed"],
        ]

    @pytest.mark.parametrize("change", [("15m", "15.001s"), ('"call"', '"repeat"'), ('"raised"', '"cleared"')])
    def test_time_and_event_are_exact(self, place: Place, change: tuple[str, str]) -> None:
        place.fails(WARM.replace(*change))

    @pytest.mark.parametrize("key", ['instance = "f1"', 'rule = "pump"'])
    def test_what_is_named_must_be_right(self, place: Place, key: str) -> None:
        other = WARM.replace('"-20x10 -14x6"', '"-20x10 -14x6", "freezer[f2]" = "-20", room.temperature = "20"')
        place.passes(other)
        name, value = key.split(" = ")
        wrong = {"f1": "f2", "pump": "manager"}[value.strip('"')]
        done = place.run(other.replace(key, f'{name} = "{wrong}"'))
        assert done.exit_code == 1

    def test_a_long_story_is_cut_to_what_is_around_the_first_fault(self, place: Place) -> None:
        flips = " ".join(["20 31"] * 100)
        out = place.fails(f'[[test]]\nname = "t"\nreadings = {{ room.temperature = "{flips}" }}')
        assert len(out.splitlines()) < 60
        assert "further lines are not shown" in out

    def test_one_failure_among_several_files_fails(self, place: Place) -> None:
        done = place.run(WARM, WARM.replace("15m", "14m"), WARM)
        assert done.exit_code == 1
        assert done.stdout.splitlines()[0] == done.stdout.splitlines()[-2] == "ok    warm"
        assert done.stdout.endswith("3 tests, 1 failed\n")

    def test_json_has_it_all(self, place: Place) -> None:
        done = place.run(WARM.replace("15m", "14m", 1), words=("--json",))
        assert (done.exit_code, done.stderr) == (1, "")
        (found,) = json.loads(done.stdout)
        assert (found["test"], found["passed"], found["line"]) == ("warm", False, 2)
        assert found["missing"] == [
            {"at": "14m", "event": "raised", "alarm": "warm", "instance": None, "rule": None, "line": 5}
        ]
        (raised,) = found["unexpected"]
        assert raised == {
            "at": "15m",
            "time": "2026-01-01T00:15:00.000+09:00",
            "event": "raised",
            "alarm": "warm",
            "instance": "f1",
            "rule": None,
            "reason": "-14 is above -15, for 5m",
        }
        assert [event["event"] for event in found["events"]] == ["pending", "raised", "call"]
        passed = place.run(WARM, words=("--json",))
        assert (passed.exit_code, json.loads(passed.stdout)[0]["passed"]) == (0, True)


class TestPairing:
    """An expectation needs an event of its own; what is left of those like it is covered."""

    @staticmethod
    def faults(expected: list[tuple[str | None, str | None]], came: list[tuple[str, str]]) -> list[Fault]:
        wanted = tuple(Expected(SECOND, "a", EventKind.CALL, instance, rule) for instance, rule in expected)
        events = [
            Event(11 * SECOND, EventKind.CALL, "a", instance, rule, "", 1, Priority.LOW) for instance, rule in came
        ]
        lines = compare(AlarmTest("f", 1, "t", 10 * SECOND, SECOND, expected=wanted), events)
        return [line.fault for line in lines if line.fault]

    @pytest.mark.parametrize(
        ("expected", "came", "faults"),
        [
            ([(None, None)], [("1", "r"), ("1", "s"), ("2", "r")], []),
            ([(None, None), (None, None)], [("1", "r")], [Fault.MISSING]),
            ([(None, None), (None, None)], [("1", "r"), ("1", "s")], []),
            ([(None, None), ("1", "r")], [("1", "r"), ("1", "s")], []),
            ([(None, "r"), ("1", None)], [("1", "r"), ("1", "s")], []),
            ([("1", None), (None, "r")], [("1", "r"), ("2", "r")], []),
            ([("1", "r")], [("1", "r"), ("1", "s")], [Fault.UNEXPECTED]),
            ([("1", "r"), ("2", "r")], [("1", "r"), ("3", "r")], [Fault.UNEXPECTED, Fault.MISSING]),
            ([], [("1", "r")], [Fault.UNEXPECTED]),
        ],
    )
    def test_pairs(
        self, expected: list[tuple[str | None, str | None]], came: list[tuple[str, str]], faults: list[Fault]
    ) -> None:
        assert self.faults(expected, came) == faults


class TestFilesThatCannotBeUsed:
    def test_all_errors_are_told_at_once_and_nothing_is_run(self, place: Place) -> None:
        done = place.run(WARM, WARM.replace("alarm =", "alrm ="), WARM.replace("f1]", "f1"))
        assert (done.exit_code, done.stdout) == (1, "")
        assert [line.split(": ")[0].rpartition("/")[2] for line in done.stderr.splitlines()] == [
            *("1.toml:5", "1.toml:7", "1.toml:9", "1.toml:11"),
            *("2.toml:4", "2.toml:12"),
        ]

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (("freezer[f1]", "frezer[f1]"), '4: test[0].readings."frezer[f1]": no source is called'),
            (("freezer[f1]", "frezer[f1]"), 'did you mean "freezer[f1]"?'),
            (('"freezer[f1]"', '"freezer"'), 'did you mean "freezer[NAME]"?'),
            (("-14x6", "-14,5"), '4: test[0].readings."freezer[f1]": -14,5 is no number; write numbers like'),
            (('"warm"\nevent', '"wram"\nevent'), 'expect[0].alarm: there is no alarm "wram"; did you mean "warm"?'),
            (('"warm"\nevent', '"off"\nevent'), "7: test[0].expect[0].alarm: off has enabled = false"),
            (('"raised"', '"raise"'), '8: test[0].expect[0].event: "raise" is no event; did you mean "raised"?'),
            (('"raised"', '"shelved"'), '"shelved" never comes of readings alone; take "pending"'),
            (('"pump"', '"pmup"'), '14: test[0].expect[1].rule: there is no IoTCall rule "pmup"; did you mean "pump"?'),
            (('"pump"', '"manager"'), "14: test[0].expect[1].rule: warm never calls manager; it calls pump"),
            (('"call"', '"cleared"'), '14: test[0].expect[1].rule: does not go with "cleared"'),
            (('instance = "f1"', 'instance = "f2"'), 'expect[1].instance: this test has no reading of "f2"'),
            (('at = "15m"', 'at = "soon"'), "6: test[0].expect[0].at: 'soon' is no duration"),
            (('at = "15m"', ""), '5: test[0].expect[0].at: is missing; add at = "15m"'),
            (('at = "15m"', 'at = "15m"\nwhen = 3'), "7: test[0].expect[0].when: unknown key"),
            (('name = "warm"', 'name = "warm"\nothres = true'), 'test[0].othres: unknown key; did you mean "others"?'),
            (('name = "warm"', ""), "2: test[0].name: is missing"),
            (('name = "warm"', 'name = "w"\ninterval = 0'), "4: test[0].interval: must be more than 0"),
            (('name = "warm"', 'name = "w"\nstart = "noon"'), "4: test[0].start: is no time; write it like"),
            (("[[test]]", "[[tset]]"), '2: tset: unknown table; did you mean "test"?'),
            (("[[test]]", "[test]"), "2: test: is a table; write [[test]], with two brackets"),
            (("[[test.expect]]", "[test.expect]"), "5: test[0].expect: is a table; write [[test.expect]]"),
            (("name", "name ="), "3: is no TOML: "),
        ],
    )  # fmt: skip
    def test_a_line_says_what_is_wrong_and_what_would_be_right(
        self, place: Place, change: tuple[str, str], said: str
    ) -> None:
        text = WARM if change[0] != "[[test.expect]]" else WARM.rpartition("[[test.expect]]")[0]
        assert change[0] in text
        assert any(said in line for line in place.refused(text.replace(*change, 1)))

    @pytest.mark.parametrize("text", ["", "# nothing", "test = []"])
    def test_a_file_without_a_test_is_no_success(self, place: Place, text: str) -> None:
        assert place.refused(text) == ["1: holds no test; begin one with [[test]]"]

    def test_an_instance_where_there_is_none(self, place: Place) -> None:
        text = '[[test]]\nname = "t"\nreadings = { door = "true" }\n' + expecting("0.05s open raised instance=f1")
        assert place.refused(text) == ["8: test[0].expect[0].instance: open has no instances; remove this key"]

    def test_no_file(self, place: Place) -> None:
        done = place.run(words=("nowhere.toml",))
        assert (done.exit_code, done.stdout) == (1, "")
        assert done.stderr == "edge-agent: there is no file nowhere.toml; give the path of a test file\n"

    def test_a_bad_configuration_is_told_as_everywhere(self, place: Place) -> None:
        (place.folder / "config.toml").write_text("[alarms.a]\n")
        assert place.run(WARM).exit_code == 78

    def test_wrong_usage(self, place: Place) -> None:
        assert place.run().exit_code == 2
