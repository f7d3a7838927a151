"""Draws a picture with matplotlib: panels of readings with their limits, bands of alarms' states, one axis of time."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from matplotlib import dates, font_manager, rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from edge_agent.core.events import EventKind
from edge_agent.core.times import MILLION, local
from edge_agent.tools.replay import plot_legend
from edge_agent.tools.replay import plot_style as style
from edge_agent.tools.replay.picture import Block, Limit, Picture, Strip
from edge_agent.tools.replay.plot_data import COLUMNS, Kind, Level, Sample, Track, decimate, merge, segments

_DAY = 86_400 * MILLION
_MAX_LINES = 30
"""Calls that are also shown as lines across the readings; more would hide them."""
_GAP_COLUMNS = 12
_GAP_SPACINGS = 8


def draw(picture: Picture) -> Figure:
    """Return the figure."""
    with rc_context({"font.family": _fonts(), "font.size": style.TEXT, "axes.unicode_minus": True}):
        return _Sheet(picture).draw()


def write(figure: Figure, path: Path) -> None:
    """Write the figure as what the file's name says.

    Raises:
        OSError: it cannot be written.
    """
    with warnings.catch_warnings(), rc_context({"font.family": _fonts()}):
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a box in the picture says as much
        figure.savefig(path, dpi=style.DPI, format=path.suffix.lower().removeprefix("."))


def _fonts() -> list[str]:
    """Return the fonts to look for a character in: names and texts may be Japanese."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in style.JAPANESE_FONTS if name in installed)]


def _day(at: int) -> float:
    """Return an instant as matplotlib counts time: days since 1970."""
    return at / _DAY


