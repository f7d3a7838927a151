"""Why an alarm did, or did not, call: told from its events, its calls and what it is now. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any

from edge_agent.core.fields import format_duration
from edge_agent.core.settings import AlarmSettings
from edge_agent.core.times import iso, nearest_iso
from edge_agent.delivery.episodes import BEGINS, ENDS, Episode, Row
from edge_agent.live import Condition, Live

_MADE = ("call", "repeat")
_OUTCOMES = ("placed", "failed", "expired", "cancelled")
_STATES = {
    "pending": "pending",
    "raised": "raised",
    "clearing": "clearing",
    "resumed": "raised",
    "dropped": "normal",
    "cleared": "normal",
}
"""{event: the state that it leads to}"""
_MOST_TOLD = 6
"""Of an alarm that repeats all night the first so many calls are told, and the last."""


@dataclass(frozen=True, slots=True)
class Case:
    """What an explanation is made of. Instants are Unix microseconds."""

    alarm: str
    instance: str | None
    settings: AlarmSettings | None
    """None: the configuration has it no longer."""
    events: Sequence[Row]
    """Those around the episode in question, oldest first."""
    episode: Episode | None
    calls: Sequence[Row]
    """The rows of the episode's calls."""
    at: int | None
    """The instant that was asked for; None: now."""
    now: int
    live: Live | None
    """None: the agent does not run, or another instant was asked for."""
    skew: int
    """Unix time less the engine's."""
    running_since: int | None
    """None: the agent does not run."""
    zone: tzinfo


def explain(case: Case) -> dict[str, Any]:
    """Return the explanation: `answer` is sentences for people, the rest is what they were made of."""
    teller = _Teller(case)
    episode = case.episode
    return {
        "alarm": case.alarm,
        "instance": case.instance,
        "at": teller.iso(case.at),
        "answer": list(teller.answer()),
        "live": None if case.live is None else teller.live(case.live),
        "episode": None
        if episode is None
        else {
            "began_at": teller.iso(episode.began_at),
            "raised_at": teller.iso(episode.raised_at),
            "ended_at": teller.iso(episode.ended_at),
        },
        "events": [
            {"id": row["id"], "time": teller.iso(row["wall"]), **{key: row[key] for key in ("event", "rule", "reason")}}
            for row in teller.told()
        ],
        "calls": list(case.calls),
    }


