"""What a machine tells of itself, on a fake /sys: a Raspberry Pi, a PC, a machine that tells nothing."""

import os
from pathlib import Path

import pytest

from edge_agent.system.board import Board, disk_free_percent

THROTTLED = "devices/platform/soc/soc:firmware/get_throttled"


def sys_of(root: Path, files: dict[str, str]) -> Path:
    """Make files below `root`, {path: content}."""
    for path, content in files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return root


def zone(number: int, kind: str, temp: str) -> dict[str, str]:
    folder = f"class/thermal/thermal_zone{number}"
    return {f"{folder}/type": kind + "\n", f"{folder}/temp": temp + "\n"}


@pytest.mark.parametrize(
    ("zones", "wanted"),
    [
        ([("cpu-thermal", "48312")], 48.312),  # a Raspberry Pi
        ([("acpitz", "27800"), ("iwlwifi_1", "51000"), ("x86_pkg_temp", "43000")], 43.0),  # a PC
        ([("gpu-thermal", "70000"), ("cpu0-thermal", "50000"), ("cpu1-thermal", "52000")], 52.0),
        ([("acpitz", "27800"), ("battery", "31000")], 27.8),  # none says that it is the processor's
        ([("cpu-thermal", "-274000"), ("soc-thermal", "40000")], 40.0),  # a zone without its sensor
        ([("cpu-thermal", "-12500")], -12.5),
        ([("cpu-thermal", "")], None),
        ([("cpu-thermal", "garbage")], None),
        ([], None),
    ],
)
def test_the_processors_temperature(tmp_path: Path, zones: list[tuple[str, str]], wanted: float | None) -> None:
    """In degrees Celsius; the processor's zone by its name, the hottest of several."""
    for number, (kind, temp) in enumerate(zones):
        sys_of(tmp_path, zone(number, kind, temp))
    assert Board(tmp_path).cpu_temperature() == wanted


def test_a_zone_that_goes_and_comes_back_under_another_number(tmp_path: Path) -> None:
    board = Board(sys_of(tmp_path, zone(0, "cpu-thermal", "50000")))
    assert board.cpu_temperature() == 50.0
    (tmp_path / "class/thermal/thermal_zone0/temp").unlink()
    assert board.cpu_temperature() is None
    sys_of(tmp_path, zone(10, "cpu-thermal", "51000"))
    sys_of(tmp_path, {"class/thermal/cooling_device0/type": "Processor"})
    assert board.cpu_temperature() == 51.0


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ({THROTTLED: "0\n"}, False),
        ({THROTTLED: "50005\n"}, True),
        ({THROTTLED: "0x50000\n"}, True),  # since the kernel looked last
        ({THROTTLED: "1\n"}, True),
        ({THROTTLED: "80008\n"}, False),  # too hot, and the voltage is right
        ({THROTTLED: "?\n"}, None),
        ({"class/hwmon/hwmon1/name": "rpi_volt\n", "class/hwmon/hwmon1/in0_lcrit_alarm": "1\n"}, True),
        ({"class/hwmon/hwmon1/name": "rpi_volt\n", "class/hwmon/hwmon1/in0_lcrit_alarm": "0\n"}, False),
        ({"class/hwmon/hwmon1/name": "coretemp\n", "class/hwmon/hwmon1/in0_lcrit_alarm": "1\n"}, None),
        ({"class/hwmon/hwmon1/name": "rpi_volt\n"}, None),
        (
            {
                "class/hwmon/hwmon0/name": "cpu_thermal\n",
                "class/hwmon/hwmon2/name": "rpi_volt\n",
                "class/hwmon/hwmon2/in0_lcrit_alarm": "0\n",
                THROTTLED: "50005\n",
            },
            False,  # hwmon first: newer kernels complain of who reads the other
        ),
        ({}, None),
    ],
)
def test_under_voltage_where_the_board_tells(tmp_path: Path, files: dict[str, str], *, wanted: bool | None) -> None:
    """A Raspberry Pi's kernel tells by hwmon, older ones by get_throttled; other machines do not."""
    assert Board(sys_of(tmp_path, files)).undervoltage() is wanted


def test_under_voltage_is_looked_for_anew_when_its_file_goes(tmp_path: Path) -> None:
    folder = "class/hwmon/hwmon1"
    board = Board(sys_of(tmp_path, {f"{folder}/name": "rpi_volt", f"{folder}/in0_lcrit_alarm": "1"}))
    assert board.undervoltage() is True
    (tmp_path / folder / "in0_lcrit_alarm").unlink()
    assert board.undervoltage() is None
    sys_of(tmp_path, {THROTTLED: "0"})
    assert board.undervoltage() is False


def test_free_room_is_counted_as_df_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """100 blocks, 40 of them free, 5 of these for root: of the 95 that users can have, 35 are free."""
    disk = os.statvfs_result((4096, 4096, 100, 40, 35, 10, 10, 10, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _: disk)
    assert disk_free_percent(tmp_path) == pytest.approx(100 * 35 / 95, abs=0.01)
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result((4096, 4096, 0, 0, 0, 0, 0, 0, 0, 255)))
    assert disk_free_percent(tmp_path) is None


def test_this_machines_own_disk_and_a_folder_that_is_not_there(tmp_path: Path) -> None:
    free = disk_free_percent(tmp_path)
    assert free is not None
    assert 0 <= free <= 100
    assert disk_free_percent(tmp_path / "gone") is None


def test_this_machine_answers_or_says_nothing() -> None:
    """Whatever runs the tests: nothing raises."""
    board = Board()
    temperature = board.cpu_temperature()
    assert temperature is None or -50 < temperature < 150
    assert board.undervoltage() in (True, False, None)
