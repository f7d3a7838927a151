"""A reload: what one layout of points and alarms hands over to the next beyond the alarms' records."""

from collections.abc import Sequence

from edge_agent.core.alarm import Alarm
from edge_agent.core.layout import Layout
from edge_agent.core.points import Point, SourceStats
from edge_agent.core.terms import Term
from edge_agent.core.windows import Silent


def hand_over(old: Layout, new: Layout, at: int) -> list[Alarm]:
    """Take last values, windows and counts over; return the alarms whose conditions have changed with the settings.

    A condition that is the same on a source that is the same goes on as it was. Another is judged on the last value,
    which is no reading: a silence goes on, and nothing is counted.
    """
    for name, last in old.points.items():
        if last.at is not None and new.refuses(name) is None and (point := new.meet(name, at)) is not None:
            _take_values(point, last)
    for name, models in new.models.items():
        wanted = [term for term in models if term is not None]
        _take_terms(wanted, [term for term in old.models.get(name, ()) if term is not None], at)
    changed = []
    for key, alarm in new.alarms.items():
        before = old.alarms.get(key)
        if _take_terms(alarm.terms, before.terms if before is not None else (), at):
            changed.append(alarm)
    for source, stats in new.stats.items():
        stats.add(old.stats.get(source, SourceStats()))
    return changed


def _take_values(point: Point, last: Point) -> None:
    point.copy(last)
    if point.spec == last.spec:
        point.good, point.value = last.good, last.value
        return
    value, point.reason = point.spec.condition(last.raw) if last.raw is not None else (None, last.reason)
    point.good = value is not None
    if value is not None:
        point.value = value


def _take_terms(terms: Sequence[Term], before: Sequence[Term], at: int) -> bool:
    """Let each term go on as it was, or be judged anew; return whether one of them is."""
    old: Sequence[Term | None] = before if len(before) == len(terms) else [None] * len(terms)
    anew = False
    for term, known in zip(terms, old, strict=True):
        if known is None or not term.go_on_as(known):
            _judge(term, known, at)
            anew = True
    return anew


def _judge(term: Term, before: Term | None, at: int) -> None:
    point = term.point
    if isinstance(term.test, Silent):
        counted = before.test.counts_from() if before is not None and isinstance(before.test, Silent) else None
        since = point.last_good_at if point.last_good_at is not None else counted
        if since is not None:
            term.test.restart(since)
    elif point.at is not None and point.good and point.value is not None:
        term.on_value(point.value, at)
    elif point.at is not None:
        term.on_bad(point.reason)
