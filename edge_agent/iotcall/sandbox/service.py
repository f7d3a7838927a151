"""The service behind the sandbox's HTTP: rules, activations and logs; no sockets here."""

import hashlib
import re
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from urllib.parse import parse_qsl, unquote, urlsplit

from edge_agent.iotcall.sandbox import phones
from edge_agent.iotcall.sandbox.numbers import FormError, Number, RuleKind, check_count, parse_form
from edge_agent.iotcall.sandbox.phones import JAPAN, Activation, Person

_KEY = re.compile(r"[A-Za-z0-9_-]{1,128}")
_ACTIVATION_ID = re.compile(r"[0-9]{22}")
_LOGS = {"calllog": "call", "smslog": "sms"}
_ACCOUNT_LOGS = {"callog": "call", "smslog": "sms"}  # the manual spells the first with one l, here only
_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came; header names in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def parts(self) -> list[str]:
        """Return the parts of the path."""
        return [unquote(part) for part in urlsplit(self.target).path.strip("/").split("/")]

    @property
    def url_key(self) -> str | None:
        """Return the URL key in the path of a request about one rule."""
        parts = self.parts
        return parts[1] if len(parts) > 2 and parts[0] == "pattern" else None  # noqa: PLR2004 - pattern/KEY/…

    @property
    def is_call(self) -> bool:
        """Return whether it asks to trigger a rule."""
        return self.method == "POST" and len(self.parts) == 3 and self.parts[::2] == ["pattern", "call"]  # noqa: PLR2004


@dataclass(frozen=True, slots=True)
class Answer:
    """A JSON answer."""

    status: int
    content: Mapping[str, object]
    note: str = ""
    """What was done, for people."""


@dataclass(frozen=True, slots=True)
class Call:
    """One `POST …/call` that came in, and whether it triggered the rule."""

    at: int
    """CLOCK_BOOTTIME in microseconds."""
    url_key: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    activated: bool
    fault: str | None
    """The fault that it met."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule as it would stand in the web console."""

    url_key: str
    rule_id: str
    kind: RuleKind = RuleKind.NORMAL
    numbers: tuple[Number, ...] = (Number("08043391234"),)
    sms: bool = True


