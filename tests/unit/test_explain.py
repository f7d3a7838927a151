"""Why did nobody ring last night at 03:12: answered from events and calls alone, and with what the alarm is now."""

from datetime import UTC, datetime
from typing import Any

import pytest

from edge_agent.core.events import State
from edge_agent.core.fields import SECOND
from edge_agent.core.settings import AlarmSettings
from edge_agent.delivery.episodes import episode_at, episodes
from edge_agent.explain import Case, explain
from edge_agent.live import Condition, Live

DAY = "2026-01-31"
WHY = "-14.2 is above -15"
CLOSED = "schedule: outside day (daily 08:00 to 18:00)"


def wall(clock: str) -> int:
    text = clock if "T" in clock else f"{DAY}T{clock}"
    return round(datetime.fromisoformat(f"{text}+00:00").timestamp()) * SECOND


def settings(**keys: Any) -> AlarmSettings:
    return AlarmSettings.model_validate({"input": "freezer", "above": -15.0, "call": "boss", "on_delay": "5m", **keys})


Told = tuple[str, str] | tuple[str, str, int] | tuple[str, str, int | None, str]
"""(time, event[, call[, reason]])"""


def rows(*told: Told) -> list[dict[str, Any]]:
    """Return events as the database has them."""
    found = []
    for number, (clock, kind, *more) in enumerate(told, 1):
        call = more[0] if more else None
        reason = more[1] if len(more) > 1 else WHY
        rule = "boss" if call is not None or kind in ("call", "suppressed") else None
        found.append(
            {"id": number, "wall": wall(clock), "event": kind, "rule": rule, "call": call, "reason": reason}
        )  # fmt: skip
    return found


def call(number: int, state: str, **others: Any) -> dict[str, Any]:
    """Return a row as `outbox list --json` shows it."""
    return {
        "id": number, "rule": "boss", "state": state, "reason": WHY, "created_at": f"{DAY}T03:12:00.000+00:00",
        "attempts": 1, "next_attempt_at": None, "last_error": None, "last_result": None, "ambiguous": False,
        "placed_at": None, "outcome": None, **others,
    }  # fmt: skip


PLACED = {"placed_at": f"{DAY}T08:00:01.000+00:00", "last_result": "placed"}


def answer(
    events: list[dict[str, Any]],
    *calls: dict[str, Any],
    at: str | None = None,
    known: AlarmSettings | None = None,
    live: Live | None = None,
    running_since: str | None = None,
) -> list[str]:
    """Return the sentences."""
    asked = None if at is None else wall(at)
    case = Case(
        "warm", None, settings() if known is None else known, events, episode_at(events, asked), calls, asked,
        wall("09:00:00"), live, 0, None if running_since is None else wall(running_since), UTC,
    )  # fmt: skip
    sentences: list[str] = explain(case)["answer"]
    return sentences


NIGHT = rows(
    ("03:07:00", "pending"),
    ("03:12:00", "raised"),
    ("03:12:00", "suppressed", 7, CLOSED),
    ("08:00:00", "call", 7),
    ("08:00:01", "placed", 7),
)


def test_why_did_nobody_ring_at_twelve_past_three() -> None:
    wanted = [
        f"raised at 2026-01-31 03:12:00: {WHY}",
        f"boss: 03:12:00 suppressed: {CLOSED}; made at 08:00:00; placed at 08:00:01 (IoTCall answered ok; 1 attempt)",
    ]
    assert answer(NIGHT, call(7, "placed", **PLACED)) == wanted
    then = answer(NIGHT, call(7, "placed", **PLACED), at="03:12:00")
    assert then == [wanted[0], "at 03:12:00 it was raised", wanted[1]]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (call(1, "waiting", attempts=0), "waits: not tried yet (0 attempts)"),
        (call(1, "waiting"), "is being sent (1 attempt)"),
        (
            call(1, "waiting", attempts=3, last_error="no connection", next_attempt_at=f"{DAY}T03:12:30+00:00"),
            "waits: no connection (3 attempts, next at 03:12:30)",
        ),
        (
            call(1, "placed", attempts=2, ambiguous=True, placed_at=f"{DAY}T03:13:00+00:00"),
            "placed at 03:13:00 (IoTCall answered ok; 2 attempts, of one or more the answer is unknown)",
        ),
        (call(1, "failed", attempts=3, last_error="HTTP 404"), "failed: HTTP 404 (3 attempts)"),
        (call(1, "expired", last_error=None), "expired: not delivered in time (1 attempt)"),
        (call(1, "cancelled", reason="cleared"), "withdrawn: cleared (1 attempt)"),
    ],
)
def test_what_came_of_a_call(row: dict[str, Any], told: str) -> None:
    events = rows(("03:12:00", "raised"), ("03:12:00", "call", 1))
    assert answer(events, row)[1] == f"boss: call at 03:12:00; {told}"


