"""The demo's scenes: each lets something happen to sensors, line or agent, and says what must come of it."""

from edge_agent.system.clock import boot_now
from edge_agent.tools.demo.contact import CLOSED, OPEN
from edge_agent.tools.demo.play import Play, Scene, well_formed
from edge_agent.tools.demo.stage import DEBOUNCE_S, ON_DELAY_S

_SECOND = 1_000_000
_BACK_WITHIN_S = 5.0
_STATE_S = 10.0
_EDGES = 15
_OUTAGE_S = 6.0


def freezer_warms(play: Play) -> None:
    """One freezer gets too warm."""
    for temperature in (-18.2, -16.9, -15.4):
        play.freezer("f1", temperature)
        play.pause(0.3)
    began = boot_now()
    play.freezer("f1", -14.6, f": too warm. The agent waits {ON_DELAY_S:g} s to see whether it lasts")
    play.pause(0.8)
    play.freezer("f1", -13.1)
    calls = play.await_calls({"freezer": 1})
    for call in calls:
        _tell_whole(play, call.url_key, call.headers.get("authorization", "(none)"), call.body)
    for call in calls:
        after_s = (call.at - began) / _SECOND
        play.check(after_s >= ON_DELAY_S, f"it came {after_s:.2f} s after the freezer was too warm, not earlier")
        play.check(well_formed(call), "it carried exactly the AuthCode and no body, as IoTCall wants it")


def _tell_whole(play: Play, url_key: str, authorization: str, body: bytes) -> None:
    play.say("IoTCall received this, and phones the people of that rule (here nobody's phone rings):")
    play.narrator.quote(
        (
            f"POST /pattern/{url_key}/call",
            f"Authorization: {authorization}",
            f"({len(body)} bytes of body)" if body else "(no body)",
        )
    )


def contact_bounces(play: Play) -> None:
    """A door's contact closes, bouncing; later it opens again, bouncing."""
    took_s = play.stage.move_contact(CLOSED, _EDGES)
    play.say(f"the door opens: its contact closes, and bounces: {_EDGES} edges in {took_s * 1000:.0f} ms")
    for call in play.await_calls({"door": 1}):
        play.tell_call(call)
    play.pause(0.5)
    took_s = play.stage.move_contact(OPEN, _EDGES)
    play.say(f"the door shuts: {_EDGES} edges in {took_s * 1000:.0f} ms")
    play.check(play.stage.wait(lambda: play.stage.alarm_is("normal", "door-open"), _STATE_S), "the alarm is over")


def line_speaks(play: Play) -> None:
    """A boiler loses pressure; a line is garbled on the way."""
    boiler = play.stage.boiler
    play.say(f"the boiler's meter writes  {boiler.tell()}")
    bad = play.stage.bad_readings("boiler")
    boiler.write(b"T=\xff\x00#7..1 P=-\r\n")
    play.say("a line arrives garbled")
    play.check(play.stage.wait(lambda: play.stage.bad_readings("boiler") > bad, _STATE_S), "it is counted as bad")
    play.pause(0.3)
    play.say(f"the boiler's meter writes  {boiler.tell(pressure=0.55)}: below 0.80")
    for call in play.await_calls({"boiler": 1}):
        play.tell_call(call)
    for _ in range(3):
        boiler.tell()
    play.say("it goes on writing that line; the alarm is known by now")
    play.pause(0.5)
    play.say(f"the boiler's meter writes  {boiler.tell(pressure=1.4)}: somebody saw to it")
    is_over = play.stage.wait(lambda: play.stage.alarm_is("normal", "boiler-pressure"), _STATE_S)
    play.check(is_over, "the alarm is over")


def line_is_cut(play: Play) -> None:
    """IoTCall cannot be reached while three alarms are raised."""
    stage = play.stage
    stage.cut_line()
    cut_at = boot_now()
    play.say("the line is cut: IoTCall refuses every connection")
    play.freezer("f2", -12.0, ": another freezer")
    stage.move_contact(CLOSED, _EDGES)
    play.say("the door opens again")
    play.say(f"the boiler's meter writes  {stage.boiler.tell(temperature=96)}: above 90")
    waiting = {"freezer-warm[f2]", "door-open", "boiler-hot"}
    stage.wait(lambda: _waiting_count(play) == len(waiting), _STATE_S)
    _show_waiting(play, waiting)
    play.pause(_OUTAGE_S - (boot_now() - cut_at) / _SECOND)
    back_at = boot_now()
    stage.mend_line()
    play.say(f"the line is back, after {(back_at - cut_at) / _SECOND:.1f} s")
    for call in play.await_calls({"freezer": 1, "door": 1, "boiler": 1}):
        after_s = (call.at - back_at) / _SECOND
        play.tell_call(call, f", {after_s:.1f} s after the line's return")
        play.check(0 <= after_s <= _BACK_WITHIN_S, f"that is within {_BACK_WITHIN_S:g} s")


