"""The control door, /_sandbox/…: what is switched and seen from outside. IoTCall itself has no such thing."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from edge_agent.iotcall.sandbox.faults import Fault, FaultKind, seconds
from edge_agent.iotcall.sandbox.phones import Activation, Person
from edge_agent.iotcall.sandbox.service import Answer, Call, Request

PREFIX = "/_sandbox/"


class Switches(Protocol):
    """What the door works on."""

    @property
    def url(self) -> str: ...  # noqa: D102
    @property
    def calls(self) -> list[Call]: ...  # noqa: D102
    @property
    def activations(self) -> list[Activation]: ...  # noqa: D102
    @property
    def people(self) -> dict[str, Person]: ...  # noqa: D102
    @property
    def faults(self) -> Mapping[str | None, Fault]: ...  # noqa: D102
    def set_fault(self, fault: Fault | None, url_key: str | None = None, for_s: float | None = None) -> None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Opened:
    """The door's answer, and what is done once it is sent (taking the service down would cut it off)."""

    answer: Answer
    then: Callable[[], None] | None = None


def open_door(sandbox: Switches, request: Request) -> Opened:
    """Answer a request to the door."""
    name = request.target.partition("?")[0].removeprefix(PREFIX)
    try:
        match request.method, name:
            case "GET", "calls":
                return Opened(Answer(200, {"calls": [_call(call) for call in sandbox.calls]}))
            case "GET", "state":
                return Opened(Answer(200, _state(sandbox)))
            case "POST", "fault":
                return _fault(sandbox, _object(request))
            case "POST", "person":
                return _person(sandbox, _object(request))
    except ValueError as exc:
        return Opened(Answer(400, {"error": str(exc)}))
    return Opened(Answer(404, {"error": "use GET calls, GET state, POST fault or POST person"}))


def _object(request: Request) -> dict[str, object]:
    content = json.loads(request.body)
    if not isinstance(content, dict):
        raise ValueError("the body must be a JSON object")  # noqa: TRY004 - people's input, not a programmer's
    return content


def _fault(sandbox: Switches, content: Mapping[str, object]) -> Opened:
    if "fault" not in content:
        raise ValueError('give {"fault": NAME}, or "none" to end it')
    fault = Fault.parse(str(content["fault"] or "none"))
    if fault is not None and content.get("delay") is not None:
        fault = Fault(fault.kind, seconds(content["delay"]))
    rule = content.get("rule")
    url_key = None if rule is None else str(rule)
    for_s = None if content.get("seconds") is None else seconds(content["seconds"])
    answer = Answer(200, {"fault": None if fault is None else str(fault), "rule": url_key, "seconds": for_s})
    if fault is not None and (fault.kind in (FaultKind.DOWN, FaultKind.RESET_EARLY)):
        if for_s is None:
            raise ValueError(f"{fault.kind} needs seconds: this door is closed with the rest until they are over")
        if url_key is not None:
            raise ValueError(f"{fault.kind} is for the whole service; it takes no rule")
        return Opened(answer, lambda: sandbox.set_fault(fault, None, for_s))
    sandbox.set_fault(fault, url_key, for_s)
    return Opened(answer)


def _person(sandbox: Switches, content: Mapping[str, object]) -> Opened:
    tel, does = str(content.get("tel", "")), str(content.get("does", ""))
    if not tel.isdecimal():
        raise ValueError("tel must be a national number, digits only")
    sandbox.people[tel] = Person.parse(does, seconds(content.get("after", 5.0)))
    return Opened(Answer(200, {"tel": tel, "does": does}))


def _call(call: Call) -> dict[str, object]:
    return {
        "at": call.at,
        "url_key": call.url_key,
        "headers": dict(call.headers),
        "body": call.body.decode("utf-8", "replace"),
        "activated": call.activated,
        "fault": call.fault,
    }


def _state(sandbox: Switches) -> dict[str, object]:
    faults = dict(sandbox.faults)
    fault = faults.pop(None, None)
    return {
        "url": sandbox.url,
        "fault": None if fault is None else str(fault),
        "faults": {key: str(value) for key, value in faults.items()},
        "calls": len(sandbox.calls),
        "activations": [{"id": item.id, "url_key": item.url_key} for item in sandbox.activations],
        "people": {tel: str(person.does) for tel, person in sandbox.people.items()},
    }