@pytest.mark.parametrize("state", ["failed", "expired", "cancelled"])
def test_when_a_call_ended_without_being_placed(state: str) -> None:
    events = rows(("03:12:00", "raised"), ("03:12:00", "call", 1), ("04:00:00", "cleared"), ("05:00:00", state, 1))
    told = answer(events, call(1, state))
    assert "at 05:00:00" in told[1]
    assert told[-1] == f"cleared at 04:00:00: {WHY}"


@pytest.mark.parametrize(
    ("after", "told"),
    [
        ([], "owed: it is made when nothing holds it back any more, if the alarm is still raised"),
        ([("03:20:00", "acknowledged", None, "by hand")], "never made: it was acknowledged"),
        ([("03:20:00", "cleared")], "never made: it was over before anything let it go"),
    ],
)
def test_a_call_held_back_that_was_not_made(after: list[Told], told: str) -> None:
    events = rows(("03:12:00", "raised"), ("03:12:00", "suppressed", 1, "cooldown: 10m"), *after)
    assert answer(events, call(1, "suppressed"))[1] == f"boss: 03:12:00 suppressed: cooldown: 10m; {told}"


def test_a_call_whose_row_is_gone_is_told_from_its_events() -> None:
    assert answer(NIGHT)[1] == f"boss: 03:12:00 suppressed: {CLOSED}; made at 08:00:00; placed at 08:00:01"


def test_a_call_that_early_events_do_not_name_is_told_all_the_same() -> None:
    events = rows(("03:12:00", "raised"), ("03:12:00", "call"))
    assert answer(events, call(4, "placed", placed_at=f"{DAY}T03:12:01+00:00"))[1] == (
        "boss: made at 03:12:00; placed at 03:12:01 (IoTCall answered ok; 1 attempt)"
    )


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        (
            [("03:10:00", "pending")],
            f"pending since 2026-01-31 03:10:00: {WHY}; raised at 03:15:00 if it lasts so long",
        ),
        (
            [("03:10:00", "pending"), ("03:12:30", "dropped", None, "-16 is no longer above -15")],
            (
                "not raised: the condition held from 2026-01-31 03:10:00 for 2m30s, which is less than on_delay = 5m"
                " (-16 is no longer above -15)"
            ),
        ),
        ([], "it was never pending nor raised, as far as the events go back"),
    ],
)
def test_an_alarm_that_was_not_raised(told: list[Told], sentence: str) -> None:
    assert answer(rows(*told)) == [sentence]


def test_between_two_episodes_it_was_normal() -> None:
    events = rows(("01:00:00", "raised"), ("02:00:00", "cleared", None, "-17.2 is no longer above -15"), *_later())
    assert answer(events, at="03:12:00") == [
        "normal at 03:12:00: before that it was cleared at 02:00:00: -17.2 is no longer above -15",
        f"normal at 03:12:00: after that it was raised at 04:00:00: {WHY}",
        "the readings themselves are not kept: record them to have them told",
    ]


def _later() -> list[Told]:
    return [("04:00:00", "raised")]


def test_a_time_is_meant_to_the_minute_and_an_agent_that_ran_only_later_is_named() -> None:
    events = rows(("03:12:40", "raised"), ("03:14:00", "cleared"))
    assert answer(events, at="03:12:00")[0] == f"raised at 2026-01-31 03:12:40: {WHY}"
    assert answer(events, at="03:14:59")[0] == f"raised at 2026-01-31 03:12:40: {WHY}"
    assert answer(events, at="03:10:00", running_since="03:12:30")[0] == (
        "the agent that runs now was started later, at 03:12:30"
    )


def test_what_people_had_done_by_then() -> None:
    events = rows(
        ("02:00:00", "shelved", None, "for 4h, by hand"),
        ("03:00:00", "raised"),
        ("03:05:00", "acknowledged", None, "by hand"),
        ("03:30:00", "clearing"),
        ("05:00:00", "resumed"),
        ("06:00:00", "unshelved"),
    )
    assert "at 03:04:00 it was raised, shelved" in answer(events, at="03:04:00")
    assert "at 03:12:00 it was raised, acknowledged, shelved" in answer(events, at="03:12:00")
    assert "at 04:00:00 it was clearing, acknowledged, shelved" in answer(events, at="04:00:00")
    assert "at 07:00:00 it was raised, acknowledged" in answer(events, at="07:00:00")
    assert "acknowledged at 03:05:00: no more calls in this episode" in answer(events)


@pytest.mark.parametrize(
    ("known", "sentence"),
    [
        (settings(call=[]), "no `call` is configured: nobody is phoned by this alarm"),
        (settings(enabled=False), "disabled in the configuration: it is not evaluated, and calls nobody"),
    ],
)
def test_what_the_configuration_says(known: AlarmSettings, sentence: str) -> None:
    assert sentence in answer(rows(("03:12:00", "raised")), known=known)


