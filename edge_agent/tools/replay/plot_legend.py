"""The legend of a picture: what was drawn, and nothing that was not."""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet

from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from edge_agent.core.events import EventKind
from edge_agent.tools.replay import plot_style as style
from edge_agent.tools.replay.plot_data import Level

_ONE_ROW = 11
"""So many entries fit beside each other."""


def draw(figure: Figure, used: AbstractSet[str], top: float) -> None:
    """Draw the legend of what was used; `top` is a fraction of the figure."""
    entries = [(handle, label) for name, handle, label in _entries() if name in used]
    if not entries:
        return
    handles, labels = zip(*entries, strict=True)
    figure.legend(
        handles,
        labels,
        loc="upper left",
        bbox_to_anchor=(style.EDGE / style.WIDTH, top),
        borderaxespad=0.0,
        borderpad=0.0,
        ncols=len(entries) if len(entries) <= _ONE_ROW else (len(entries) + 1) // 2,
        frameon=False,
        fontsize=style.SMALL,
        handlelength=1.6,
        handletextpad=0.5,
        columnspacing=1.3,
    )


def _entries() -> Iterator[tuple[str, Artist, str]]:
    yield "reading", Line2D([], [], color=style.LINE, linewidth=1.3), "reading"
    yield "standing", Line2D([], [], **style.STANDING), "no reading: the last one stands"
    yield "bad", Line2D([], [], **style.BAD), "bad quality"
    yield "limit", Line2D([], [], **style.LIMIT), "limit"
    yield "deadband", Patch(**style.DEADBAND), "deadband"
    yield "wanted", Patch(**style.WANTED), "alarm's value"
    for level in (Level.PENDING, Level.RAISED, Level.CLEARING):
        yield level.name, Patch(**style.STATES[level]), level.name.lower()
    yield "SHELVED", Patch(**style.SHELVED), "shelved"
    yield EventKind.CALL, Line2D([], [], **style.MARKS[EventKind.CALL]), "call"
    yield EventKind.REPEAT, Line2D([], [], **style.MARKS[EventKind.REPEAT]), "repeat"
    yield EventKind.SUPPRESSED, Line2D([], [], **style.MARKS[EventKind.SUPPRESSED]), "call held back"
    yield EventKind.ACKNOWLEDGED, Line2D([], [], **style.MARKS[EventKind.ACKNOWLEDGED]), "acknowledged"