def agent_is_killed(play: Play) -> None:
    """The agent is killed with a call waiting and a delay running; meanwhile the line returns and the delay ends."""
    stage = play.stage
    stage.cut_line()
    play.say("the line is cut once more")
    play.say(f"the boiler's meter writes  {stage.boiler.tell(pressure=0.3)}: below 0.80, its call has to wait")
    stage.wait(lambda: _waiting_count(play) == 1, _STATE_S)
    warm_at = boot_now()
    play.freezer("f3", -9.5, f": too warm, the {ON_DELAY_S:g} s begin")
    stage.wait(lambda: _runs(play, "freezer-warm", "f3"), _STATE_S)
    play.pause(ON_DELAY_S / 2)
    stage.kill_agent()
    play.say(f"kill -9: the agent is gone, {(boot_now() - warm_at) / _SECOND:.1f} s into those {ON_DELAY_S:g} s")
    _show_waiting(play, {"boiler-pressure"})
    stage.mend_line()
    play.say("the line is back, but there is no agent")
    play.pause(ON_DELAY_S + 0.5 - (boot_now() - warm_at) / _SECOND)
    play.say(f"the {ON_DELAY_S:g} s are over, and nobody was there to see it. The agent is started again")
    play.say(f"it runs, as process {stage.start_agent()}")
    for call in play.await_calls({"freezer": 1, "boiler": 1}):
        play.tell_call(call)
    raised = {(item["alarm"], item["instance"]) for item in _alarms(play) if item["state"] == "raised"}
    play.say("raised are now: " + ", ".join(sorted(f"{alarm}{f'[{name}]' if name else ''}" for alarm, name in raised)))
    before = {("freezer-warm", "f1"), ("freezer-warm", "f2"), ("door-open", None), ("boiler-hot", None)}
    play.check(before < raised, "the four of before still are, and have not called again")


def _alarms(play: Play) -> list[dict[str, str | None]]:
    found: list[dict[str, str | None]] = (play.stage.status() or {}).get("alarms", [])
    return found


def _runs(play: Play, alarm: str, instance: str) -> bool:
    """Return whether an alarm is no longer normal."""
    return any(
        (item["alarm"], item["instance"]) == (alarm, instance) and item["state"] != "normal" for item in _alarms(play)
    )


def _waiting_count(play: Play) -> int:
    count: int = (play.stage.status() or {}).get("outbox", {}).get("waiting", 0)
    return count


def _show_waiting(play: Play, alarms: set[str]) -> None:
    """Show what waits on disk, and check that it is the calls of these alarms."""
    lines = play.stage.outbox_list()
    play.say("`edge-agent outbox list` shows what waits on disk:")
    play.narrator.quote(line.strip() for line in lines)
    found = sorted(word for line in lines[1:] for word in line.split() if word in alarms)
    play.check(
        found == sorted(alarms) and len(lines) == len(alarms) + 1, f"waiting on disk: {', '.join(sorted(alarms))}"
    )


SCENES = (
    Scene(
        "The freezer warms",
        (
            "Freezers tell their temperature by MQTT. In the configuration:",
            f"above -15 °C for {ON_DELAY_S:g} s means an alarm, and an alarm means one call.",
        ),
        freezer_warms,
        {"freezer": 1},
    ),
    Scene(
        "A contact bounces",
        (
            "A door's contact at a pin. A contact that closes bounces: it opens and closes many times.",
            f"A level counts once it has held for {DEBOUNCE_S * 1000:g} ms.",
        ),
        contact_bounces,
        {"door": 1},
    ),
    Scene(
        "A serial line",
        ("A boiler's meter writes lines to a serial port. Pressure below 0.80 is an alarm.",),
        line_speaks,
        {"boiler": 1},
    ),
    Scene(
        "The network is cut",
        ("IoTCall cannot be reached, and of all times now three alarms are raised.",),
        line_is_cut,
        {"freezer": 1, "door": 1, "boiler": 1},
    ),
    Scene(
        "The agent is killed",
        ("The agent dies with one call waiting and one delay running, and is started again.",),
        agent_is_killed,
        {"freezer": 1, "boiler": 1},
    ),
)