def test_an_alarm_that_the_configuration_no_longer_has_is_told_from_what_is_known() -> None:
    events = rows(("03:12:00", "raised"), ("04:00:00", "cleared"), ("04:00:00", "removed"))
    case = Case("warm", None, None, events, episode_at(events, None), [], None, wall("09:00:00"), None, 0, None, UTC)
    told = explain(case)["answer"]
    assert told[0] == "the configuration has no such alarm (any more)"
    assert told[1] == f"raised at 2026-01-31 03:12:00: {WHY}"


def test_other_days_are_named() -> None:
    events = rows(("23:59:00", "raised"), ("2026-02-01T00:10:00", "cleared"))
    assert answer(events) == [
        f"raised at 2026-01-31 23:59:00: {WHY}", "no call of it is known any more",
        f"cleared at 2026-02-01 00:10:00: {WHY}",
    ]  # fmt: skip


def test_of_a_night_of_repeats_the_first_and_the_last_are_told() -> None:
    many: list[Told] = [(f"04:{minute:02}:00", "repeat", minute) for minute in range(40)]
    told = answer(rows(("03:12:00", "raised"), *many))
    assert [line.split()[-1] for line in told[1:7]] == [f"04:{minute:02}:00" for minute in range(6)]
    assert told[7] == "… 28 more calls …"
    assert len(told) == 14


def test_now_says_what_it_looks_at_what_holds_it_back_and_what_is_next() -> None:
    silent = Condition("freezer.x", "silent for 10m", None, None, None, False, "silent for 10m: not yet")
    warm = Condition("freezer", "above -15", -17.2, "bad", wall("08:59:00"), False, "-17.2 is not above -15")
    live = Live(
        State.NORMAL, wall("08:00:00"), False, wall("10:00:00"), (), ("shelved: for another 1h", CLOSED),
        ((wall("10:00:00"), "the shelf ends"),), (warm, silent), True,
    )  # fmt: skip
    assert answer([], live=live)[1:] == [
        "now normal since 08:00:00, shelved",
        "the condition does not hold: -17.2 is not above -15 (freezer, last reading bad, 08:59:00)",
        "the condition does not hold: silent for 10m: not yet (freezer.x, no reading since the start)",
        "all of these must hold",
        "a call now would be held back: shelved: for another 1h",
        f"a call now would be held back: {CLOSED}",
        "at 10:00:00 the shelf ends",
    ]


def test_the_whole_as_json() -> None:
    events = rows(*[("01:00:00", "raised"), ("02:00:00", "cleared")], ("03:12:00", "raised"), ("03:12:00", "call", 3))
    case = Case(
        "warm", "f1", settings(), events, episode_at(events, None), [call(3, "waiting")], None, wall("09:00:00"),
        None, 0, None, UTC,
    )  # fmt: skip
    told = explain(case)
    assert (told["alarm"], told["instance"], told["at"], told["live"]) == ("warm", "f1", None, None)
    assert told["episode"] == {
        "began_at": f"{DAY}T03:12:00.000+00:00", "raised_at": f"{DAY}T03:12:00.000+00:00", "ended_at": None,
    }  # fmt: skip
    assert [(row["id"], row["event"], row["rule"]) for row in told["events"]] == [
        (3, "raised", None),
        (4, "call", "boss"),
    ]
    assert [row["id"] for row in told["calls"]] == [3]


# Episodes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kinds", "wanted"),
    [
        ("pending raised clearing resumed clearing cleared", [6]),
        ("pending dropped pending raised", [2, 2]),
        ("raised cleared shelved settled raised cleared removed", [2, 2]),
        ("repeat acknowledged cleared raised", [3, 1]),
        ("cleared pending", [1, 1]),
        ("raised raised", [1, 1]),
        ("shelved unshelved placed", []),
    ],
)
def test_episodes_begin_and_end(kinds: str, wanted: list[int]) -> None:
    """The first may lack its beginning: events are not kept for ever."""
    events = rows(*((f"03:{minute:02}:00", kind) for minute, kind in enumerate(kinds.split())))
    assert [len(episode.events) for episode in episodes(events)] == wanted


def test_the_episode_of_an_instant() -> None:
    events = rows(("01:00:00", "raised"), ("02:00:00", "cleared"), ("04:00:00", "raised"))

    def began(at: str | None) -> int | None:
        episode = episode_at(events, None if at is None else wall(at))
        return None if episode is None else episode.began_at

    first, second = wall("01:00:00"), wall("04:00:00")
    wanted = {
        "00:58:59": None, "00:59:00": first, "01:30:00": first, "02:01:00": first, "02:01:01": None,
        "03:59:30": second, "23:00:00": second, None: second,
    }  # fmt: skip
    assert {at: began(at) for at in wanted} == wanted
