"""`simulate --plot`: what is gathered stays small and loses no peak; what is drawn has every alarm, and can be read."""

import itertools
import struct
import sys
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from edge_agent.cli import main
from edge_agent.config.loader import load
from edge_agent.core.events import EventKind
from edge_agent.core.fields import SECOND
from edge_agent.core.reading import Reading, Value
from edge_agent.tools.replay import plot_style
from edge_agent.tools.replay.entries import Command, Entry
from edge_agent.tools.replay.picture import Picture
from edge_agent.tools.replay.player import Player
from edge_agent.tools.replay.plot import Plot, PlotError
from edge_agent.tools.replay.plot_data import Kind, Lane, Level, Sample, Steps, Track, decimate, merge, segments
from edge_agent.tools.replay.plot_figure import draw
from edge_agent.tools.replay.plot_scene import MAX_BLOCKS, MAX_QUIET, MAX_STRIPS

TOKYO = ZoneInfo("Asia/Tokyo")
NINE = round(datetime(2026, 1, 31, 9, tzinfo=TOKYO).timestamp()) * SECOND
MINUTE = 60 * SECOND
CONFIG = """
[agent]
name = "pump-house-3"
timezone = "Asia/Tokyo"
[iotcall.rules.pump]
url_key = "PUMP"
max_calls = 0
[mqtt.plant]
host = "localhost"
[sources.freezer]
type = "mqtt"
topic = "site/+/freezer"
reject = [85.0]
[sources.boiler]
type = "mqtt"
topic = "site/boiler"
fields = { temperature = "t", state = "s" }
[sources.door]
type = "gpio"
pin = 17
debounce = "50ms"
"""
WARM = """
[alarms.freezer-warm]
input = "freezer"
above = -15.0
deadband = 2.0
on_delay = "5m"
off_delay = "3m"
call = "pump"
repeat = "10m"
"""


def read(folder: Path, alarms: str = WARM) -> Player:
    path = folder / "config.toml"
    path.write_text(CONFIG + alarms, encoding="utf-8")
    return Player(load(path, secrets=False, env={}))


def minutes(point: str, *values: Value | None, begin: int = 0) -> Iterator[Reading]:
    """Yield one reading a minute."""
    for minute, value in enumerate(values, begin):
        yield Reading(point, value, NINE + minute * MINUTE, "" if value is not None else "bad")


def story(*runs: Iterable[Entry]) -> list[Entry]:
    return sorted(itertools.chain(*runs), key=lambda entry: entry.at)


def plotted(player: Player, entries: Iterable[Entry], until: int | None = None) -> Plot:
    plot = Plot(player, "january.csv")
    for event in player.run(plot.watch(entries), until):
        plot.see(event)
    return plot


def pictured(player: Player, *runs: Iterable[Entry]) -> Picture:
    return plotted(player, story(*runs)).picture()


def gids(figure: Figure, word: str) -> list[str]:
    """Return the marked artists whose name begins with a word, without it."""
    found = [artist.get_gid() for axes in figure.axes for artist in axes.get_children()]
    return sorted(gid.removeprefix(f"{word} ") for gid in found if gid is not None and gid.split()[0] == word)


def texts(figure: Figure) -> list[Text]:
    """Return every text that is to be seen."""
    found = list(figure.texts)
    for axes in figure.axes:
        found += axes.texts
        found += _labels(axes.yaxis)
        found += _labels(axes.xaxis) if axes.xaxis.get_tick_params()["labelbottom"] else []
    for legend in figure.legends:
        found += legend.get_texts()
    return [text for text in found if text.get_visible() and text.get_text()]


