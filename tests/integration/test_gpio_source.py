"""GPIO sources on gpiozero's mock pins, and without any chip."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gpiozero import Device
from gpiozero.pins.mock import MockFactory

from tests.helpers import wait_until
from tests.recording import Running

Run = Callable[..., Running]


@pytest.fixture
def factory(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Mock pins, as the environment asks for them."""
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "mock")
    made = MockFactory()
    monkeypatch.setattr(Device, "pin_factory", made)
    yield made
    made.reset()


def test_contact_closed_at_start_is_a_reading(factory: Any, run: Run) -> None:
    pin = factory.pin(17)
    pin.pull = "up"
    pin.drive_low()
    intake = run({"door": {"type": "gpio", "pin": 17}}).intake
    wait_until(lambda: intake.is_online("door"))
    assert intake.readings == [("door", True)]


@pytest.mark.parametrize(
    ("pull", "active", "at_rest"),
    [("up", None, False), ("up", "high", True), ("down", None, False), ("down", "low", True), ("none", "high", False)],
)
def test_levels_and_edges(factory: Any, run: Run, pull: str, active: str | None, at_rest: bool) -> None:  # noqa: FBT001 - a parameter of the table
    table = {"type": "gpio", "pin": "GPIO4", "pull": pull} | ({} if active is None else {"active": active})
    intake = run({"door": table}).intake
    wait_until(lambda: intake.is_online("door"))
    pin = factory.pin(4)
    change, back = (pin.drive_low, pin.drive_high) if pull == "up" else (pin.drive_high, pin.drive_low)
    change()
    back()
    change()
    assert intake.values("door") == [at_rest, not at_rest, at_rest, not at_rest]


def test_level_whose_edge_was_lost_is_read_again_within_about_a_second(factory: Any, run: Run) -> None:
    intake = run({"door": {"type": "gpio", "pin": 17}}).intake
    wait_until(lambda: intake.is_online("door"))
    pin = factory.pin(17)
    pin._state = False  # noqa: SLF001 - the level without its edge
    began = time.monotonic()
    wait_until(lambda: intake.values("door") == [False, True])
    assert time.monotonic() - began < 2.0
    time.sleep(1.2)
    assert intake.values("door") == [False, True]  # read again, the same, and not said again


def test_error_in_the_intake_does_not_reach_the_drivers_thread(factory: Any, run: Run) -> None:
    running = run({"door": {"type": "gpio", "pin": 17}})
    wait_until(lambda: running.intake.is_online("door"))
    running.supervisor._keepers["door"]._intake.reading = None  # type: ignore[assignment] # noqa: SLF001 - as broken as can be
    factory.pin(17).drive_low()


def test_one_pin_serves_one_source(factory: Any, run: Run) -> None:
    del factory
    intake = run({"door": {"type": "gpio", "pin": 17}, "gate": {"type": "gpio", "pin": "BOARD11"}}).intake
    wait_until(lambda: intake.state("door") != "not opened yet" and intake.state("gate") != "not opened yet")
    states = sorted([intake.state("door"), intake.state("gate")])
    assert states[0].startswith("GPIO17 is already read by source")
    assert states[1] == "online"


@pytest.mark.parametrize("pin", ["GPIO99", "J8:1"])
def test_name_that_is_no_input_is_said(factory: Any, run: Run, pin: str) -> None:
    del factory
    intake = run({"door": {"type": "gpio", "pin": pin}}).intake
    wait_until(lambda: "cannot be opened" in intake.state("door"))


def test_without_chip_or_lgpio_the_source_is_offline_with_a_hint_and_tried_again(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    if Path("/dev/gpiochip0").exists():
        pytest.skip("this machine has a GPIO chip")
    monkeypatch.delenv("GPIOZERO_PIN_FACTORY", raising=False)
    monkeypatch.setenv("LG_WD", os.environ.get("TMPDIR", "/tmp"))  # noqa: S108 - lgpio's pipe, where it is installed
    running = run({"door": {"type": "gpio", "pin": 17}})
    wait_until(lambda: running.intake.state("door") != "not opened yet")
    assert "lgpio" in running.intake.state("door") or "GPIO chip" in running.intake.state("door")
    assert running.intake.states[-1][2]
    assert any(thread.name == "source:door" for thread in threading.enumerate())


def test_import_of_lgpio_leaves_no_pipe_behind_and_the_process_where_it_is(tmp_path: Path) -> None:
    """lgpio 0.2 makes `.lgd-nfy0` in $LG_WD or the working directory, and moves there."""
    modules = tmp_path / "modules"
    modules.mkdir()
    (modules / "lgpio.py").write_text(
        "import os\nos.chdir(os.environ.get('LG_WD', '.'))\nos.mkfifo('.lgd-nfy0')\ndef gpiochip_open(n): pass\n"
    )
    here = tmp_path / "here"
    here.mkdir()
    program = (
        "import os\nfrom edge_agent.sources.gpio import import_lgpio\nimport_lgpio()\n"
        "print(os.getcwd(), os.listdir('.'), os.environ['LG_WD'])"
    )
    root = Path(__file__).parents[2]
    environment = {key: value for key, value in os.environ.items() if key not in ("LG_WD", "RUNTIME_DIRECTORY")}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=here,
        env=environment | {"PYTHONPATH": f"{modules}:{root}", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    where, files, work = done.stdout.split()
    assert (where, files) == (str(here), "[]")
    assert not Path(work).exists()


def test_stub_of_lgpio_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lgpio.py").write_text("")
    root = Path(__file__).parents[2]
    program = "from edge_agent.sources.gpio import import_lgpio\nimport_lgpio()"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}:{root}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "empty stub" in done.stderr