class _Teller:
    """Puts one case into words."""

    def __init__(self, case: Case) -> None:
        self.case = case
        asked = case.at if case.at is not None else case.now
        self._day = iso(case.episode.began_at if case.episode is not None else asked, case.zone)[:10]

    # Times --------------------------------------------------------------------------------------------------------

    def iso(self, wall: int | None) -> str | None:
        return None if wall is None else nearest_iso(wall, self.case.zone)

    def time(self, wall: int) -> str:
        """Return a time of day, with its date where that is not the episode's."""
        return self.shown(nearest_iso(wall, self.case.zone))

    def shown(self, instant: str) -> str:
        day, _, clock = instant.partition("T")
        return clock[:8] if day == self._day else f"{day} {clock[:8]}"

    # The whole ----------------------------------------------------------------------------------------------------

    def told(self) -> list[Row]:
        """Return the events to show: the episode's, and what later came of its calls."""
        episode = self.case.episode
        if episode is None:
            return self._neighbours()
        shown = {event["id"] for event in episode.events}
        ids = set(episode.calls())
        return [
            event
            for event in self.case.events
            if event["id"] in shown or (event["call"] in ids and event["event"] in _OUTCOMES)
        ]

    def _neighbours(self) -> list[Row]:
        """Return the last event before the instant, and the first one after it."""
        at = self.case.at if self.case.at is not None else self.case.now
        states = [event for event in self.case.events if event["event"] in (*BEGINS, *ENDS)]
        before = [event for event in states if event["wall"] <= at]
        after = [event for event in states if event["wall"] > at]
        return [*before[-1:], *after[:1]]

    def answer(self) -> Iterator[str]:
        """Yield the sentences, from what was to what is."""
        case = self.case
        if case.at is not None and case.running_since is not None and case.at < case.running_since:
            yield f"the agent that runs now was started later, at {self.time(case.running_since)}"
        if case.settings is None:
            yield "the configuration has no such alarm (any more)"
        elif not case.settings.enabled:
            yield "disabled in the configuration: it is not evaluated, and calls nobody"
        if case.episode is None:
            yield from self._quiet()
        else:
            yield from self._story(case.episode)
        if case.settings is not None and not case.settings.call:
            yield "no `call` is configured: nobody is phoned by this alarm"
        if case.live is not None:
            yield from self._now(case.live)

    def _quiet(self) -> Iterator[str]:
        """Tell that it was normal."""
        case = self.case
        when = "now" if case.at is None else f"at {self.time(case.at)}"
        near = self._neighbours()
        if not near:
            if case.settings is None or case.settings.enabled:
                yield "it was never pending nor raised, as far as the events go back"
            return
        for event in near:
            side = "before" if event["wall"] <= (case.at if case.at is not None else case.now) else "after"
            yield f"normal {when}: {side} that it was {event['event']} at {self.time(event['wall'])}: {event['reason']}"
        yield "the readings themselves are not kept: record them to have them told"

    def _story(self, episode: Episode) -> Iterator[str]:
        first, raised_at = episode.events[0], episode.raised_at
        began = self.time(episode.began_at)
        if raised_at is None:
            yield from self._not_raised(episode, began)
            return
        raised = next((event for event in episode.events if event["event"] == "raised"), first)
        yield f"raised at {self._day} {self.time(raised_at)}: {raised['reason']}"
        if self.case.at is not None and episode.covers(self.case.at):
            yield self._then(self.case.at)
        yield from self._calls(episode)
        for event in episode.events:
            if event["event"] == "acknowledged":
                yield f"acknowledged at {self.time(event['wall'])}: no more calls in this episode"
        last = episode.events[-1]
        if episode.ended:
            yield f"{last['event']} at {self.time(last['wall'])}: {last['reason']}"

    def _then(self, at: int) -> str:
        """Tell what it was at an instant."""
        past = [event["event"] for event in self.case.events if event["wall"] <= at]
        within = [event["event"] for event in self._episode_events() if event["wall"] <= at]
        state = next((_STATES[word] for word in reversed(within) if word in _STATES), "normal")
        shelf = next((word for word in reversed(past) if word in ("shelved", "unshelved")), "unshelved")
        notes = [word for word in ("acknowledged",) if word in within] + [
            word for word in (shelf,) if word == "shelved"
        ]
        return f"at {self.time(at)} it was {', '.join([state, *notes])}"

    def _episode_events(self) -> Sequence[Row]:
        return self.case.episode.events if self.case.episode is not None else ()

    def _not_raised(self, episode: Episode, began: str) -> Iterator[str]:
        first, last = episode.events[0], episode.events[-1]
        delay = self.case.settings.on_delay if self.case.settings is not None else 0
        if not episode.ended:
            due = f"; raised at {self.time(episode.began_at + delay)} if it lasts so long" if delay else ""
            yield f"pending since {self._day} {began}: {first['reason']}{due}"
        elif last["event"] == "dropped":
            wanted = f", which is less than on_delay = {format_duration(delay)}" if delay else ""
            lasted = format_duration(max(last["wall"] - first["wall"], 0))
            yield f"not raised: the condition held from {self._day} {began} for {lasted}{wanted} ({last['reason']})"
        else:
            yield f"{last['event']} at {self._day} {self.time(last['wall'])}: {last['reason']}"

    # Calls --------------------------------------------------------------------------------------------------------

    def _calls(self, episode: Episode) -> Iterator[str]:
        rows = {row["id"]: row for row in self.case.calls}
        ids = list(dict.fromkeys([*episode.calls(), *rows]))
        if not ids and self.case.settings is not None and self.case.settings.call:
            yield "no call of it is known any more"
        told = self.told()
        first, last = ids[:_MOST_TOLD], ids[_MOST_TOLD:][-_MOST_TOLD:]
        yield from (self._call(number, rows.get(number), told) for number in first)
        if len(first) + len(last) < len(ids):
            yield f"… {len(ids) - len(first) - len(last)} more calls …"
        yield from (self._call(number, rows.get(number), told) for number in last)

    def _call(self, number: int, row: Row | None, told: Sequence[Row]) -> str:
        """Tell one call, from why it was held back to what came of it."""
        events = [event for event in told if event["call"] == number]
        rule = row["rule"] if row is not None else events[0]["rule"]
        steps = [*self._held_and_made(events, row), *self._came_of(events, row)]
        return f"{rule}: {'; '.join(steps)}"

    def _held_and_made(self, events: Sequence[Row], row: Row | None) -> Iterator[str]:
        held = False
        for event in events:
            if event["event"] == "suppressed":
                held = True
                yield f"{self.time(event['wall'])} suppressed: {event['reason']}"
            elif event["event"] in _MADE:
                word = "made" if held else event["event"]
                yield f"{word} at {self.time(event['wall'])}"
        if not events and row is not None:
            yield f"{row['state'] if row['state'] == 'suppressed' else 'made'} at {self.shown(row['created_at'])}"

    def _came_of(self, events: Sequence[Row], row: Row | None) -> Iterator[str]:
        """Tell a call's attempts, answer and outcome."""
        ends = [event for event in events if event["event"] in _OUTCOMES]
        if row is None:
            yield from (f"{event['event']} at {self.time(event['wall'])}" for event in ends)
            return
        state = row["state"]
        ended = f" at {self.time(ends[-1]['wall'])}" if ends and ends[-1]["event"] == state else ""
        tries = f"{row['attempts']} attempt{'' if row['attempts'] == 1 else 's'}"
        lost = ", of one or more the answer is unknown" if row["ambiguous"] else ""
        if state == "placed":
            placed = self.shown(row["placed_at"]) if row["placed_at"] else ""
            yield f"placed at {placed} (IoTCall answered ok; {tries}{lost})"
            if row["outcome"] is not None:
                yield f"outcome: {row['outcome']}"
        elif state == "waiting":
            due = f", next at {self.shown(row['next_attempt_at'])}" if row["next_attempt_at"] else ""
            new = "is being sent" if row["attempts"] else "waits: not tried yet"
            yield f"{'waits: ' + row['last_error'] if row['last_error'] else new} ({tries}{lost}{due})"
        elif state == "suppressed":
            yield self._why_never_made()
        elif state == "cancelled":
            yield f"withdrawn{ended}: {row['reason']} ({tries})"
        else:
            yield f"{state}{ended}: {row['last_error'] or 'not delivered in time'} ({tries}{lost})"

    def _why_never_made(self) -> str:
        """Return what became of a call that is still held back."""
        if "acknowledged" in [event["event"] for event in self._episode_events()]:
            return "never made: it was acknowledged"
        if self.case.episode is not None and self.case.episode.ended:
            return "never made: it was over before anything let it go"
        return "owed: it is made when nothing holds it back any more, if the alarm is still raised"

    # Now ----------------------------------------------------------------------------------------------------------

    def _now(self, live: Live) -> Iterator[str]:
        case = self.case
        since = self.time(live.since + case.skew)
        notes = [word for word, true in (("acknowledged", live.acknowledged), ("shelved", live.shelved_until)) if true]
        yield f"now {', '.join([f'{live.state} since {since}', *notes])}"
        yield from map(self._condition, live.conditions)
        if len(live.conditions) > 1 and not live.state.active:
            yield f"{'all' if live.every else 'one'} of these must hold"
        would = "its call is" if live.owed else "a call now would be"
        for held in live.held_back:
            yield f"{would} held back: {held}"
        for at, what in live.next:
            yield f"at {self.time(at + case.skew)} {what}"

    def _condition(self, condition: Condition) -> str:
        holds = "holds" if condition.holds else "does not hold"
        reading = "no reading since the start"
        if condition.at is not None:
            bad = "" if condition.quality == "good" else "bad, "
            reading = f"last reading {bad}{self.time(condition.at + self.case.skew)}"
        return f"the condition {holds}: {condition.reason} ({condition.input}, {reading})"

    def live(self, live: Live) -> dict[str, Any]:
        skew = self.case.skew
        return {
            "state": str(live.state),
            "since": self.iso(live.since + skew),
            "acknowledged": live.acknowledged,
            "shelved_until": None if live.shelved_until is None else self.iso(live.shelved_until + skew),
            "owed": list(live.owed),
            "held_back": list(live.held_back),
            "next": [{"at": self.iso(at + skew), "what": what} for at, what in live.next],
            "conditions": [
                {
                    "input": each.input,
                    "test": each.test,
                    "value": each.value,
                    "quality": each.quality,
                    "at": None if each.at is None else self.iso(each.at + skew),
                    "holds": each.holds,
                    "reason": each.reason,
                }
                for each in live.conditions
            ],
        }
