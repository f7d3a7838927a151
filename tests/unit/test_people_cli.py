"""`alarms`, `ack`, `shelve`, `unshelve`, `explain`, and the chatter of `status` and `check`, on the command line."""

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click
import pytest
from click.testing import CliRunner, Result

from edge_agent.cli import main
from edge_agent.cli.words import alarm_of, last_time, next_time
from edge_agent.core.events import EventKind
from edge_agent.core.fields import SECOND
from edge_agent.delivery.outbox import Outbox
from edge_agent.delivery.statedir import StateLock
from edge_agent.delivery.store import DATABASE, Store
from edge_agent.system.clock import Clock
from edge_agent.web.server import WebServer
from edge_agent.web.token import load_token
from tests.delivery_kit import raised, told
from tests.fake_view import AT, FakeView
from tests.helpers import free_port

CONFIG = """
[agent]
timezone = "Asia/Tokyo"
state_dir = "{state}"
[web]
listen = "127.0.0.1:{port}"
[iotcall.rules.pump]
url_key = "15aaBBccddeeFF28b89"
[sources.s]
type = "serial"
port = "loop://"
[alarms.hot]
input = "s"
above = 30
call = "pump"
[alarms.cold]
input = "s"
below = 3
call = "pump"
"""


class Place:
    """A configuration, a state folder, and the command line."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self.state.mkdir()
        self.port = free_port()
        self.config = folder / "config.toml"
        self.config.write_text(CONFIG.format(state=self.state, port=self.port))
        self.clock = Clock()

    def run(self, *words: str) -> Result:
        env = {"IOTCALL_AUTH_CODE": "x"}
        return CliRunner().invoke(main, ["--config", str(self.config), *words], env=env)

    def says(self, *words: str) -> str:
        done = self.run(*words)
        assert (done.exit_code, done.stderr) == (0, ""), done.output
        return done.stdout

    def json(self, *words: str) -> Any:
        return json.loads(self.says(*words, "--json"))

    def refused(self, *words: str) -> str:
        done = self.run(*words)
        assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.output
        return done.stderr


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def view(place: Place) -> Iterator[FakeView]:
    """An agent that runs, as far as commands can tell."""
    lock = StateLock(place.state)
    view = FakeView()
    token = load_token(place.state)
    server = WebServer(view, host="127.0.0.1", port=place.port, token=lambda: token)
    server.start()
    yield view
    server.stop()
    lock.release()


# While the agent runs ---------------------------------------------------------------------------------------------


def test_alarms(place: Place, view: FakeView) -> None:
    view.alarms.append({**view.alarms[0], "instance": "f2", "acknowledged": True, "shelved_until": AT})
    view.owing = [
        {"alarm": "freezer-warm", "instance": "f1", "rules": ["a", "b"], "held_back": ["schedule: outside day", "x"]}
    ]
    assert place.json("alarms") == view.alarms
    assert place.says("alarms") == (
        "  alarm             state   since\n"
        "  freezer-warm[f1]  raised  2026-01-31 09:00:00  owes a call to a, b (schedule: outside day)\n"
        "  freezer-warm[f2]  raised  2026-01-31 09:00:00  acknowledged, shelved until 2026-01-31 09:00:00\n"
    )
    view.alarms.clear()
    assert "no alarm" in place.says("alarms")


@pytest.mark.parametrize(
    ("words", "command", "said"),
    [
        (
            ["ack", "freezer-warm", "f1"],
            ("ack", ("freezer-warm", "f1")),
            "freezer-warm[f1]: acknowledged; it makes no more calls in this episode.",
        ),
        (
            ["ack", "freezer-warm[f1]"],
            ("ack", ("freezer-warm", "f1")),
            "freezer-warm[f1]: acknowledged; it makes no more calls in this episode.",
        ),
        (
            ["ack", "door-open"],
            ("ack", ("door-open", None)),
            "door-open: is not raised, or was acknowledged already; nothing changed.",
        ),
        (
            ["shelve", "freezer-warm", "--for", "1h30m"],
            ("shelve", ("freezer-warm", None, 5400, None)),
            "freezer-warm: shelved for 1h30m; its calls are held back.",
        ),
        (
            ["shelve", "freezer-warm", "--for", "90"],
            ("shelve", ("freezer-warm", None, 90, None)),
            "freezer-warm: shelved for 1m30s; its calls are held back.",
        ),
        (
            ["shelve", "freezer-warm", "f1", "--until", "2026-01-31T18:00"],
            ("shelve", ("freezer-warm", "f1", None, 1769850000)),
            "freezer-warm[f1]: shelved until 2026-01-31 18:00:00; its calls are held back.",
        ),
        (
            ["unshelve", "freezer-warm"],
            ("unshelve", ("freezer-warm", None)),
            "freezer-warm: no longer shelved; its calls go out again.",
        ),
        (["unshelve", "door-open"], ("unshelve", ("door-open", None)), "door-open: was not shelved; nothing changed."),
    ],
)
def test_commands_reach_the_agent_and_say_what_came_of_it(
    place: Place, view: FakeView, words: list[str], command: object, said: str
) -> None:
    assert place.says(*words).strip() == said
    assert view.commands == [command]
    assert place.json(*words) == {"changed": 0 if "door-open" in words else 1}


@pytest.mark.parametrize("words", [["ack"], ["shelve", "--for", "1h"], ["unshelve"], ["explain"]])
def test_an_unknown_alarm_is_one_line_with_a_suggestion(place: Place, view: FakeView, words: list[str]) -> None:
    command, *options = words
    assert 'did you mean "freezer-warm"?' in place.refused(command, "freezer-worm", *options)
    assert "no alarm is called" in place.refused(command, "../x", *options)
    assert view.commands == []


@pytest.mark.usefixtures("view")
def test_what_the_agent_says_of_a_shelf_is_told(place: Place) -> None:
    assert "agent.max_shelve allows 1d, and this one would last 9d" in place.refused(
        "shelve", "freezer-warm", "--for", "9d"
    )


@pytest.mark.parametrize(
    "words",
    [
        ["ack"], ["ack", "a", "b", "c"], ["shelve", "hot"], ["shelve", "hot", "--for", "1h", "--until", "18:00"],
        ["shelve", "hot", "--for", "soon"], ["shelve", "hot", "--for", "0"], ["shelve", "hot", "--until", "25:00"],
        ["shelve", "hot", "--until", "soon"], ["explain", "hot", "--at", "then"], ["explain"], ["unshelve"],
    ],
)  # fmt: skip
def test_used_wrongly(place: Place, words: list[str]) -> None:
    assert place.run(*words).exit_code == 2


@pytest.mark.parametrize(
    "words", [["alarms"], ["ack", "hot"], ["shelve", "hot", "--for", "1h"], ["unshelve", "hot"], ["alarms", "--json"]]
)
def test_without_an_agent_they_say_so(place: Place, words: list[str]) -> None:
    assert "is not running" in place.refused(*words)


def test_status_names_who_chatters(place: Place, view: FakeView) -> None:
    assert "Chattering" not in place.says("status")
    view.chatterers = [
        {"alarm": "hot", "instance": "f1", "raises": 12, "last_at": AT, "suggestion": "one episode with deadband = 2"}
    ]
    assert (
        "Chattering\n"
        "  alarm    raises in a week  last                 what would calm it\n"
        "  hot[f1]  12                2026-01-31 09:00:00  one episode with deadband = 2\n"
    ) in place.says("status")


def test_explain_asks_the_agent_and_tells_it(place: Place, view: FakeView) -> None:
    view.explained = [
        {
            "alarm": "freezer-warm", "instance": "f1", "at": None, "answer": ["raised at 03:12:00: \x1b[2Jx"],
            "events": [{"id": 1, "time": AT, "event": "raised", "rule": None, "reason": "x"}], "calls": [],
        }
    ]  # fmt: skip
    assert place.says("explain", "freezer-warm", "--at", "2026-01-31T03:12:00") == (
        "freezer-warm[f1]\n"
        "  raised at 03:12:00: \\x1b[2Jx\n"
        "\n"
        "    time                 event   rule  reason\n"
        "    2026-01-31 09:00:00  raised        x\n"
        "\n"
        "Instances: f1, f2\n"
    )
    assert view.commands == [("explain", ("freezer-warm", None, "1769796720.0"))]
    assert place.json("explain", "freezer-warm", "f1")["explained"] == view.explained
    view.explained = []
    assert "all instances are normal now; name one" in place.says("explain", "freezer-warm")


# While it does not ------------------------------------------------------------------------------------------------


def fill(place: Place) -> None:
    """An alarm that calls, one that chattered, and one that was taken out of the configuration."""
    outbox = Outbox(Store(place.state / DATABASE), place.clock)
    now = place.clock.now()
    outbox.commit(raised(now))
    settled = "raised 7 times in 30s; one episode with deadband = 2"
    outbox.commit(told(EventKind.SETTLED, now, settled, alarm="cold"))
    outbox.commit(told(EventKind.SETTLED, now, settled, alarm="gone"))
    outbox.commit(told(EventKind.RAISED, now, alarm="warm", instance="f1"))
    outbox.close()


def test_explain_while_the_agent_is_down_tells_what_the_database_knows(place: Place) -> None:
    assert "nothing is known yet" in place.refused("explain", "hot")
    fill(place)
    answer = place.json("explain", "hot")
    (one,) = answer["explained"]
    assert (one["live"], [call["rule"] for call in one["calls"]]) == (None, ["pump"])
    assert "what the alarm is now is missing" in answer["note"]
    assert one["answer"][1].startswith("pump: call at ")
    assert "Note: edge-agent does not run" in place.says("explain", "hot")
    assert "never pending nor raised" in place.json("explain", "cold")["explained"][0]["answer"][0]
    assert "no such alarm (any more)" in place.json("explain", "warm")["explained"][0]["answer"][0]
    assert 'did you mean "hot"?' in place.refused("explain", "hott")
    assert "has no instances" in place.refused("explain", "hot", "f1")


def test_explain_of_an_agent_that_cannot_be_asked_looks_into_its_database(place: Place) -> None:
    fill(place)
    lock = StateLock(place.state)
    assert "nothing listens" in place.json("explain", "hot")["note"]
    lock.release()


def test_a_database_that_is_damaged_is_one_line(place: Place) -> None:
    (place.state / DATABASE).write_bytes(b"no database" * 1000)
    assert "cannot be read" in place.refused("explain", "hot")


def files(place: Place) -> dict[str, tuple[bytes, int]]:
    return {each.name: (each.read_bytes(), each.stat().st_mtime_ns) for each in place.state.iterdir()}


@pytest.mark.parametrize("how", ["closed", "killed", "running"])
def test_check_names_who_chatters_on_stderr_and_leaves_no_trace(place: Place, how: str) -> None:
    fill(place)
    store = Store(place.state / DATABASE)
    store.write(lambda db: db.execute("INSERT INTO meta VALUES ('x', 'y')"))
    lock = StateLock(place.state) if how == "running" else None
    if how == "killed":
        log = (place.state / f"{DATABASE}-wal").read_bytes()
        store.close()
        (place.state / f"{DATABASE}-wal").write_bytes(log)
    elif how == "closed":
        store.close()
    before = files(place)
    done = place.run("check")
    assert (done.exit_code, done.stdout.count("\n")) == (0, 1)
    (line,) = done.stderr.splitlines()
    assert line.startswith("cold chatters (7 raises in a week, the last at ")
    assert line.endswith("): one episode with deadband = 2")
    if how != "running":  # there the log's index is shared with whoever writes
        assert files(place) == before
    assert place.run("check", "--json").stderr == ""
    if lock is not None:
        store.close()
        lock.release()


@pytest.mark.parametrize("content", [None, b"", b"no database" * 1000])
def test_check_says_nothing_of_a_database_that_it_cannot_read(place: Place, content: bytes | None) -> None:
    if content is not None:
        (place.state / DATABASE).write_bytes(content)
    before = files(place)
    assert "ok, " in place.says("check")
    assert files(place) == before


# Words ------------------------------------------------------------------------------------------------------------

TOKYO = ZoneInfo("Asia/Tokyo")
NOW = datetime(2026, 1, 31, 9, 0, tzinfo=TOKYO)


@pytest.mark.parametrize(
    ("text", "last", "next_"),
    [
        ("03:12", "2026-01-31T03:12:00+09:00", "2026-02-01T03:12:00+09:00"),
        ("3:12", "2026-01-31T03:12:00+09:00", "2026-02-01T03:12:00+09:00"),
        ("18:00:30", "2026-01-30T18:00:30+09:00", "2026-01-31T18:00:30+09:00"),
        ("09:00", "2026-01-31T09:00:00+09:00", "2026-02-01T09:00:00+09:00"),
        ("2026-01-31T18:00", "2026-01-31T18:00:00+09:00", "2026-01-31T18:00:00+09:00"),
        ("2026-01-31T18:00Z", "2026-01-31T18:00:00+00:00", "2026-01-31T18:00:00+00:00"),
        ("1769850000", "2026-01-31T18:00:00+09:00", "2026-01-31T18:00:00+09:00"),
    ],
)
def test_times_as_people_type_them(text: str, last: str, next_: str) -> None:
    def micros(iso: str) -> int:
        return round(datetime.fromisoformat(iso).timestamp()) * SECOND

    assert (last_time(text, NOW), next_time(text, NOW)) == (micros(last), micros(next_))


@pytest.mark.parametrize("text", ["24:00", "12:60", "noon", "", "2026-13-01"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(click.BadParameter):
        last_time(text, NOW)
    with pytest.raises(click.BadParameter):
        next_time(text, NOW)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (("hot", None), ("hot", None)),
        (("hot", "f1"), ("hot", "f1")),
        (("hot", ""), ("hot", "")),
        (("hot[f1]", None), ("hot", "f1")),
        (("hot[a/b]]", None), ("hot", "a/b]")),
        (("hot[]", None), ("hot", "")),
    ],
)
def test_an_alarm_may_be_named_as_tables_show_it(words: tuple[str, str | None], wanted: tuple[str, str | None]) -> None:
    assert alarm_of(*words) == wanted


@pytest.mark.parametrize("words", [("hot.x", None), ("hot[f1].x", None), ("hot[f1]", "f1"), ("a b", None), ("", None)])
def test_what_is_no_alarm_s_name(words: tuple[str, str | None]) -> None:
    with pytest.raises(click.ClickException, match="no alarm is called"):
        alarm_of(*words)