class _Sheet:
    """One figure in the making; its measures are inches, from the top."""

    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        self._begin, self._end = picture.begin, picture.end
        if self._begin == self._end:
            self._begin, self._end = self._begin - 30 * MILLION, self._end + 30 * MILLION
        self._column = max(1, (self._end - self._begin) // COLUMNS)
        self._used = set[str]()
        self._left = style.left_margin([strip.label for block in picture.blocks for strip in block.strips])
        self._notes = self._all_notes()
        self._height = self._total_height()
        self._figure = Figure(figsize=(style.WIDTH, self._height))
        FigureCanvasAgg(self._figure)
        self._top = 0.0

    def draw(self) -> Figure:
        self._title()
        self._top = style.HEADER
        bottom: Axes | None = None
        for block in self._picture.blocks:
            bottom = self._block(block)
        if bottom is not None:
            self._time_axis(bottom)
        self._footer()
        return self._figure

    # Measures -----------------------------------------------------------------------------------------------------

    def _all_notes(self) -> list[str]:
        notes = list(self._picture.notes)
        tracks = [block.track for block in self._picture.blocks if block.track is not None]
        if any(track.kind is Kind.NUMBER and len(track.samples) > COLUMNS for track in tracks):
            notes.append("Where readings are dense, each column shows their lowest and highest.")
        if len(_fonts()) == 1 and any(_is_japanese(text) for text in self._texts()):
            notes.append("Install fonts-noto-cjk for the characters that are boxes here.")
        return notes

    def _texts(self) -> Iterator[str]:
        yield self._picture.title
        for block in self._picture.blocks:
            yield block.title
            yield from (block.track.words if block.track is not None else ())

    def _total_height(self) -> float:
        blocks = sum(style.block_height(block) for block in self._picture.blocks)
        return style.HEADER + blocks + style.TIME_AXIS + style.LEGEND + style.NOTE * len(self._notes) + style.BOTTOM

    def _axes(self, height: float) -> Axes:
        """Return axes of this height below what was drawn last."""
        width = style.WIDTH - self._left - style.RIGHT
        bottom = self._height - self._top - height
        axes = self._figure.add_axes(
            (self._left / style.WIDTH, bottom / self._height, width / style.WIDTH, height / self._height)
        )
        self._top += height
        air = (self._end - self._begin) * style.AIR
        axes.set_xlim(_day(self._begin) - air / _DAY, _day(self._end) + air / _DAY)
        self._locate(axes)
        axes.tick_params(axis="x", labelbottom=False, length=0)
        axes.grid(visible=True, axis="x", color=style.GRID, linewidth=0.6)
        axes.set_axisbelow(True)
        for spine in axes.spines.values():
            spine.set_color(style.FRAME)
            spine.set_linewidth(0.6)
        return axes

    def _locate(self, axes: Axes) -> None:
        zone = self._picture.zone
        locator = dates.AutoDateLocator(tz=zone, minticks=4, maxticks=10)  # type: ignore[no-untyped-call]
        words = {"formats": style.TIMES, "zero_formats": style.ROUND_TIMES, "show_offset": False}
        formatter = dates.ConciseDateFormatter(locator, tz=zone, **words)  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(formatter)

    def _write(self, x: float, text: str, **how: Any) -> None:
        """Write a text at so many inches from the left, at the height reached."""
        y = 1 - self._top / self._height
        self._figure.text(x / style.WIDTH, y, text, parse_math=False, **how)

    # Blocks -------------------------------------------------------------------------------------------------------

    def _block(self, block: Block) -> Axes:
        self._top += style.BLOCK_TITLE
        title = f"{block.title}  [{block.unit}]" if block.unit else block.title
        self._write(self._left, style.cut(title, style.MAX_TITLE), va="bottom", weight="bold", size=style.TITLE)
        self._top += style.UNDER_TITLE
        axes: Axes | None = None
        if block.track is not None:
            axes = self._panel(block, block.track)
            self._call_lines(axes, block.strips)
        if block.strips:
            self._top += style.PANEL_GAP if axes is not None else 0.0
            axes = self._lanes(block)
        if axes is None:  # a point whose alarms all look at others too, without a reading
            axes = self._axes(style.LANE)
        self._top += style.BLOCK_GAP
        return axes

    def _panel(self, block: Block, track: Track) -> Axes:
        axes = self._axes(style.panel_height(block))
        if track.kind is Kind.NUMBER:
            self._numbers(axes, block, track)
        else:
            self._levels(axes, block, track)
        if track.bad:
            self._used.add("bad")
            bad = [_day(at) for at, _ in decimate(track.bad)]
            axes.plot(bad, [0.035] * len(bad), transform=axes.get_xaxis_transform(), **style.BAD)
        if not track.samples:
            axes.text(0.5, 0.5, "no good reading", transform=axes.transAxes, ha="center", va="center", color=style.DIM)
        return axes

    def _numbers(self, axes: Axes, block: Block, track: Track) -> None:
        samples = decimate(track.samples)
        self._used.add("reading")
        runs = list(segments(samples, self._longest_gap(samples)))
        few, width = len(samples) <= style.FEW, 1.1 if len(samples) <= COLUMNS else 0.6
        for run in runs:
            until = [(self._end, run[-1][1])] if run is runs[-1] and self._is_fresh(run, samples) else []
            xs, ys = _xy(run + until)
            axes.plot(xs, ys, drawstyle="steps-post", color=style.LINE, linewidth=width, solid_joinstyle="round")
            if few:
                axes.plot(xs[: len(run)], ys[: len(run)], **style.DOT)
        self._standing(axes, runs)
        for limit in block.limits:
            self._limit(axes, limit)
        axes.set_ylim(*_span([value for _, value in samples], block.limits))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5, min_n_ticks=3, steps=[1, 2, 2.5, 5, 10]))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:.9g}"))  # whole numbers: no "+1e6" in a corner
        axes.grid(visible=True, axis="y", color=style.GRID, linewidth=0.6)
        if block.unit:
            axes.set_ylabel(block.unit)
        self._limit_labels(axes, block.limits)

    def _longest_gap(self, samples: Sequence[Sample]) -> int:
        """Return how long readings may stay away before the line says that the last one merely stands."""
        spacings = sorted(later[0] - earlier[0] for earlier, later in pairwise(samples))
        usual = spacings[len(spacings) // 2] if spacings else 0
        return max(_GAP_SPACINGS * usual, _GAP_COLUMNS * self._column)

    def _is_fresh(self, run: Sequence[Sample], samples: Sequence[Sample]) -> bool:
        return self._end - run[-1][0] <= self._longest_gap(samples)

    def _standing(self, axes: Axes, runs: Sequence[Sequence[Sample]]) -> None:
        """Draw the last value on where readings stay away."""
        ends = [run[0][0] for run in runs[1:]] + [self._end]
        for run, end in zip(runs, ends, strict=False):
            at, value = run[-1]
            if end - at > self._longest_gap([sample for each in runs for sample in each]):
                self._used.add("standing")
                axes.plot([_day(at), _day(end)], [value, value], **style.STANDING)

    def _limit(self, axes: Axes, limit: Limit) -> None:
        self._used.add("limit")
        axes.axhline(limit.value, **style.LIMIT).set_gid(f"limit {limit.label}")
        if limit.deadband is not None:
            self._used.add("deadband")
            axes.axhspan(*limit.deadband, **style.DEADBAND).set_gid(f"deadband {limit.label}")

    def _limit_labels(self, axes: Axes, limits: Sequence[Limit]) -> None:
        """Write each limit's label at its height, right of the panel, pushed apart where they would overlap."""
        low, high = axes.get_ylim()
        height = axes.get_position().height * self._height
        ordered = sorted(limits, key=lambda limit: limit.value)
        wanted = [(limit.value - low) / (high - low) * height for limit in ordered]
        for limit, at, place in zip(ordered, wanted, style.spread(wanted, height), strict=True):
            x = 1.012
            if abs(at - place) > style.NUDGE:
                axes.plot([1.0, x], [at / height, place / height], transform=axes.transAxes, **style.LEADER)
            words = style.cut(limit.label, style.MAX_LABEL)
            axes.text(x + 0.004, place / height, words, transform=axes.transAxes, parse_math=False, **style.LABEL)

    def _levels(self, axes: Axes, block: Block, track: Track) -> None:
        """Draw a switch or a text: each level a line of its own."""
        names = ["false", "true"] if track.kind is Kind.SWITCH else track.words
        self._used.add("reading")
        samples = [*decimate(track.samples), (self._end, track.samples[-1][1] if track.samples else 0.0)]
        for level in block.wanted:
            self._used.add("wanted")
            axes.axhspan(level - 0.42, level + 0.42, **style.WANTED).set_gid(f"wanted {level:g}")
        xs, ys = _xy(samples)
        axes.plot(xs, ys, drawstyle="steps-post", color=style.LINE, linewidth=1.3)
        if track.kind is Kind.TEXT:
            axes.plot(xs[:-1], ys[:-1], **style.DOT)
        axes.set_ylim(-0.6, len(names) - 0.4)
        axes.set_yticks(range(len(names)), [style.cut(name, style.MAX_WORD) for name in names])
        for label in axes.get_yticklabels():
            label.set_parse_math(False)

    # Alarms -------------------------------------------------------------------------------------------------------

    def _lanes(self, block: Block) -> Axes:
        axes = self._axes(style.lanes_height(block))
        count = len(block.strips) + (1 if block.left_out else 0)
        axes.set_ylim(count, 0)
        names = [style.cut(strip.label, style.MAX_NAME) for strip in block.strips]
        axes.set_yticks([place + 0.5 for place in range(len(names))], names)
        axes.tick_params(axis="y", length=0)
        for label in axes.get_yticklabels():
            label.set_parse_math(False)
        for place, strip in enumerate(block.strips):
            self._lane(axes, place, strip)
        if block.left_out:
            words = f"{block.left_out} more alarm{'s' if block.left_out > 1 else ''} here"
            axes.text(0.004, count - 0.5, words, transform=axes.get_yaxis_transform(), va="center", color=style.DIM)
        return axes

    def _lane(self, axes: Axes, place: int, strip: Strip) -> None:
        lane = strip.lane
        axes.axhspan(place + style.BAND_TOP, place + style.BAND_BOTTOM, color=style.NORMAL, linewidth=0)
        spans = merge(lane.states.spans(self._end), self._column)
        for level in (Level.PENDING, Level.CLEARING, Level.RAISED):
            self._band(axes, place, [span for span in spans if span[2] == level], style.STATES[level], level.name)
        shelved = [span for span in merge(lane.shelf.spans(self._end), self._column) if span[2]]
        self._band(axes, place, shelved, style.SHELVED, "SHELVED")
        self._marks(axes, place, strip)
        about = strip.about if len(strip.about) <= style.MAX_ABOUT else f"{strip.about[: style.MAX_ABOUT - 1]}…"
        counts = ", ".join(_counts(lane.counts))
        places = ((about, style.ABOUT_AT, style.ABOUT), (counts, style.COUNTS_AT, style.COUNTS))
        for words, at, how in places if counts else ((about, 0.5, style.ABOUT),):
            axes.text(1.016, place + at, words, transform=axes.get_yaxis_transform(), parse_math=False, **how)

    def _marks(self, axes: Axes, place: int, strip: Strip) -> None:
        dense = sum(map(len, strip.lane.marks.values())) > style.MANY_MARKS
        places = style.SMALL_AT if dense else style.MARK_AT
        for kind, marker in style.MARKS.items():
            marks = [_day(at) for at, _ in decimate(strip.lane.marks[kind])]
            if marks:
                self._used.add(kind)
                how = {**marker, **style.SMALL_MARK} if dense else marker
                found = axes.plot(marks, [place + places[kind]] * len(marks), **how, clip_on=False)
                found[0].set_gid(f"{kind} {strip.label}")

    def _band(
        self, axes: Axes, place: int, spans: Sequence[tuple[int, int, int]], how: dict[str, Any], name: str
    ) -> None:
        if not spans:
            return
        self._used.add(name)
        least = 1.5 * self._column  # an instant is to be seen too
        ranges = [(_day(begin), _day(int(max(end - begin, least)))) for begin, end, _ in spans]
        bars = axes.broken_barh(ranges, (place + style.BAND_TOP, style.BAND_BOTTOM - style.BAND_TOP), **how)
        bars.set_gid(f"{name} {place}")

    def _call_lines(self, axes: Axes, strips: Sequence[Strip]) -> None:
        calls = sorted({at for strip in strips for at, _ in strip.lane.marks[EventKind.CALL]})
        if len(calls) <= _MAX_LINES:
            for at in calls:
                axes.axvline(_day(at), **style.CALL_LINE)

    # Around it ----------------------------------------------------------------------------------------------------

    def _title(self) -> None:
        self._top = 0.14
        self._write(style.EDGE, style.cut(self._picture.title, 110), va="top", weight="bold", size=style.HEAD)
        self._top = 0.42
        zone = getattr(self._picture.zone, "key", None) or str(self._picture.zone)
        period = f"{self._date(self._picture.begin)} to {self._date(self._picture.end)}, {zone}"
        words = ", ".join(_counts(self._picture.counts)) or "no alarm was raised"
        self._write(style.EDGE, f"{period}  ·  {words}", va="top", color=style.DIM)

    def _date(self, at: int) -> str:
        return local(at, self._picture.zone).strftime("%Y-%m-%d %H:%M:%S").removesuffix(":00")

    def _time_axis(self, axes: Axes) -> None:
        self._top -= style.BLOCK_GAP
        axes.tick_params(axis="x", labelbottom=True, length=3, color=style.FRAME)
        self._top += style.TIME_AXIS

    def _footer(self) -> None:
        for note in self._notes:
            self._write(style.EDGE, note, va="top", color=style.DIM, size=style.SMALL)
            self._top += style.NOTE
        plot_legend.draw(self._figure, self._used, 1 - self._top / self._height)


def _is_japanese(text: str) -> bool:
    return any(character >= "\u3000" for character in text)


def _xy(samples: Sequence[Sample]) -> tuple[list[float], list[float]]:
    return [_day(at) for at, _ in samples], [value for _, value in samples]


def _span(values: Sequence[float], limits: Sequence[Limit]) -> tuple[float, float]:
    """Return the lowest and highest that must be seen, with some air."""
    edges = [*values, *(limit.value for limit in limits)]
    edges += [edge for limit in limits if limit.deadband is not None for edge in limit.deadband]
    low, high = (min(edges), max(edges)) if edges else (0.0, 1.0)
    air = (high - low) * 0.08 or max(abs(high) * 0.05, 0.5)
    return low - air, high + air


def _counts(counts: Mapping[EventKind, int]) -> Iterator[str]:
    """Yield what happened how often, in words."""
    for kind, one, many in style.COUNTED:
        count = counts[kind]
        if count:
            yield f"{count} {one if count == 1 else many}"
