"""Arranges a picture: which points and alarms are shown, in which order, with which limits."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from edge_agent.config.words import clean
from edge_agent.core.alarm import Alarm
from edge_agent.core.events import EventKind
from edge_agent.core.fields import format_duration
from edge_agent.core.points import Point
from edge_agent.core.reading import Value, point_name, split_point
from edge_agent.core.settings import ConditionSettings
from edge_agent.core.terms import Term, build
from edge_agent.tools.replay.picture import Block, Limit, Picture, Strip
from edge_agent.tools.replay.player import Player
from edge_agent.tools.replay.plot_data import Kind, Lane, Track

MAX_BLOCKS = 12
"""Points in one picture: more cannot be read."""
MAX_QUIET = 6
"""Points in a picture of many to which nothing happened, those with alarms counted too."""
MAX_STRIPS = 10
"""Alarms under one point."""
_NAMED = 4
"""So many of the points that are not shown are named."""
_LEVEL_TESTS = ("is", "is_not", "matches")


class Scene:
    """What a replay left behind: points with their tracks, alarms with their lanes."""

    def __init__(
        self, player: Player, tracks: Mapping[str, Track], lanes: Mapping[tuple[str, str | None], Lane]
    ) -> None:
        self._player = player
        self._tracks = tracks
        self._lanes = lanes
        self._order = {name: place for place, name in enumerate(player.config.alarms)}

    def picture(self, title: str, begin: int) -> Picture:
        """Return all that is to be drawn."""
        engine = self._player.engine
        points = sorted(engine.points.values(), key=self._place)
        single = [block for point in points if (block := self._point_block(point)) is not None]
        together = self._block_of_many(list(engine.alarms.values()))
        shown, notes = _choose(single)
        counts = Counter[EventKind]()
        for lane in self._lanes.values():
            counts += lane.counts
        return Picture(
            title=clean(f"{self._player.config.agent.name} · {title}"),
            begin=begin,
            end=max(engine.now, begin),
            zone=self._player.zone,
            counts=counts,
            blocks=(*map(_cut, shown), *([] if together is None else [_cut(together)])),
            notes=(*notes, *_stray_notes(shown)),
        )

    def _place(self, point: Point) -> int:
        """Return the place of a point's first alarm in the configuration: the order in which points are shown."""
        return min((self._order[term.alarm.name] for term in point.terms if term.alarm is not None), default=0)

    def _point_block(self, point: Point) -> Block | None:
        """Return a point with the alarms that look at it alone; None where there is nothing to see."""
        terms = [term for term in point.terms if term.alarm is not None]
        if not terms:
            return None
        alarms = dict.fromkeys(term.alarm for term in terms if term.alarm is not None)
        own = tuple(self._strip(alarm, instance=False) for alarm in alarms if _alone(alarm))
        track = self._tracks.get(point.name)
        if track is None or not track.count:
            if not any(strip.lane.weight for strip in own):
                return None
            track = None
        limits = tuple(limit for term in terms for limit in _limits(term))
        wanted = () if track is None else _wanted(terms, track)
        return Block(clean(point.name), self._unit(point.name), track, limits, wanted, own)

    def _block_of_many(self, alarms: Iterable[Alarm]) -> Block | None:
        """Return the alarms that look at several points, and to which something happened."""
        many = [self._strip(alarm, instance=True) for alarm in alarms if not _alone(alarm)]
        strips = tuple(strip for strip in many if strip.lane.weight)
        return Block("Alarms over several points", "", None, (), (), strips) if strips else None

    def _strip(self, alarm: Alarm, *, instance: bool) -> Strip:
        lane = self._lanes.get((alarm.name, alarm.instance)) or Lane(alarm.name, alarm.instance)
        name = point_name(alarm.name, None, alarm.instance if instance else None)
        return Strip(clean(name), clean(_about(alarm)), lane)

    def _unit(self, point: str) -> str:
        """Return a point's unit, where the configuration tells it."""
        source, _, field = split_point(point)
        settings = self._player.config.sources.get(source)
        if field is None:
            return clean(str(getattr(settings, "unit", None) or ""))
        units = getattr(settings, "units", None)
        return clean(str(units.get(field, ""))) if isinstance(units, Mapping) else ""


