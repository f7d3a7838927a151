"""Which faults the state of a running agent amounts to, in plain words and with what to do about each."""

from typing import TYPE_CHECKING

from edge_agent.core.fields import SECOND, format_duration

if TYPE_CHECKING:
    from edge_agent.agent import Agent

_OPENING = 2 * SECOND
"""A source that is being opened is no fault yet."""
_FULL = 8_000

Faults = dict[str, tuple[str, str]]
"""{subject: (what, hint)}"""


def current_faults(agent: "Agent") -> Faults:
    """Return the faults that are seen by looking: those of sources, delivery, the disk and the queue."""
    return {**_sources(agent), **_delivery(agent), **_storage(agent)}


def _sources(agent: "Agent") -> Faults:
    now = agent.clock.now()
    return {
        f"source {name}": (f"source {name}: {link.error}", link.hint)
        for name, link in agent.desk.links().items()
        if not link.online and now - link.since >= _OPENING
    }


def _delivery(agent: "Agent") -> Faults:
    faults: Faults = {}
    summary = agent.outbox.summary()
    if summary.waiting_auth:
        what = f"auth: IoTCall refuses the AuthCode; {summary.waiting_auth} calls wait"
        faults["auth"] = (what, "compare it with the console's account page; it is read again when its file changes")
    elif agent.auth.trouble is not None:
        what = f"auth: the AuthCode's file went bad, the last good one is used: {agent.auth.trouble}"
        faults["auth"] = (what, "mend the file: the agent would not start again with it")
    if agent.sender.reachable is False and summary.waiting_line:
        what = f"iotcall: cannot be reached, {summary.waiting_line} waiting: {summary.line_error or 'no answer'}"
        hint = "check the router and the name servers; the calls go out when the line is back"
        if summary.line_taken:
            hint = "something on the way answers in its place: sign in at the captive portal, or set iotcall.proxy"
        faults["iotcall"] = (what, hint)
    if agent.sender.clock_suspect:
        what = "clock: TLS fails as if this machine's date were wrong"
        faults["clock"] = (what, "let the machine reach a time server, or set the clock")
    for rule, error in {**summary.stuck_rules, **summary.failed_rules}.items():
        if rule in agent.config.iotcall.rules:
            what = f"rule {rule}: its last call was not delivered: {error}"
            hint = "compare its url_key with the console; then edge-agent outbox retry"
            if rule not in summary.failed_rules:
                what = f"rule {rule}: a call waits, tried several times: {error}"
                hint = "it is tried again; edge-agent outbox list shows when. Ring by other means meanwhile"
            faults[f"rule {rule}"] = (what, hint)
    return faults


def _storage(agent: "Agent") -> Faults:
    faults: Faults = {}
    error = agent.engine_thread.commit_error or agent.store.trouble
    if error is not None:
        faults["disk"] = (f"disk: the outbox cannot be written: {error}", "make room, or look at the SD card")
    if agent.store.set_aside is not None:
        faults["database"] = (f"database: {agent.store.set_aside}", "its calls can be looked up in that file")
    waiting = len(agent.inbox)
    if waiting >= _FULL:
        age = format_duration(max(agent.clock.now() - agent.engine_thread.beat_at, 0))
        what = f"queue: {waiting} readings wait for the engine (last turn {age} ago, {agent.inbox.coalesced} coalesced)"
        faults["queue"] = (what, "let the sensors send less often, or subscribe to fewer topics")
    return faults
