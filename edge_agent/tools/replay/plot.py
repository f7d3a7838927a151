"""`simulate --plot`: gathers what a picture shows while a replay goes on, and has it drawn. Matplotlib is an extra."""

import importlib.util
from pathlib import Path

from edge_agent.tools.replay.observer import Observer
from edge_agent.tools.replay.picture import Picture
from edge_agent.tools.replay.player import Player
from edge_agent.tools.replay.plot_scene import Scene

FORMATS = (".png", ".svg", ".pdf")


class PlotError(Exception):
    """No picture can be drawn; `hint` says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def check_plot(path: Path) -> None:
    """Look, before a long replay, whether a picture can be drawn there.

    Raises:
        PlotError: it cannot.
    """
    if path.suffix.lower() not in FORMATS:
        raise PlotError(f"{path} is no picture", "its name must end in .png, .svg or .pdf")
    if not path.absolute().parent.is_dir():
        raise PlotError(f"there is no folder {path.parent}", "make it first")
    if importlib.util.find_spec("matplotlib") is None:
        raise PlotError("pictures need matplotlib", "pip install 'edge-agent[plot]'")


class Plot(Observer):
    """Watches one replay, and draws it."""

    def __init__(self, player: Player, title: str) -> None:
        super().__init__(player)
        self._title = title

    def save(self, path: Path) -> None:
        """Draw the picture, after the player has finished.

        Raises:
            PlotError: there is nothing to draw.
            OSError: it cannot be written.
        """
        from edge_agent.tools.replay.plot_figure import draw, write

        write(draw(self.picture()), path)

    def picture(self) -> Picture:
        """Return what is to be drawn.

        Raises:
            PlotError: there is nothing.
        """
        if self._begin is None or not self._player.begun:
            raise PlotError("there were no readings, so there is nothing to draw", "see --until, and the file")
        picture = Scene(self._player, self.tracks(), self.lanes).picture(self._title, self._begin)
        if not picture.blocks:
            raise PlotError("no alarm looks at any of the file's points, so there is nothing to draw", "see --config")
        return picture