@dataclass(slots=True)
class Service:
    """IoTCall's account: answers requests. Safe from any thread."""

    auth_code: str
    speed: float = 1.0
    lag_s: float = 600.0
    """How far the logs are behind, at speed 1."""
    keys: Collection[str] | None = None
    """The URL keys that exist; None: each of the right form does, from its first use on."""
    kind: RuleKind = RuleKind.NORMAL
    person: Person = field(default_factory=Person)
    """How people behave that `people` (by national number) does not name."""
    people: dict[str, Person] = field(default_factory=dict)
    clock: Callable[[], float] = time.time
    on_activation: Callable[[Activation], None] | None = None
    rules: dict[str, Rule] = field(default_factory=dict)
    activations: list[Activation] = field(default_factory=list)
    _newest: dict[str, float] = field(default_factory=dict)
    """Each rule's newest activation's instant."""
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def handle(self, request: Request) -> Answer:
        """Answer a request as the service would; a status other than "ok" is a refusal."""
        if request.headers.get("authorization", "").encode("latin-1", "replace") != self.auth_code.encode():
            return _refusal(401, "認証に失敗しました。")
        with self._lock:
            return self._route(request)

    def rule(self, url_key: str) -> Rule | None:
        """Return the rule of a URL key, made where it is new and may be; None where there is none."""
        with self._lock:
            known = self.rules.get(url_key)
            if known is not None:
                return known
            if not _KEY.fullmatch(url_key) or (self.keys is not None and url_key not in self.keys):
                return None
            numbers = (Number("08043391234"),) if self.kind is RuleKind.NORMAL else _TWO
            made = Rule(url_key, _rule_id(url_key), self.kind, numbers)
            self.rules[url_key] = made
            return made

    def set_rule(self, url_key: str, kind: RuleKind, numbers: tuple[Number, ...], *, sms: bool) -> None:
        """Make or change a rule, as one would in the console."""
        with self._lock:
            self.rules[url_key] = Rule(url_key, _rule_id(url_key), kind, numbers, sms)

    def _route(self, request: Request) -> Answer:
        match request.parts:
            case ["pattern", name] if name in _ACCOUNT_LOGS:
                return self._when_get(request, lambda: self._log(request, _ACCOUNT_LOGS[name], None))
            case ["pattern", url_key, *rest] if rest:
                rule = self.rule(url_key)
                if rule is not None:
                    return self._route_rule(request, rule, rest)
        return _refusal(404, "見つかりません。")

    def _route_rule(self, request: Request, rule: Rule, rest: list[str]) -> Answer:
        match rest:
            case ["call"]:
                return self._activate(rule) if request.method == "POST" else _wrong_method()
            case ["tel"]:
                return self._numbers(request, rule)
            case [name] if name in _LOGS:
                return self._when_get(request, lambda: self._log(request, _LOGS[name], rule))
            case [name, "latest"] if name in _LOGS:
                return self._when_get(request, lambda: self._latest(_LOGS[name], rule))
            case [name] if _ACTIVATION_ID.fullmatch(name):
                return self._when_get(request, lambda: self._one(rule, name))
        return _refusal(404, "見つかりません。")

    @staticmethod
    def _when_get(request: Request, answer: Callable[[], Answer]) -> Answer:
        return answer() if request.method == "GET" else _wrong_method()

    def _activate(self, rule: Rule) -> Answer:
        if not any(number.check == "1" for number in rule.numbers):
            return _refusal(200, "電話番号が登録されていません。")
        at = self.clock()
        # Two activations of one rule within a second would share an id: the later one takes the next second's.
        at = max(at, int(self._newest.get(rule.rule_id, 0.0)) + 1.0)
        self._newest[rule.rule_id] = at
        calls = phones.plan(rule.kind, rule.numbers, self.people, self.person, at, self.speed)
        texts = phones.texts(rule.numbers, at, self.speed) if rule.sms else ()
        made = Activation(phones.activation_id(rule.rule_id, at), rule.url_key, rule.rule_id, at, calls, texts)
        self.activations.append(made)
        if self.on_activation is not None:
            self.on_activation(made)
        return Answer(
            200,
            {"status": "ok", "message": "手動発信を行いました。"},
            f"activation {made.id}, phoning {len(calls)}",
        )

    def _numbers(self, request: Request, rule: Rule) -> Answer:
        if request.method == "GET":
            return Answer(200, {"status": "ok", "list": [number.as_json() for number in rule.numbers]})
        if request.method != "PUT":
            return _wrong_method()
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
            return _refusal(422, f"Content-Type must be {_FORM}")
        try:
            numbers = parse_form(request.body)
            check_count(rule.kind, numbers)
        except FormError as exc:
            return _refusal(422, str(exc))
        self.rules[rule.url_key] = replace(rule, numbers=numbers)
        return Answer(200, {"status": "ok", "message": "電話番号を更新しました。"}, f"{len(numbers)} numbers now")

    def _seen_at(self) -> float:
        """Return the instant whose state the logs show."""
        return self.clock() - self.lag_s / self.speed

    def _log(self, request: Request, kind: str, rule: Rule | None) -> Answer:
        try:
            since, until = _range(request)
        except ValueError:
            return _refusal(422, "日時の形式が正しくありません。")
        found = [item for item in self.activations if rule is None or item.rule_id == rule.rule_id]
        records = [record for item in found for record in item.records(kind, self._seen_at())]
        time_field = "start_time" if kind == "call" else "created_at"
        return _listed([record for record in records if since <= str(record[time_field]) <= until])

    def _latest(self, kind: str, rule: Rule) -> Answer:
        """Return the latest activation that the logs have caught up with."""
        seen_at = self._seen_at()
        seen = [item for item in self.activations if item.rule_id == rule.rule_id and item.at <= seen_at]
        return _listed(seen[-1].records(kind, seen_at) if seen else [])

    def _one(self, rule: Rule, name: str) -> Answer:
        found = [item for item in self.activations if item.rule_id == rule.rule_id and item.id == name]
        if not found:
            return _refusal(404, "発動IDが見つかりません。")
        records = {kind: found[0].records(kind, self._seen_at()) for kind in ("sms", "call")}
        return Answer(200, {"status": "ok", "0": {"sms_logs": records["sms"]}, "1": {"call_logs": records["call"]}})


_TWO = (Number("08043391234"), Number("08043391235"))


def _rule_id(url_key: str) -> str:
    return f"0008{int(hashlib.sha256(url_key.encode()).hexdigest(), 16) % 1_000_000:06}"


def _refusal(status: int, message: str) -> Answer:
    return Answer(status, {"status": "error", "message": message}, f"refused: {message}")


def _wrong_method() -> Answer:
    return _refusal(405, "Method Not Allowed")


def _listed(records: list[dict[str, object]]) -> Answer:
    return Answer(200, {"status": "ok", "list": records}, f"{len(records)} records")


def _range(request: Request) -> tuple[str, str]:
    """Return the first and last time asked for, as the logs write times: such texts sort by time."""
    fields = dict(parse_qsl(urlsplit(request.target).query, keep_blank_values=True))
    fields |= dict(parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True))
    since = _moment(fields.get("start_datetime"), "00:00:00")
    until = _moment(fields.get("end_datetime"), "23:59:59")
    return since or "", until or "9999"


def _moment(text: str | None, time_of_day: str) -> str | None:
    if not text:
        return None
    whole = text if " " in text else f"{text} {time_of_day}"
    return datetime.strptime(whole, "%Y-%m-%d %H:%M:%S").replace(tzinfo=JAPAN).strftime("%Y-%m-%d %H:%M:%S")