def _labels(axis: Axis) -> list[Text]:
    """Return the labels of those ticks that are within the panel; matplotlib keeps others, and does not draw them."""
    low, high = sorted(axis.get_view_interval())
    ticks = [tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    return [*(tick.label1 for tick in ticks), axis.get_offset_text()]


def boxes(figure: Figure) -> list[tuple[str, Bbox]]:
    figure.draw_without_rendering()
    return [(text.get_text(), text.get_window_extent()) for text in texts(figure)]


def unreadable(figure: Figure) -> list[str]:
    """Return the texts that leave the sheet, and the pairs that lie on each other."""
    sheet = figure.bbox
    found = boxes(figure)
    out = [text for text, box in found if box.x0 < 0 or box.y0 < 0 or box.x1 > sheet.x1 or box.y1 > sheet.y1]
    for (text, box), (other, another) in itertools.combinations(found, 2):
        shared = Bbox.intersection(box, another)
        if shared is not None and shared.width > 1 and shared.height > 1:
            out.append(f"{text} / {other}")
    return out


class TestGathering:
    """A year takes no more memory than an hour."""

    @given(
        st.lists(st.tuples(st.integers(0, 10**9), st.floats(-1e6, 1e6)), min_size=1, max_size=400).map(
            lambda samples: sorted(samples, key=lambda sample: sample[0])
        ),
        st.integers(1, 20),
    )
    def test_thinning_keeps_the_ends_and_every_columns_peaks(self, samples: list[Sample], columns: int) -> None:
        kept = decimate(samples, columns)
        values = [value for _, value in samples]
        assert len(kept) <= max(columns, 4 * (columns + 1))
        assert [at for at, _ in kept] == sorted(at for at, _ in kept)
        assert set(kept) <= set(samples)
        assert (kept[0][0], kept[-1][0]) == (samples[0][0], samples[-1][0])
        assert (min(value for _, value in kept), max(value for _, value in kept)) == (min(values), max(values))

    def test_a_long_track_stays_small_and_keeps_a_spike(self) -> None:
        track = Track(columns=100)
        for at in range(100_000):
            track.add(at, 99.5 if at == 31_415 else at % 7)
        assert track.count == 100_000
        assert len(track.samples) <= 600
        assert (31_415, 99.5) in track.samples

    def test_a_switch_and_a_text_keep_their_changes(self) -> None:
        door, lamp = Track(), Track()
        for at, (is_open, colour) in enumerate([(True, "red"), (True, "red"), (False, "green"), (False, "red")]):
            door.add(at, is_open)
            lamp.add(at, colour)
        assert (door.kind, door.samples) == (Kind.SWITCH, [(0, 1.0), (2, 0.0)])
        assert (lamp.kind, lamp.words) == (Kind.TEXT, ["red", "green"])
        assert lamp.samples == [(0, 0.0), (2, 1.0), (3, 0.0)]

    def test_of_very_many_texts_the_later_ones_are_one(self) -> None:
        track = Track()
        for at in range(1000):
            track.add(at, f"line {at}")
        assert len(track.words) == 9
        assert track.samples[-1] == (8, 8.0)

    @pytest.mark.parametrize("first", [1.5, True, "red"])
    def test_a_reading_of_another_type_is_counted(self, first: Value) -> None:
        track = Track()
        for at, value in enumerate([first, *(other for other in (1.5, True, "red") if other is not first)]):
            track.add(at, value)
        assert (track.strays, len(track.samples)) == (2, 1)

    def test_an_instant_that_was_raised_is_never_lost(self) -> None:
        """However many states there were, each column shows the highest."""
        steps = Steps()
        for at in range(0, 400_000, 10):
            steps.add(at, Level.PENDING if at != 123_450 else Level.RAISED)
            steps.add(at + 1, Level.NORMAL)
        spans = steps.spans(400_000)
        assert len(spans) < 12_000
        assert [level for begin, end, level in spans if begin <= 123_450 <= end and level == Level.RAISED]

    def test_long_spans_are_left_alone(self) -> None:
        spans = [(0, 100, 0), (100, 101, 3), (101, 300, 0), (300, 302, 1), (302, 304, 3), (304, 306, 0)]
        assert merge(spans, 10) == [(0, 100, 0), (100, 101, 3), (101, 300, 0), (300, 306, 3)]

    def test_many_calls_stay_countable(self) -> None:
        lane = Lane("a", None)
        for at in range(30_000):
            lane.add(at, EventKind.CALL)
        assert lane.counts[EventKind.CALL] == 30_000
        assert len(lane.marks[EventKind.CALL]) < 10_000

    def test_a_gap_parts_a_line(self) -> None:
        samples = [(0, 1.0), (10, 1.0), (31, 1.0), (40, 2.0)]
        assert [len(run) for run in segments(samples, 20)] == [2, 2]
        assert list(segments([], 20)) == []

    def test_what_an_alarm_sees_is_what_is_gathered(self, tmp_path: Path) -> None:
        """After reject; bad frames of the whole source; a level once its debounce is over."""
        alarms = WARM + (
            '[alarms.a]\ninput = "door"\nis = true\n[alarms.b]\ninput = "boiler.temperature"\nabove = 90\n'
            '[alarms.c]\nall = [{ input = "boiler.temperature", above = 80 }, { input = "door", is = true }]\n'
        )
        picture = pictured(
            read(tmp_path, alarms),
            minutes("freezer[f1]", -20, 85.0, -19),
            minutes("boiler.temperature", 20),
            minutes("boiler", None, begin=1),
            minutes("boiler.state", "ok"),
            minutes("door", True, False),
        )
        tracks = {block.title: block.track for block in picture.blocks}
        assert set(tracks) == {"freezer[f1]", "boiler.temperature", "door"}
        freezer, boiler, door = tracks["freezer[f1]"], tracks["boiler.temperature"], tracks["door"]
        assert freezer is not None
        assert boiler is not None
        assert door is not None
        assert freezer.samples == [(NINE, -20), (NINE + 2 * MINUTE, -19)]
        assert freezer.bad == [(NINE + MINUTE, 0.0)]
        assert boiler.bad == [(NINE + MINUTE, 0.0)]
        settled = 50_000
        assert door.samples == [(NINE + settled, 1.0), (NINE + MINUTE + settled, 0.0)]


class TestScene:
    def test_each_test_has_its_limits_and_deadbands(self, tmp_path: Path) -> None:
        alarms = "".join(
            f'[alarms.{name}]\ninput = "boiler.temperature"\n{test}\n'
            for name, test in {
                "a": "above = 90\ndeadband = 5",
                "b": "below = 20\ndeadband = 2",
                "o": "outside = [30, 80]\ndeadband = 1",
                "i": "inside = [40, 60]\ndeadband = 3",
                "n": "is = 50",
                "r": 'rises_by = 5\nwithin = "5m"',
                "s": 'silent_for = "5m"',
            }.items()
        )
        (block,) = pictured(read(tmp_path, alarms), minutes("boiler.temperature", 50)).blocks
        assert [(limit.label, limit.deadband) for limit in block.limits] == [
            ("above 90  a", (85, 90)),
            ("below 20  b", (20, 22)),
            ("below 30  o", (30, 31)),
            ("above 80  o", (79, 80)),
            ("from 40  i", (37, 40)),
            ("up to 60  i", (60, 63)),
            ("is 50  n", None),
        ]
        assert [strip.about for strip in block.strips][-2:] == ["risen by 5 within 5m", "silent for 5m"]

    @pytest.mark.parametrize(
        ("test", "wanted"),
        [('is = "red"', (1.0,)), ('is_not = "red"', (0.0, 2.0)), ('matches = "e"', (1.0, 2.0)), ("is = 3", ())],
    )
    def test_the_texts_that_an_alarm_is_about_are_marked(
        self, tmp_path: Path, test: str, wanted: tuple[float, ...]
    ) -> None:
        player = read(tmp_path, f'[alarms.a]\ninput = "boiler.state"\n{test}')
        (block,) = pictured(player, minutes("boiler.state", "off", "red", "green")).blocks
        assert block.wanted == wanted

    def test_of_many_points_those_with_alarms_are_shown(self, tmp_path: Path) -> None:
        runs = [minutes(f"freezer[f{n}]", -20, *([-10] if n in (20, 27) else [-20]) * 8) for n in range(30)]
        picture = pictured(read(tmp_path), *runs)
        titles = [block.title for block in picture.blocks]
        assert titles[:3] == ["freezer[f20]", "freezer[f27]", "freezer[f0]"]
        assert len(titles) == MAX_QUIET
        left_out = "24 further points (freezer[f4], freezer[f5], freezer[f6], freezer[f7] and others)"
        assert picture.notes == (f"Not shown, without an alarm raised: {left_out}.",)

    def test_more_points_with_alarms_than_can_be_read(self, tmp_path: Path) -> None:
        picture = pictured(read(tmp_path), *(minutes(f"freezer[f{n}]", *[-10] * 8) for n in range(30)))
        assert len(picture.blocks) == MAX_BLOCKS
        assert picture.notes[0].startswith("Not shown, with an alarm raised at 18 of them: 18 further points")
        assert picture.counts[EventKind.RAISED] == 30

    def test_alarms_over_several_points_have_a_place_of_their_own(self, tmp_path: Path) -> None:
        alarms = '[alarms.a]\nany = [{ input = "freezer", above = -15 }, { input = "boiler.temperature", above = 9 }]\n'
        picture = pictured(
            read(tmp_path, alarms), minutes("freezer[f1]", -20), minutes("boiler.temperature", 5, 10, 10)
        )
        assert [block.title for block in picture.blocks] == [
            *("boiler.temperature", "freezer[f1]", "Alarms over several points"),
        ]
        assert [strip.label for strip in picture.blocks[-1].strips] == ["a[f1]"]
        assert picture.blocks[-1].strips[0].about == "freezer above -15 or boiler.temperature above 9"
        assert picture.blocks[1].limits[0].label == "above -15  a"

    def test_a_point_that_serves_instances_is_followed_before_there_are_any(self, tmp_path: Path) -> None:
        alarms = '[alarms.a]\nall = [{ input = "freezer", above = -15 }, { input = "door", is = true }]\n'
        entries = story(minutes("door", True, False), minutes("freezer[f1]", -20, begin=9))
        (door, _) = plotted(read(tmp_path, alarms), entries).picture().blocks
        assert door.track is not None
        assert (door.title, len(door.track.samples), door.wanted) == ("door", 2, (1.0,))
        with pytest.raises(PlotError, match="no alarm looks at"):
            plotted(read(tmp_path, alarms), minutes("door", True)).picture()

    def test_many_alarms_on_a_point_are_cut(self, tmp_path: Path) -> None:
        alarms = "".join(f'[alarms.a{n}]\ninput = "boiler.temperature"\nabove = {n}\n' for n in range(30))
        (block,) = pictured(read(tmp_path, alarms), minutes("boiler.temperature", -1, 5)).blocks
        assert (len(block.strips), block.left_out) == (MAX_STRIPS, 20)
        assert [strip.label for strip in block.strips[:5]] == [f"a{n}" for n in range(5)]

    def test_there_must_be_something_to_draw(self, tmp_path: Path) -> None:
        with pytest.raises(PlotError, match="no readings"):
            plotted(read(tmp_path), []).picture()
        with pytest.raises(PlotError, match="no readings"):
            plotted(read(tmp_path), minutes("freezer[f1]", 1), until=NINE - 1).picture()
        with pytest.raises(PlotError, match="no alarm looks at"):
            plotted(read(tmp_path), minutes("boiler.temperature", 1)).picture()


class TestFigure:
    def test_limits_states_and_calls_are_in_it(self, tmp_path: Path) -> None:
        shelf = Command("shelve", "freezer-warm", None, NINE + 30 * MINUTE, NINE + 50 * MINUTE)
        ack = Command("ack", "freezer-warm", "f1", NINE + 29 * MINUTE)
        values = [-20, -10, *[-10] * 20, None, -10, *[-10] * 5, *[-18] * 6, *[-10] * 20]
        figure = draw(pictured(read(tmp_path), minutes("freezer[f1]", *values), [ack, shelf]))
        assert gids(figure, "limit") == ["above -15  freezer-warm"]
        assert gids(figure, "deadband") == ["above -15  freezer-warm"]
        assert [word for word in Level.__members__ if gids(figure, word)] == ["PENDING", "CLEARING", "RAISED"]
        assert gids(figure, "SHELVED") == ["0"]
        kinds = ("call", "repeat", "suppressed", "acknowledged")
        assert [kind for kind in kinds if gids(figure, kind) == ["freezer-warm"]] == list(kinds)
        shown = [text.get_text() for text in texts(figure)]
        assert "above -15, for 5m" in shown
        assert "2 raises, 2 calls, 2 repeats, 1 held back" in shown
        legend = [text.get_text() for text in figure.legends[0].get_texts()]
        assert legend == [
            *("reading", "bad quality", "limit", "deadband", "pending", "raised", "clearing", "shelved"),
            *("call", "repeat", "call held back", "acknowledged"),
        ]

    def test_a_call_stands_at_its_time(self, tmp_path: Path) -> None:
        figure = draw(pictured(read(tmp_path), minutes("freezer[f1]", -20, *[-10] * 9)))
        (line,) = [line for axes in figure.axes for line in axes.get_lines() if line.get_gid() == "call freezer-warm"]
        (day,) = np.asarray(line.get_xdata())
        assert day * 86_400 == pytest.approx((NINE + 6 * MINUTE) / SECOND, abs=0.001)

    def test_times_are_the_agents(self, tmp_path: Path) -> None:
        figure = draw(pictured(read(tmp_path), minutes("freezer[f1]", *[-20] * 61)))
        shown = [text for text, _ in boxes(figure)]
        assert {"09:00", "09:30", "10:00"} <= set(shown)
        assert "2026-01-31 09:00 to 2026-01-31 10:00, Asia/Tokyo  ·  no alarm was raised" in shown

    def test_switches_and_texts_are_lines_of_their_own(self, tmp_path: Path) -> None:
        alarms = '[alarms.a]\ninput = "door"\nis = true\n[alarms.b]\ninput = "boiler.state"\nmatches = "^err"\n'
        figure = draw(
            pictured(
                read(tmp_path, alarms),
                minutes("door", False, True, False),
                minutes("boiler.state", "ok", "err $7_x$", "過負荷"),
            )
        )
        shown = [text.get_text() for text in texts(figure)]
        assert {"false", "true", "ok", "err $7_x$", "過負荷"} <= set(shown)
        assert gids(figure, "wanted") == ["1", "1"]

    def test_silence_is_seen(self, tmp_path: Path) -> None:
        alarms = WARM + '[alarms.silent]\ninput = "freezer"\nsilent_for = "10m"\n'
        figure = draw(
            pictured(read(tmp_path, alarms), minutes("freezer[f1]", *[-20] * 30), minutes("freezer[f1]", -20, begin=60))
        )
        assert "no reading: the last one stands" in [text.get_text() for text in figure.legends[0].get_texts()]
        assert gids(figure, "RAISED") == ["1"]

    def test_only_bad_readings(self, tmp_path: Path) -> None:
        figure = draw(pictured(read(tmp_path), minutes("freezer[f1]", 85.0, 85.0)))
        assert "no good reading" in [text.get_text() for text in texts(figure)]

    def test_an_alarm_without_any_reading(self, tmp_path: Path) -> None:
        """Silence of a point of which the file knows nothing."""
        alarms = WARM + '[alarms.silent]\ninput = "boiler.temperature"\nsilent_for = "5m"\n'
        figure = draw(pictured(read(tmp_path, alarms), minutes("freezer[f1]", *[-20] * 9)))
        assert "boiler.temperature" in [text.get_text() for text in texts(figure)]

    @pytest.mark.parametrize("values", [[-20], [-20, -20], [-20, -10, 1e12], [0.0] * 3, list(range(-40, 40)) * 30])
    def test_whatever_the_readings_the_sheet_can_be_read(self, tmp_path: Path, values: list[float]) -> None:
        figure = draw(pictured(read(tmp_path), minutes("freezer[f1]", *values)))
        assert unreadable(figure) == []
        assert len({text for text, _ in boxes(figure) if text[-1].isdigit()}) > 3

    def test_close_limits_and_long_names_do_not_overlap(self, tmp_path: Path) -> None:
        alarms = "".join(
            f'[alarms.{"a-very-long-name-of-an-alarm-" * 2}{n}]\ninput = "boiler.temperature"\n{test}\n'
            for n, test in enumerate(
                [f"above = {90 + n / 10}\ndeadband = 3\non_delay = '1m'" for n in range(8)]
                + ["below = -5", "outside = [0, 91]", "inside = [90, 90.2]"]
            )
        )
        alarms += '[alarms.many]\nall = [{ input = "boiler.temperature", above = 80 }, { input = "door", is = true }]\n'
        figure = draw(
            pictured(
                read(tmp_path, alarms),
                minutes("boiler.temperature", 95, *[20, 95] * 40),
                minutes("door", True),
                minutes(f"freezer[{'long instance ' * 9}]", -20),
            )
        )
        assert unreadable(figure) == []
        assert len(gids(figure, "limit")) == 14

    def test_labels_of_limits_keep_their_order_and_their_distance(self) -> None:
        places = plot_style.spread([0.1, 0.1, 0.2, 1.4, 1.49], 1.5)
        assert places == sorted(places)
        assert all(later - earlier > 0.14 for earlier, later in itertools.pairwise(places))
        assert places[-1] <= 1.5

    def test_a_long_name_keeps_its_end(self) -> None:
        assert plot_style.cut("freezer", 10) == "freezer"
        assert plot_style.cut("a-long-name-of-freezer-17", 12) == "a-long-…r-17"


class TestCommand:
    @pytest.fixture
    def files(self, tmp_path: Path) -> Path:
        (tmp_path / "config.toml").write_text(CONFIG + WARM)
        rows = [f"{1769817600 + 60 * n},freezer[f1],{-20 if n < 10 else -10}" for n in range(40)]
        (tmp_path / "january.csv").write_text("\n".join(["time,point,value", *rows]) + "\n")
        return tmp_path

    @staticmethod
    def run(files: Path, picture: str, *words: str) -> Result:
        config, readings = str(files / "config.toml"), str(files / "january.csv")
        return CliRunner().invoke(
            main, ["--config", config, "simulate", readings, "--plot", str(files / picture), *words], env={}
        )

    def test_a_picture_is_written_beside_what_is_printed(self, files: Path) -> None:
        done = self.run(files, "out.png", "--json")
        assert done.exit_code == 0, done.output
        assert '"event": "raised"' in done.stdout
        data = (files / "out.png").read_bytes()
        assert data.startswith(b"\x89PNG\r\n\x1a\n")
        width, height = struct.unpack(">II", data[16:24])
        assert (width, height > 500) == (round(plot_style.WIDTH * plot_style.DPI), True)
        assert len(data) > 20_000

    @pytest.mark.parametrize(("name", "begins"), [("out.svg", b"<?xml"), ("out.PDF", b"%PDF")])
    def test_other_formats(self, files: Path, name: str, begins: bytes) -> None:
        assert self.run(files, name).exit_code == 0
        assert (files / name).read_bytes().startswith(begins)

    @pytest.mark.parametrize(
        ("picture", "said"),
        [("out.txt", "its name must end in .png, .svg or .pdf"), ("nowhere/out.png", "there is no folder")],
    )
    def test_where_it_cannot_be_written_is_told_before_anything_is_played(
        self, files: Path, picture: str, said: str
    ) -> None:
        done = self.run(files, picture)
        assert (done.exit_code, done.stdout) == (1, "")
        assert said in done.stderr

    def test_without_matplotlib_it_says_what_to_install(self, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        done = self.run(files, "out.png")
        assert (done.exit_code, done.stdout) == (1, "")
        assert done.stderr == "edge-agent: pictures need matplotlib; pip install 'edge-agent[plot]'\n"

    def test_nothing_to_draw(self, files: Path) -> None:
        (files / "january.csv").write_text("time,point,value\n0,boiler.temperature,3\n")
        done = self.run(files, "out.png")
        assert done.exit_code == 1
        assert "nothing to draw" in done.stderr
        assert not (files / "out.png").exists()
