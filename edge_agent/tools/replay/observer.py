"""Watches a replay: the readings of the points that alarms look at, and what became of the alarms, for pictures."""

from collections.abc import Iterable, Iterator

from edge_agent.core.events import Event
from edge_agent.core.reading import Reading, split_point
from edge_agent.tools.replay.entries import Entry
from edge_agent.tools.replay.player import Player
from edge_agent.tools.replay.plot_data import COLUMNS, Lane, Track

_FINE_TRACKS = 40
"""So many points keep all that a picture can show; of others little is kept until something becomes of them."""
_COARSE = 60


class Observer:
    """Watches one replay: `watch` stands between its entries and the player, `see` is shown each event."""

    def __init__(self, player: Player) -> None:
        self._player = player
        self._begin: int | None = None
        self._tracks: dict[str, Track | None] = {}
        """None: no alarm looks at it."""
        self.lanes: dict[tuple[str, str | None], Lane] = {}

    def watch(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """Pass entries on to the player; look at each point after its reading was fed."""
        tracks = self._tracks
        for entry in entries:
            if self._begin is None:
                self._begin = entry.at
            yield entry
            if isinstance(entry, Reading):
                name = entry.point
                if name in tracks or self._meet(entry):
                    track = tracks[name]
                    if track is not None:
                        self._look(name, track)

    def _meet(self, reading: Reading) -> bool:
        """Begin to follow a point, if an alarm looks at it; return whether there is such a point at all."""
        point = self._player.engine.points.get(reading.point)
        if point is None:
            if reading.value is None:
                self._look_at_fields(reading.point)
            return False
        wanted = bool(point.models) or any(term.alarm is not None for term in point.terms)
        columns = COLUMNS if len(self._tracks) < _FINE_TRACKS else _COARSE
        self._tracks[point.name] = Track(columns) if wanted else None
        return True

    def _look_at_fields(self, frame: str) -> None:
        """Look at the points of a frame that was bad as a whole."""
        for name, track in self._tracks.items():
            if track is not None and split_point(name)[:2] == split_point(frame)[:2]:
                self._look(name, track)

    def _look(self, name: str, track: Track) -> None:
        point = self._player.engine.points[name]
        # with a debounce a reading counts later, if at all: what is seen is what settled before
        if point.at is not None and (point.at != track.seen_at or not point.spec.debounce):
            track.seen_at = point.at
            track.add(point.at, point.value if point.good else None)

    def see(self, event: Event) -> None:
        """Take note of an event."""
        if event.alarm is None:
            return
        key = event.alarm, event.instance
        lane = self.lanes.get(key)
        if lane is None:
            lane = self.lanes[key] = Lane(event.alarm, event.instance)
            for term in self._player.engine.alarms[key].terms:
                track = self._tracks.get(term.point.name)
                if track is not None:
                    track.columns = COLUMNS
        lane.add(event.at, event.kind)

    def tracks(self) -> dict[str, Track]:
        """Return the points that alarms look at with their readings, after the player has finished."""
        for name, track in self._tracks.items():
            if track is not None and self._player.engine.points[name].at != track.seen_at:
                self._look(name, track)
        return {name: track for name, track in self._tracks.items() if track is not None}
