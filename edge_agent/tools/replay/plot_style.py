"""How a picture looks: measures in inches, colours, and how long a text may be."""

from collections.abc import Mapping, Sequence
from typing import Any

from edge_agent.core.events import EventKind
from edge_agent.tools.replay.picture import Block
from edge_agent.tools.replay.plot_data import Kind, Level

DPI = 150
WIDTH = 11.7
"""A4, landscape."""
EDGE = 0.25
RIGHT = 2.6
HEADER = 0.68
BLOCK_TITLE = 0.2
UNDER_TITLE = 0.05
PANEL_GAP = 0.05
BLOCK_GAP = 0.22
LANE = 0.33
TIME_AXIS = 0.4
LEGEND = 0.4
NOTE = 0.19
BOTTOM = 0.05
_NUMBERS = 1.75
_LEVEL = 0.24
_MIN_LEVELS = 0.5

HEAD, TITLE, TEXT, SMALL = 12.0, 9.0, 8.0, 7.5
_CHARACTER = 0.064
"""Inches of a character of TEXT, about."""
_LINE = 0.145
NUDGE = 0.02
MAX_TITLE, MAX_LABEL, MAX_NAME, MAX_WORD, MAX_ABOUT = 100, 34, 30, 22, 42
MANY_MARKS = 60
"""More in a lane are drawn small."""
AIR = 0.006
"""Beside the first and the last reading, as a part of the whole time."""
TIMES = ["%Y", "%b", "%b %d", "%H:%M", "%H:%M", "%H:%M:%S.%f"]
"""Of ticks years, months, days, hours, minutes and seconds apart."""
ROUND_TIMES = ["", "%b %Y", "%b %d", "%b %d", "%H:%M", "%H:%M:%S"]
"""Of those at the beginning of the next larger unit."""
FEW = 150
"""Up to so many readings each has a dot."""

LINE, FRAME, GRID, DIM, NORMAL = "#1F5A96", "#8A8F98", "#E4E7EB", "#5B616B", "#ECEEF1"
_RED = "#B3261E"
LIMIT: dict[str, Any] = {"color": _RED, "linewidth": 1.1, "linestyle": (0, (5, 3))}
LABEL: dict[str, Any] = {"color": _RED, "va": "center", "size": SMALL}
DEADBAND: dict[str, Any] = {"facecolor": _RED, "alpha": 0.11, "linewidth": 0}
WANTED: dict[str, Any] = {"facecolor": "#E8710A", "alpha": 0.2, "linewidth": 0}
LEADER: dict[str, Any] = {"color": _RED, "linewidth": 0.6, "clip_on": False}
DOT: dict[str, Any] = {"color": LINE, "marker": "o", "markersize": 2.4, "linestyle": "none"}
STANDING: dict[str, Any] = {"color": LINE, "linewidth": 1.0, "linestyle": (0, (1, 2)), "alpha": 0.7}
BAD: dict[str, Any] = {"color": "#7B3FA0", "marker": "x", "markersize": 4, "linestyle": "none", "markeredgewidth": 1.0}
CALL_LINE: dict[str, Any] = {"color": "#202124", "linewidth": 0.7, "alpha": 0.45}
STATES: Mapping[Level, dict[str, Any]] = {
    Level.PENDING: {"facecolor": "#F2D16B", "linewidth": 0},
    Level.CLEARING: {"facecolor": "#EFA27F", "linewidth": 0},
    Level.RAISED: {"facecolor": "#CF3F31", "linewidth": 0},
}
SHELVED: dict[str, Any] = {"facecolor": "none", "edgecolor": "#3C4043", "hatch": "/////", "linewidth": 0.7}
_INK = "#202124"
_ACKNOWLEDGED: dict[str, Any] = {"marker": "o", "linestyle": "none", "color": "#2E7D32", "markersize": 5.5}
_CALL: dict[str, Any] = {"marker": "v", "linestyle": "none", "color": _INK, "markersize": 5.5}
MARKS: Mapping[EventKind, dict[str, Any]] = {
    EventKind.SUPPRESSED: {"marker": "x", "linestyle": "none", "color": DIM, "markersize": 5, "markeredgewidth": 1.3},
    EventKind.ACKNOWLEDGED: {**_ACKNOWLEDGED, "markeredgecolor": "white"},
    EventKind.REPEAT: {**_CALL, "markerfacecolor": "white", "markeredgewidth": 0.9},
    EventKind.CALL: _CALL,
}
"""Drawn in this order: a call lies above what held another back."""
BAND_TOP, BAND_BOTTOM = 0.44, 0.88
"""Within a lane, whose height is 1: the state's band."""
MARK_AT = {
    EventKind.CALL: 0.23,
    EventKind.REPEAT: 0.23,
    EventKind.SUPPRESSED: 0.23,
    EventKind.ACKNOWLEDGED: 0.66,
}
"""Above the band; an acknowledgement, which may come at a call's instant, within it."""
SMALL_MARK: dict[str, Any] = {"markersize": 3.0, "markeredgewidth": 0.5}
SMALL_AT = {
    EventKind.CALL: 0.15,
    EventKind.REPEAT: 0.33,
    EventKind.SUPPRESSED: 0.24,
    EventKind.ACKNOWLEDGED: 0.66,
}
"""Where small marks stand: many calls must not hide the repeats."""
ABOUT: dict[str, Any] = {"color": DIM, "va": "center", "size": 6.8}
COUNTS: dict[str, Any] = {"va": "center", "size": SMALL}
ABOUT_AT, COUNTS_AT = 0.27, 0.7
"""Beside a lane: what the alarm is about, and what came of it."""
COUNTED = (
    (EventKind.RAISED, "raise", "raises"),
    (EventKind.CALL, "call", "calls"),
    (EventKind.REPEAT, "repeat", "repeats"),
    (EventKind.SUPPRESSED, "held back", "held back"),
)
JAPANESE_FONTS = (
    *("Noto Sans CJK JP", "Noto Sans JP", "IPAexGothic", "IPAGothic", "TakaoGothic", "VL Gothic"),
    *("Hiragino Sans", "Yu Gothic", "Droid Sans Fallback", "WenQuanYi Zen Hei"),
)


