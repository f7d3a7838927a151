"""The HTTP API of alarms: acknowledge, shelve, unshelve, explain, what is owed, who chatters, events of one alarm."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.test_web_api import RIGHT, Served

WARM = "/api/v1/alarms/freezer-warm"
OPEN = "/api/v1/alarms/door-open"


@pytest.fixture
def served() -> Iterator[Served]:
    running = Served()
    yield running
    running.server.stop()


@pytest.mark.parametrize(
    ("path", "body", "command"),
    [
        (f"{WARM}/ack", None, ("ack", ("freezer-warm", None))),
        (f"{WARM}/ack", {}, ("ack", ("freezer-warm", None))),
        (f"{WARM}/ack", {"instance": None}, ("ack", ("freezer-warm", None))),
        (f"{WARM}/ack", {"instance": "冷凍"}, ("ack", ("freezer-warm", "冷凍"))),
        (f"{WARM}/unshelve", {"instance": ""}, ("unshelve", ("freezer-warm", ""))),
        (f"{WARM}/shelve", {"for": "2h"}, ("shelve", ("freezer-warm", None, "2h", None))),
        (f"{WARM}/shelve", {"instance": "f1", "for": 90}, ("shelve", ("freezer-warm", "f1", 90, None))),
        (f"{WARM}/shelve", {"for": None, "until": 1e9}, ("shelve", ("freezer-warm", None, None, 1e9))),
        (
            f"{WARM}/shelve",
            {"instance": None, "until": "2026-01-31T09:00"},
            ("shelve", ("freezer-warm", None, None, "2026-01-31T09:00")),
        ),
    ],
)
def test_what_people_do_reaches_the_agent(served: Served, path: str, body: Any, command: object) -> None:
    assert served.ask("POST", path, body, **RIGHT)[::2] == (200, {"changed": 1})
    assert served.view.commands == [command]


def test_nothing_changed_is_no_error(served: Served) -> None:
    for verb, body in (("ack", {}), ("unshelve", {}), ("shelve", {"for": 1})):
        assert served.ask("POST", f"{OPEN}/{verb}", body, **RIGHT)[::2] == (200, {"changed": 0})


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("ack", {"instance": 1}), ("ack", {"instance": ["f1"]}), ("ack", {"force": True}), ("ack", []), ("ack", b"{"),
        ("ack", b'{"instance": "\\ud800"}'), ("unshelve", {"for": "1h"}), ("shelve", {}), ("shelve", None),
        ("shelve", {"for": "1h", "until": 5}), ("shelve", {"instance": "f1"}), ("shelve", {"for": "9d"}),
        ("shelve", {"instance": 7, "for": "1h"}),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(served: Served, verb: str, body: Any) -> None:
    status, _, answer = served.ask("POST", f"{WARM}/{verb}", body, **RIGHT)
    assert (status, list(answer)) == (400, ["error"])
    assert served.view.commands == []


@pytest.mark.parametrize("verb", ["ack", "shelve", "unshelve"])
def test_who_may_and_what_there_is(served: Served, verb: str) -> None:
    body = {"for": "1h"} if verb == "shelve" else {}
    assert served.status("POST", f"{WARM}/{verb}", body) == 401
    assert served.status("GET", f"{WARM}/{verb}") == 405
    assert served.status("POST", f"{WARM}/{verb}", body, Content_Type="text/plain", **RIGHT) == 415
    status, _, answer = served.ask("POST", f"/api/v1/alarms/freezer/{verb}", body, **RIGHT)
    assert (status, answer) == (404, {"error": "no alarm is called 'freezer'; did you mean \"freezer-warm\"?"})
    assert served.status("POST", f"/api/v1/alarms/a%2Fb/{verb}", body, **RIGHT) == 404


def test_explain(served: Served) -> None:
    assert served.ask("GET", f"{WARM}/explain")[2]["alarm"] == "freezer-warm"
    served.ask("GET", f"{WARM}/explain?instance=%E5%86%B7%E5%87%8D&at=2026-01-31T03:12:00%2B09:00")
    served.ask("GET", f"{WARM}/explain?instance=&at=")
    assert served.view.commands == [
        ("explain", ("freezer-warm", None, None)),
        ("explain", ("freezer-warm", "冷凍", "2026-01-31T03:12:00+09:00")),
        ("explain", ("freezer-warm", None, None)),
    ]
    assert served.status("GET", "/api/v1/alarms/freezer/explain") == 404
    assert served.status("POST", f"{WARM}/explain", {}, **RIGHT) == 405


def test_events_of_one_alarm(served: Served) -> None:
    answer = served.ask("GET", "/api/v1/events?alarm=freezer-warm&instance=%E5%86%B7")[2]
    assert answer == {"events": [{"id": 1, "alarm": "freezer-warm", "instance": "冷"}], "next": None}
    assert served.ask("GET", "/api/v1/events?alarm=freezer-warm")[2]["events"][0]["instance"] is None
    assert served.status("GET", "/api/v1/events?instance=f1") == 400
    assert len(served.ask("GET", "/api/v1/events?alarm=&instance=")[2]["events"]) == 100


def test_who_chatters_and_what_is_owed(served: Served) -> None:
    served.view.chatterers = [{"alarm": "a"}]
    served.view.owing = [{"alarm": "b"}]
    assert served.ask("GET", "/api/v1/chatter")[2] == {"chatter": [{"alarm": "a"}]}
    assert served.ask("GET", "/api/v1/owed")[2] == {"owed": [{"alarm": "b"}]}