def _about(alarm: Alarm) -> str:
    """Return what an alarm is about in words, as in "above -15 for 5m"."""
    if len(alarm.terms) == 1:
        words = alarm.terms[0].test.describe()
    else:
        words = (" or " if alarm.settings.any else " and ").join(term.describe() for term in alarm.terms)
    delay = alarm.settings.on_delay
    return f"{words}, for {format_duration(delay)}" if delay else words


def _alone(alarm: Alarm) -> bool:
    return len({term.point.name for term in alarm.terms}) == 1


def _limits(term: Term) -> Iterator[Limit]:
    """Yield the limits of a condition on numbers, each with its deadband on the side where it is."""
    settings = term.settings
    by_test: dict[str, tuple[tuple[str, int], ...]] = {
        "above": (("above", -1),),
        "below": (("below", 1),),
        "outside": (("below", 1), ("above", -1)),
        "inside": (("from", -1), ("up to", 1)),
        "is": (("is", 0),),
        "is_not": (("is not", 0),),
    }
    name = clean(term.alarm.name) if term.alarm is not None else ""
    for value, (word, side) in zip(_values(settings), by_test.get(settings.test(), ()), strict=False):
        end = value + side * settings.deadband
        yield Limit(value, f"{word} {value:g}  {name}", (min(value, end), max(value, end)) if end != value else None)


def _values(settings: ConditionSettings) -> tuple[float, ...]:
    limit = settings.limit(settings.test())
    if isinstance(limit, tuple):
        return limit
    return (limit,) if isinstance(limit, int | float) and not isinstance(limit, bool) else ()


def _wanted(terms: Iterable[Term], track: Track) -> tuple[float, ...]:
    """Return the levels of a switch, or of a text, at which a condition holds."""
    if track.kind is Kind.NUMBER:
        return ()
    levels: list[Value] = [False, True] if track.kind is Kind.SWITCH else list(track.words)
    tests = [build(term.settings) for term in terms if term.settings.test() in _LEVEL_TESTS]
    return tuple(
        float(level) for level, value in enumerate(levels) if any(test.judge(value, 0, held=False) for test in tests)
    )


def _choose(blocks: list[Block]) -> tuple[list[Block], list[str]]:
    """Return the blocks that are shown, and what is to be said of the others.

    If not all can be, those with alarms come first, and of the quiet ones only a few.
    """
    if len(blocks) <= MAX_QUIET:
        return blocks, []
    ordered = sorted(blocks, key=lambda block: -block.weight)
    busy = sum(block.weight > 0 for block in blocks)
    most = min(MAX_BLOCKS, max(busy, MAX_QUIET))
    shown, hidden = ordered[:most], ordered[most:]
    named = [block.title for block in hidden[:_NAMED]]
    names = ", ".join(named) + (" and others" if len(hidden) > _NAMED else "")
    raised = sum(block.weight > 1 for block in hidden)
    words = f"with an alarm raised at {raised} of them" if raised else "without an alarm raised"
    return shown, [f"Not shown, {words}: {len(hidden)} further point{'s' if len(hidden) > 1 else ''} ({names})."]


def _cut(block: Block) -> Block:
    """Return a block with as many alarms as can be read, those that were raised first."""
    if len(block.strips) <= MAX_STRIPS:
        return block
    best = sorted(block.strips, key=lambda strip: -strip.lane.weight)[:MAX_STRIPS]
    left_out = len(block.strips) - MAX_STRIPS
    return Block(block.title, block.unit, block.track, block.limits, block.wanted, tuple(best), left_out)


def _stray_notes(blocks: Iterable[Block]) -> Iterator[str]:
    for block in blocks:
        if block.track is not None and block.track.strays:
            yield f"{block.title}: {block.track.strays} readings of another type are not drawn."