def panel_height(block: Block) -> float:
    """Return the height of a point's panel."""
    if block.track is None:
        return 0.0
    if block.track.kind is Kind.NUMBER:
        return max(_NUMBERS, _LINE * (len(block.limits) + 1))
    levels = 2 if block.track.kind is Kind.SWITCH else len(block.track.words)
    return max(_MIN_LEVELS, _LEVEL * levels)


def lanes_height(block: Block) -> float:
    """Return the height of the alarms under a point."""
    return LANE * (len(block.strips) + (1 if block.left_out else 0))


def block_height(block: Block) -> float:
    """Return the height of a point with its alarms, title and distances included."""
    inside = panel_height(block) + lanes_height(block)
    gap = PANEL_GAP if block.track is not None and block.strips else 0.0
    return BLOCK_TITLE + UNDER_TITLE + (inside or LANE) + gap + BLOCK_GAP


def left_margin(names: Sequence[str]) -> float:
    """Return the room that alarms' names need left of the panels."""
    longest = max((min(len(name), MAX_NAME) for name in names), default=0)
    return max(0.9, EDGE + 0.1 + longest * _CHARACTER)


def cut(text: str, most: int) -> str:
    """Return a text of at most so many characters; what is cut is its middle, as names often differ at the end."""
    if len(text) <= most:
        return text
    head = (most - 1) * 2 // 3
    return f"{text[:head]}…{text[head + 1 - most :]}"


def spread(wanted: Sequence[float], height: float) -> list[float]:
    """Return heights, ascending as those wanted, that are at least a line apart, and within the panel if they can."""
    places: list[float] = []
    for want in wanted:
        places.append(max(want, places[-1] + _LINE) if places else want)
    excess = places[-1] - height if places else 0.0
    if excess > 0:
        places[-1] -= excess
        for index in range(len(places) - 2, -1, -1):
            places[index] = min(places[index], places[index + 1] - _LINE)
    return places
