"""The sandbox's service without sockets: endpoints, forms, logs that lag, and who answers."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from edge_agent.iotcall.sandbox import Fault, FaultKind, Number, Person, RuleKind, Webhook
from edge_agent.iotcall.sandbox.phones import Does, activation_id
from edge_agent.iotcall.sandbox.service import Request, Service

KEY = "15XXXXXXXXXX28b89"
START = 1_657_826_088.0  # 2022-07-15 04:14:48 in Japan
FORM = "application/x-www-form-urlencoded"


@dataclass
class World:
    """A service and its clock."""

    now: float = START
    service: Service = field(init=False)

    def __post_init__(self) -> None:
        self.service = Service("code", clock=lambda: self.now, lag_s=600.0)

    def ask(self, method: str, target: str, body: bytes = b"", kind: str = FORM, code: str = "code") -> Any:
        answer = self.service.handle(Request(method, target, {"authorization": code, "content-type": kind}, body))
        return answer.status, answer.content

    def logs(self, name: str = "calllog") -> Any:
        status, content = self.ask("GET", f"/pattern/{KEY}/{name}")
        assert (status, content["status"]) == (200, "ok")
        return content["list"]


@pytest.fixture
def world() -> World:
    return World()


def test_call_answers_as_in_the_manual(world: World) -> None:
    assert world.ask("POST", f"/pattern/{KEY}/call") == (200, {"status": "ok", "message": "手動発信を行いました。"})


def test_activation_id_is_rule_id_and_japan_time(world: World) -> None:
    assert activation_id("0008200149", START) == "0008200149220715041448"
    world.ask("POST", f"/pattern/{KEY}/call")
    world.ask("POST", f"/pattern/{KEY}/call")
    first, second = world.service.activations
    assert first.id == activation_id(first.rule_id, START)
    assert second.id == activation_id(first.rule_id, START + 1)


@pytest.mark.parametrize("code", ["", "Code", "Bearer code", "code "])
def test_wrong_auth_code(world: World, code: str) -> None:
    status, content = world.ask("POST", f"/pattern/{KEY}/call", code=code)
    assert (status, content["status"]) == (401, "error")
    assert not world.service.activations


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/pattern",
        "/pattern/calllog",
        f"/pattern/{KEY}",
        f"/pattern/{KEY}/cal",
        "/pattern/a%20b/call",
        "/x/y/call",
        f"/pattern/{KEY}/calllog/first",
        f"/pattern/{KEY}/{'1' * 22}",
    ],
)
def test_what_there_is_not(world: World, target: str) -> None:
    for method in ("GET", "POST"):
        status, content = world.ask(method, target)
        assert status in (404, 405)
        assert content["status"] != "ok"


def test_only_known_rules(world: World) -> None:
    world.service.keys = {"known"}
    assert world.ask("POST", "/pattern/known/call")[0] == 200
    assert world.ask("POST", "/pattern/other/call")[0] == 404


def test_logs_lag_and_show_what_is_under_way(world: World) -> None:
    """Ten minutes behind: queued, ringing, in-progress, completed; the record's shape is the manual's."""
    world.ask("POST", f"/pattern/{KEY}/call")
    seen = []
    for after_s in (0.0, 599.0, 600.5, 602.0, 610.0, 640.0):
        world.now = START + after_s
        seen.append([record["status"] for record in world.logs()])
    assert seen == [[], [], ["queued"], ["ringing"], ["in-progress"], ["completed"]]
    made = world.service.activations[0]
    assert world.logs() == [
        {
            "to": "+818043391234",
            "status": "completed",
            "response_no": None,
            "duration": "20",
            "start_time": "2022-07-15 04:14:48",
            "end_time": "2022-07-15 04:15:08",
            "memo": "",
            "rule_id": made.rule_id,
            "code": made.id,
        }
    ]
    assert world.logs("smslog")[0]["status"] == "delivered"
    assert world.logs("smslog")[0]["created_at"] == "2022-07-15 04:14:48"


def test_latest_is_that_of_ten_minutes_ago(world: World) -> None:
    world.ask("POST", f"/pattern/{KEY}/call")
    assert world.logs("calllog/latest") == []
    world.now += 660
    world.ask("POST", f"/pattern/{KEY}/call")
    first, second = world.service.activations
    assert [record["code"] for record in world.logs("calllog/latest")] == [first.id]
    world.now += 660
    assert [record["code"] for record in world.logs("calllog/latest")] == [second.id]
    assert [record["code"] for record in world.logs("smslog/latest")] == [second.id]


def test_speed_scales_the_lag(world: World) -> None:
    world.service.speed = 60.0
    world.ask("POST", f"/pattern/{KEY}/call")
    world.now += 9.9
    assert not world.logs()
    world.now += 1.0
    assert world.logs()[0]["status"] == "completed"


def test_account_log_holds_all_rules(world: World) -> None:
    for key in ("one", "two"):
        world.ask("POST", f"/pattern/{key}/call")
    world.now += 700
    for name in ("callog", "smslog"):
        assert len(world.ask("GET", f"/pattern/{name}")[1]["list"]) == 2


def test_ranges(world: World) -> None:
    """One or both ends, with a blank or the date alone, in the query or the form; ends included."""
    world.ask("POST", f"/pattern/{KEY}/call")
    world.now += 700
    for fields, count in (
        ({"start_datetime": "2022-07-15 04:14:48"}, 1),
        ({"start_datetime": "2022-07-15 04:14:49"}, 0),
        ({"end_datetime": "2022-07-15 04:14:48"}, 1),
        ({"end_datetime": "2022-07-15 04:14:47"}, 0),
        ({"start_datetime": "2022-07-15", "end_datetime": "2022-07-15"}, 1),
        ({"start_datetime": "2022-07-16"}, 0),
        ({"end_datetime": "2022-07-14"}, 0),
    ):
        for target, body in ((f"?{urlencode(fields)}", b""), ("", urlencode(fields).encode())):
            for path in (f"/pattern/{KEY}/calllog", "/pattern/callog", "/pattern/smslog"):
                assert len(world.ask("GET", path + target, body)[1]["list"]) == count, fields
    assert world.ask("GET", f"/pattern/{KEY}/calllog?start_datetime={quote('15 July')}")[0] == 422


def test_one_activation(world: World) -> None:
    world.ask("POST", f"/pattern/{KEY}/call")
    made = world.service.activations[0]
    empty = {"status": "ok", "0": {"sms_logs": []}, "1": {"call_logs": []}}
    assert world.ask("GET", f"/pattern/{KEY}/{made.id}") == (200, empty)
    world.now += 700
    content = world.ask("GET", f"/pattern/{KEY}/{made.id}")[1]
    assert content["1"]["call_logs"] == world.logs()
    assert content["0"]["sms_logs"] == world.logs("smslog")


def form(*numbers: dict[str, str]) -> bytes:
    fields = {f"call_to_tels[{i}][{name}]": value for i, number in enumerate(numbers) for name, value in number.items()}
    return urlencode(fields).encode()


def number(tel: str = "08043391234", **others: str) -> dict[str, str]:
    return {"tel": tel, "group": "1", "check": "1", "international_prefix_id": "1"} | others


def test_numbers_are_replaced_and_read_back(world: World) -> None:
    wanted = [number(), number("08043391235", group="2", check="0")]
    assert world.ask("PUT", f"/pattern/{KEY}/tel", form(*wanted))[1]["status"] == "ok"
    assert world.ask("GET", f"/pattern/{KEY}/tel") == (200, {"status": "ok", "list": wanted})


def test_empty_list_is_taken_and_then_nobody_can_be_phoned(world: World) -> None:
    assert world.ask("PUT", f"/pattern/{KEY}/tel")[0] == 200
    status, content = world.ask("POST", f"/pattern/{KEY}/call")
    assert status == 200
    assert content["status"] == "error"


def without(name: str) -> dict[str, str]:
    return {key: value for key, value in number().items() if key != name}


@pytest.mark.parametrize(
    "body",
    [
        *(form(without(name)) for name in ("tel", "group", "check", "international_prefix_id")),
        form(number()).replace(b"%5Btel%5D", b"%5Btel%5D%5BText%5D"),
        form(number()).replace(b"%5B0%5D", b"%5B1%5D"),
        form(number(), number()).replace(b"%5B1%5D", b"%5B2%5D"),
        form(number("080-4339-1234")),
        form(number("+818043391234")),
        form(number("")),
        form(number(check="2")),
        form(number(group="A")),
        form(number(group="0")),
        form(number(international_prefix_id="")),
        form(number()) + b"&call_to_tels[0][tel]=1",
        form(number()) + b"&memo=x",
        b"\xff\xff",
        b'[{"tel": "08043391234"}]',
    ],
)
def test_forms_that_are_refused(world: World, body: bytes) -> None:
    before = world.ask("GET", f"/pattern/{KEY}/tel")
    status, content = world.ask("PUT", f"/pattern/{KEY}/tel", body)
    assert (status, content["status"]) == (422, "error")
    assert world.ask("GET", f"/pattern/{KEY}/tel") == before


def test_put_wants_its_content_type(world: World) -> None:
    assert world.ask("PUT", f"/pattern/{KEY}/tel", form(number()), kind="application/json")[0] == 422


@pytest.mark.parametrize("kind", [kind for kind in RuleKind if kind is not RuleKind.NORMAL])
def test_other_types_need_two_numbers(world: World, kind: RuleKind) -> None:
    world.service.kind = kind
    assert world.ask("PUT", f"/pattern/{KEY}/tel", form(number()))[0] == 422
    assert world.ask("PUT", f"/pattern/{KEY}/tel", form(number(), number("0312345678")))[0] == 200


@pytest.mark.parametrize(
    ("kind", "people", "statuses"),
    [
        (RuleKind.NORMAL, ["answers", "answers", "answers"], ["completed", "completed", "completed"]),
        (RuleKind.NORMAL, ["no-answer", "busy", "failed"], ["no-answer", "busy", "failed"]),
        (RuleKind.ROUND_ROBIN, ["no-answer", "answers", "answers"], ["no-answer", "completed"]),
        (RuleKind.ROUND_ROBIN_9, ["9", "1", "answers"], ["completed", "completed"]),
        (RuleKind.ALL, ["answers", "busy", "answers"], ["completed", "busy", "completed"]),
        (RuleKind.ALL_UNTIL_ONE, ["no-answer", "answers", "busy"], ["no-answer", "completed", "busy"]),
    ],
)
def test_who_is_phoned(world: World, kind: RuleKind, people: list[str], statuses: list[str]) -> None:
    tels = ["08000000001", "08000000002", "08000000003"]
    world.service.set_rule(KEY, kind, tuple(Number(tel) for tel in tels), sms=False)
    world.service.people.update(zip(tels, map(Person.parse, people), strict=True))
    world.ask("POST", f"/pattern/{KEY}/call")
    world.now += 1200
    assert [record["status"] for record in world.logs()] == statuses
    assert world.logs("smslog") == []


def test_in_turn_means_one_after_the_other(world: World) -> None:
    world.service.set_rule(KEY, RuleKind.NORMAL, (Number("01"), Number("02", check="0"), Number("03")), sms=True)
    world.service.people["01"] = Person(Does.NO_ANSWER)
    world.service.people["03"] = Person(digit=0)
    world.ask("POST", f"/pattern/{KEY}/call")
    world.now += 620
    assert [record["status"] for record in world.logs()] == ["ringing"]
    world.now += 600
    assert [(record["to"], record["response_no"]) for record in world.logs()] == [("+811", None), ("+813", 0)]


@pytest.mark.parametrize(
    ("country", "tel", "dialled"),
    [("1", "080", "+8180"), ("5", "0612", "+390612"), ("11", "416", "+1416"), ("99", "0", "+81")],
)
def test_numbers_as_dialled(country: str, tel: str, dialled: str) -> None:
    assert Number(tel, international_prefix_id=country).e164() == dialled


def test_faults_have_names() -> None:
    assert Fault.parse("none") is None
    assert Fault.parse("slow=2.5") == Fault(FaultKind.SLOW, 2.5)
    assert str(Fault.parse("slow=2.5")) == "slow=2.5"
    assert Fault(FaultKind.HTTP_429).wait_s == 5.0
    for text in ("", "slower", "slow=", "slow=-1", "slow=nan", "none=1"):
        with pytest.raises(ValueError):
            Fault.parse(text)


@pytest.mark.parametrize(
    "make", [lambda: Person.parse("sleeps"), lambda: Webhook("http://192.0.2.1/x"), lambda: Webhook("x")]
)
def test_nonsense_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(ValueError):
        make()
