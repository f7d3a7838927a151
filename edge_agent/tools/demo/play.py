"""Playing the demo's scenes: what a scene can do and see, and the account at the end, counted at IoTCall's side."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from edge_agent.iotcall.sandbox import Call
from edge_agent.tools.demo.narrator import Narrator
from edge_agent.tools.demo.stage import AUTH_CODE, RULES, Stage

_CALL_S = 10.0
_QUIET_S = 1.5
_RULE_OF = {url_key: rule for rule, url_key in RULES.items()}


@dataclass(frozen=True, slots=True)
class Scene:
    """One scene: what is told beforehand, what is done, and the calls that must come of it: {rule: number}."""

    title: str
    told: tuple[str, ...]
    act: Callable[["Play"], None]
    expected: Mapping[str, int]


class Play:
    """The scenes on a stage, told by a narrator."""

    def __init__(self, stage: Stage, narrator: Narrator, scenes: Sequence[Scene]) -> None:
        self.stage = stage
        self.narrator = narrator
        self._scenes = scenes
        self._starts: list[int] = []
        """How many calls IoTCall had received at each scene's start."""
        self._wrong: dict[int, list[str]] = {}

    def run(self) -> bool:
        """Play them all; return whether all was as told."""
        for number, scene in enumerate(self._scenes):
            self.narrator.title(f"{number + 1}  {scene.title}")
            self.narrator.plain(*(f"   {line}" for line in scene.told))
            self._starts.append(len(self.stage.sandbox.calls))
            scene.act(self)
            self._settle(scene)
        return self._account()

    # For the scenes -----------------------------------------------------------------------------------------------

    def say(self, text: str) -> None:
        """Tell what happens now."""
        self.narrator.say(text)

    def pause(self, seconds: float) -> None:
        """Let time pass."""
        self.stage.wait(lambda: False, seconds)

    def check(self, holds: object, text: str) -> None:
        """Tell whether it is so; the account at the end knows."""
        self.narrator.check(holds, text)
        if not holds:
            self._wrong.setdefault(len(self._starts) - 1, []).append(text)

    def freezer(self, name: str, temperature: float, remark: str = "") -> None:
        """Let a freezer have a temperature, and tell it."""
        self.stage.freezers.tell(name, temperature)
        self.say(f"freezer {name}: {temperature:.1f} °C{remark}")

    def await_calls(self, expected: Mapping[str, int], timeout_s: float = _CALL_S) -> list[Call]:
        """Wait for these calls ({rule: number}) of this scene, and return all that came in it."""
        wanted = Counter(expected)
        if not self.stage.wait(lambda: _count(self._calls()) >= wanted, timeout_s):
            self.check(False, f"within {timeout_s:g} s IoTCall received {_words(expected)}")
        return self._calls()

    def tell_call(self, call: Call, remark: str = "") -> None:
        """Tell a call in one line."""
        self.say(f"IoTCall received POST /pattern/{call.url_key}/call{remark}")

    # The account --------------------------------------------------------------------------------------------------

    def _settle(self, scene: Scene) -> None:
        """Wait whether a call comes too many, then count."""
        self.pause(_QUIET_S)
        received = _count(self._calls())
        wanted = Counter(scene.expected)
        so_far = "" if received == wanted else f"; it received {_words(received)}"
        self.check(received == wanted, f"IoTCall received exactly {_words(wanted)}{so_far}")

    def _calls(self, scene: int = -1) -> list[Call]:
        """Return what IoTCall received in a scene (by default in this one)."""
        ends = [*self._starts[1:], None]
        return self.stage.sandbox.calls[self._starts[scene] : ends[scene]]

    def _account(self) -> bool:
        """Print the table; return whether everything in it is right. Counted anew: a late call is in it."""
        rows = []
        wrong: list[str] = []
        for number, scene in enumerate(self._scenes):
            found = [*self._wrong.get(number, ()), *self._faulty(number, scene)]
            wrong += [f"scene {number + 1}: {text}" for text in found]
            counts = (_words(scene.expected), _words(_count(self._calls(number))))
            rows.append((f"{number + 1} {scene.title}", *counts, "NO" if found else "yes"))
        self.narrator.title("What happened")
        self.narrator.table(("scene", "calls expected", "calls received", "as told"), rows)
        self.narrator.plain("")
        for text in dict.fromkeys(wrong):
            self.narrator.plain(f"  NOT SO: {text}")
        return not wrong

    def _faulty(self, number: int, scene: Scene) -> Iterator[str]:
        calls = self._calls(number)
        received = _count(calls)
        if received != Counter(scene.expected):
            yield f"IoTCall received {_words(received)} instead of {_words(scene.expected)}"
        if not all(map(well_formed, calls)):
            yield "each call carries exactly the AuthCode and no body, and IoTCall says ok"


def well_formed(call: Call) -> bool:
    """Return whether a call is as IoTCall wants it, exactly the AuthCode and no body, and triggered its rule."""
    return call.headers.get("authorization") == AUTH_CODE and not call.body and call.activated


def _count(calls: Sequence[Call]) -> Counter[str]:
    return Counter(_RULE_OF.get(call.url_key, call.url_key) for call in calls)


def _words(counts: Mapping[str, int]) -> str:
    total = sum(counts.values())
    if not total:
        return "no call"
    rules = ", ".join(f"{rule} {number}" for rule, number in sorted(counts.items()) if number)
    return f"{total} call{'s' if total > 1 else ''} ({rules})"
