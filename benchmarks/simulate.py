"""`simulate` over a year of one reading every 10 s, beside a script that only reads the file and parses its numbers."""

import math
import os
import subprocess
import sys
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.common import ROOT, BrokenError, Size, folder
from benchmarks.figures import Row

_FLOOR = """
import csv, sys
with open(sys.argv[1], newline="") as file:
    rows = csv.reader(file)
    next(rows)
    print(sum(float(value) > -15.0 for _, _, value in rows))
"""
_AGENT = "from edge_agent.cli import main; main()"
_CONFIG = """
[agent]
timezone = "Asia/Tokyo"

[iotcall.rules.people]
url_key = "BENCH"

[mqtt.broker]
host = "127.0.0.1"

[sources.freezer]
type = "mqtt"
topic = "site/+/freezer"

[alarms.freezer-warm]
input = "freezer"
above = -15
deadband = 2
on_delay = "5m"
off_delay = "1m"
call = "people"
"""
_SHORTER = 10


def run(size: Size) -> list[Row]:
    """Return CPU seconds for the file, and the memory for it beside that for a tenth of it."""
    with ExitStack() as stack:
        home = folder(stack)
        config = home / "config.toml"
        config.write_text(_CONFIG, encoding="ascii")
        long, short = home / "long.csv", home / "short.csv"
        _write(long, size.lines)
        _write(short, size.lines // _SHORTER)
        floor_s, _ = _measured("-c", _FLOOR, long)
        agent_s, agent_mb = _measured("-c", _AGENT, "--config", config, "simulate", long, "--json")
        _, short_mb = _measured("-c", _AGENT, "--config", config, "simulate", short, "--json")
    what = f"simulate {size.lines:,} readings"
    return [
        Row(f"{what}, CPU", floor_s, agent_s, " s", limit=60),
        Row(f"{what}, RSS beside a tenth of them", short_mb, agent_mb, " MB", at_most=1.1),
    ]


def _write(path: Path, lines: int) -> None:
    """Write a freezer that warms up now and then, one reading every 10 s."""
    begin = datetime(2025, 12, 31, 15, tzinfo=UTC)
    with path.open("w", encoding="ascii") as file:
        file.write("time,point,value\n")
        for number in range(lines):
            at = begin + timedelta(seconds=10 * number)
            value = -19 + 5 * math.sin(number / 3000) + number * 7919 % 13 / 10
            file.write(f"{at.isoformat()},freezer[f1],{value:.1f}\n")


def _measured(*arguments: object) -> tuple[float, float]:
    """Run Python to its end; return CPU seconds and the largest resident memory in megabytes."""
    words = [sys.executable, *map(str, arguments)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stderr is not None
        said = process.stderr.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise BrokenError(f"{words[3:]}: {said.decode(errors='replace')}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
