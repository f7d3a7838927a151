"""The benchmarks run, measure both sides, and print their table. No figure is judged: machines are noisy."""

import subprocess
import sys
from pathlib import Path

from tests.helpers import need

ROOT = Path(__file__).parents[2]


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_commit_prints_its_line() -> None:
    """One subject can be had by itself; its line names both sides and their ratio."""
    done = _run("--quick", "commit")
    assert done.returncode == 0, done.stderr
    header, line = done.stdout.splitlines()[1:3]
    assert header.split() == ["floor", "agent", "ratio", "target"]
    assert line.startswith("commit of a call, p50 ")
    assert line.count(" ms") == 2
    assert line.endswith(" x")


def test_throughput_counts_every_message() -> None:
    """The flood goes through broker, floor and daemon; a lost message would be exit status 1."""
    need("mosquitto")
    done = _run("--quick", "throughput")
    assert done.returncode == 0, done.stderr
    assert "BROKEN" not in done.stderr
    for qos in (0, 1):
        assert f"QoS {qos}, readings/s" in done.stdout


def test_unknown_subject_is_refused() -> None:
    """A name that is no subject ends it before anything is started, and says which there are."""
    done = _run("speed")
    assert done.returncode == 2
    assert "latency, throughput, commit, start" in done.stderr
