"""What becomes of an activation: who is phoned when, who answers, and how the logs look at any moment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from enum import StrEnum

from edge_agent.iotcall.sandbox.numbers import Number, RuleKind

JAPAN = timezone(timedelta(hours=9))
_DIAL_S = 1.0  # queued, before it rings
_RING_OUT_S = 30.0
_PAUSE_S = 2.0  # between one number and the next
_SMS_S = 3.0


class Does(StrEnum):
    """What the person behind a number does when it rings; the words are those of the logs."""

    ANSWERS = "completed"
    NO_ANSWER = "no-answer"
    BUSY = "busy"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Person:
    """How one phone number behaves, in seconds at speed 1."""

    does: Does = Does.ANSWERS
    after_s: float = 5.0
    """How long it rings before it is answered."""
    talks_s: float = 20.0
    digit: int | None = None
    """The digit that is pressed."""

    @classmethod
    def parse(cls, text: str, after_s: float = 5.0) -> "Person":
        """Read "answers", "no-answer", "busy", "failed", or a digit that is pressed; ValueError for anything else."""
        if text == "answers":
            return cls(after_s=after_s)
        if len(text) == 1 and text in "0123456789":
            return cls(after_s=after_s, digit=int(text))
        if text in (Does.NO_ANSWER, Does.BUSY, Does.FAILED):
            return cls(Does(text), after_s)
        raise ValueError(f"{text!r} is nothing a person does; use answers, no-answer, busy, failed or a digit")

    def ends_after(self) -> tuple[float, float]:
        """Return the seconds from dialling until it is settled whether somebody answers, and until it is over."""
        if self.does is Does.ANSWERS:
            return _DIAL_S + self.after_s, _DIAL_S + self.after_s + self.talks_s
        over = _DIAL_S + (_RING_OUT_S if self.does is Does.NO_ANSWER else _PAUSE_S)
        return over, over


@dataclass(frozen=True, slots=True)
class PhoneCall:
    """One phone call with its instants (Unix seconds); the log's view of it changes while it is under way."""

    to: str
    person: Person
    dialled_at: float
    settled_at: float
    over_at: float
    speed: float

    def view(self, now: float) -> dict[str, object] | None:
        """Return the record's own fields at an instant; None before it is there."""
        if now < self.dialled_at:
            return None
        if now < self.over_at:
            status = self._under_way(now)
            return self._fields(status, None, None, None)
        talked = self.person.does is Does.ANSWERS
        duration = self.person.talks_s if talked else 0.0
        ended = japan_time(self.dialled_at + duration)
        return self._fields(self.person.does, self.person.digit if talked else None, f"{duration:.0f}", ended)

    def _under_way(self, now: float) -> str:
        if now < self.dialled_at + _DIAL_S / self.speed:
            return "queued"
        return "ringing" if now < self.settled_at else "in-progress"

    def _fields(self, status: str, digit: int | None, duration: str | None, ended: str | None) -> dict[str, object]:
        return {
            "to": self.to,
            "status": str(status),
            "response_no": digit,
            "duration": duration,
            "start_time": japan_time(self.dialled_at),
            "end_time": ended,
        }


@dataclass(frozen=True, slots=True)
class Sms:
    """One SMS."""

    to: str
    sent_at: float
    delivered_at: float

    def view(self, now: float) -> dict[str, object] | None:
        """Return the record's own fields at an instant; None before it is there."""
        if now < self.sent_at:
            return None
        status = "delivered" if now >= self.delivered_at else "sent"
        return {"to": self.to, "status": status, "created_at": japan_time(self.sent_at)}


@dataclass(frozen=True, slots=True)
class Activation:
    """One triggering of a rule: its id, when it was (Unix seconds), and all that follows from it."""

    id: str
    url_key: str
    rule_id: str
    at: float
    calls: tuple[PhoneCall, ...]
    sms: tuple[Sms, ...]

    def records(self, kind: str, now: float) -> list[dict[str, object]]:
        """Return the log's records of "call" or "sms" as they stand at an instant."""
        views = [item.view(now) for item in (self.calls if kind == "call" else self.sms)]
        tail = {"memo": "", "rule_id": self.rule_id, "code": self.id}
        return [view | tail for view in views if view is not None]


def japan_time(at: float) -> str:
    """Return Unix seconds as the logs write them."""
    return datetime.fromtimestamp(at, JAPAN).strftime("%Y-%m-%d %H:%M:%S")


def activation_id(rule_id: str, at: float) -> str:
    """Return the rule id with the Japan time, two digits each from the year to the second."""
    return rule_id + datetime.fromtimestamp(at, JAPAN).strftime("%y%m%d%H%M%S")


def plan(
    kind: RuleKind, numbers: Sequence[Number], people: Mapping[str, Person], default: Person, at: float, speed: float
) -> tuple[PhoneCall, ...]:
    """Return the calls that an activation leads to: in turn, or all at once, by the rule's type."""
    together = kind in (RuleKind.ALL, RuleKind.ALL_UNTIL_ONE)
    calls: list[PhoneCall] = []
    dial_s = 0.0
    for number in numbers:
        if number.check != "1":
            continue
        person = people.get(number.tel, default)
        settled_s, over_s = person.ends_after()
        dialled_at = at + dial_s / speed
        settled_at, over_at = dialled_at + settled_s / speed, dialled_at + over_s / speed
        calls.append(PhoneCall(number.e164(), person, dialled_at, settled_at, over_at, speed))
        if _is_last(kind, person):
            break
        if not together:
            dial_s += over_s + _PAUSE_S
    return _hung_up(calls) if kind is RuleKind.ALL_UNTIL_ONE else tuple(calls)


def _is_last(kind: RuleKind, person: Person) -> bool:
    """Return whether a round robin ends with this person: by answering, and with the 9 type by not passing it on."""
    if person.does is not Does.ANSWERS or kind not in (RuleKind.ROUND_ROBIN, RuleKind.ROUND_ROBIN_9):
        return False
    return kind is RuleKind.ROUND_ROBIN or person.digit != 9  # noqa: PLR2004 - the key of that type


def _hung_up(calls: Sequence[PhoneCall]) -> tuple[PhoneCall, ...]:
    """Return the calls with all that still ring when the first is answered given up."""
    answered = [call.settled_at for call in calls if call.person.does is Does.ANSWERS]
    first = min(answered, default=None)
    if first is None:
        return tuple(calls)
    given_up = Person(Does.NO_ANSWER)
    return tuple(
        call if call.settled_at <= first else PhoneCall(call.to, given_up, call.dialled_at, first, first, call.speed)
        for call in calls
    )


def texts(numbers: Sequence[Number], at: float, speed: float) -> tuple[Sms, ...]:
    """Return the SMS that an activation leads to."""
    return tuple(Sms(number.e164(), at, at + _SMS_S / speed) for number in numbers if number.check == "1")
