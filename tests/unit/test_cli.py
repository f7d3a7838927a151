"""The command line itself: exit statuses, where --config may stand, lines instead of tracebacks, and quick starts."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edge_agent import __version__
from edge_agent.cli import COMMANDS, CliError
from tests.helpers import wait_until

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "config.example.toml"
PROGRAM = [sys.executable, "-c", "from edge_agent.cli import main; main(prog_name='edge-agent')"]
CLEAN = {key: value for key, value in os.environ.items() if not key.startswith(("EDGE_AGENT_", "IOTCALL_", "XDG_"))}


def run(*arguments: str | Path, cwd: Path = ROOT, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *arguments],
        cwd=cwd,
        env=CLEAN | {"PYTHONPATH": str(ROOT)} | env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.toml"
    path.write_text("[web]\nlisten = ''\n[agent]\nstate_dir = 'state'\n", encoding="utf-8")
    return path


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    path = tmp_path / "bad.toml"
    path.write_text("[agent]\nnam = 'x'\nclock = 1\n", encoding="utf-8")
    return path


def test_check_of_the_example() -> None:
    """On a fresh machine: no GPIO, no broker, no port, nothing but the AuthCode."""
    done = run("check", "--config", EXAMPLE, IOTCALL_AUTH_CODE="x")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{EXAMPLE}: ok, 8 sources, 17 alarms, 2 IoTCall rules\n"


def test_check_writes_nothing(good: Path) -> None:
    before = sorted(good.parent.iterdir())
    assert run("check", "--config", good, cwd=good.parent).returncode == 0
    assert sorted(good.parent.iterdir()) == before


def test_check_tells_everything(bad: Path) -> None:
    done = run("check", "--config", bad)
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr.splitlines() == [
        f'{bad}:2: agent.nam: unknown key; did you mean "name"?',
        f'{bad}:3: agent.clock: is a number; must be "auto" or "trusted"',
    ]


def test_check_in_json(good: Path, bad: Path) -> None:
    done = run("check", "--json", "--config", good)
    assert (done.returncode, json.loads(done.stdout), done.stderr) == (0, [], "")
    done = run("check", "--json", "--config", bad)
    assert (done.returncode, done.stderr) == (78, "")
    first = {"file": str(bad), "line": 2, "key": "agent.nam", "message": "unknown key", "hint": 'did you mean "name"?'}
    assert json.loads(done.stdout)[0] == first


@pytest.mark.parametrize("command", [["check"], ["run"], ["status"], ["outbox", "list"], ["inject", "a", "1"]])
def test_every_command_that_reads_a_bad_configuration(bad: Path, command: list[str]) -> None:
    done = run(*command, "--config", bad)
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr.startswith(f"{bad}:2: agent.nam: ")


def test_where_the_configuration_is_named(good: Path, bad: Path) -> None:
    """Before the command, behind it, in the environment; the nearest wins. Else the default."""
    assert run("--config", good, "check").returncode == 0
    assert run("check", "--config", good).returncode == 0
    assert run("check", f"--config={good}").returncode == 0
    assert run("check", EDGE_AGENT_CONFIG=str(good)).returncode == 0
    assert run("--config", good, "check", EDGE_AGENT_CONFIG=str(bad)).returncode == 0
    assert run("--config", bad, "check", "--config", good).returncode == 0
    done = run("check", "--config", "good.toml", cwd=good.parent)
    assert done.stdout.startswith("good.toml: ok")


@pytest.mark.skipif(Path("/etc/edge-agent/config.toml").exists(), reason="this machine has a configuration")
def test_the_default() -> None:
    done = run("check")
    assert done.returncode == 78
    assert done.stderr.startswith("/etc/edge-agent/config.toml:1: there is no such file; ")


def test_wrong_usage() -> None:
    for arguments in (["chek"], ["check", "--jsn"], ["check", "x"], ["--config"], []):
        done = run(*arguments)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr


def test_version() -> None:
    assert run("--version").stdout == f"edge-agent, version {__version__}\n"


@pytest.mark.parametrize("command", ["check", "schema"])
def test_help_has_an_example(command: str) -> None:
    done = run(command, "--help")
    assert done.returncode == 0
    assert f"Example: edge-agent {command}" in done.stdout
    assert "--config PATH" in done.stdout


def test_help_lists_all_commands() -> None:
    shown = run("--help").stdout
    assert all(f"\n  {name} " in shown for name in COMMANDS)


def test_schema() -> None:
    assert json.loads(run("schema").stdout)["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_an_error_is_one_line() -> None:
    assert CliError("it\nfailed", "try\tagain").message == "it failed; try again"
    assert CliError("it failed").message == "it failed"
    assert CliError.exit_code == 1


def test_a_reader_that_goes_away() -> None:
    """`edge-agent schema | head -1` ends without a word."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*PROGRAM, "schema"], cwd=ROOT, env=CLEAN, stdout=writer, stderr=subprocess.PIPE, timeout=60, check=False
    )
    os.close(writer)
    assert done.stderr == b""


def test_a_full_disk() -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*PROGRAM, "schema"], cwd=ROOT, env=CLEAN, stdout=full, stderr=subprocess.PIPE, timeout=60, check=False
        )
    assert done.returncode == 1
    assert done.stderr.decode().splitlines() == ["edge-agent: [Errno 28] No space left on device"]


def test_interrupted(tmp_path: Path) -> None:
    """Ctrl-C while something takes long: no traceback."""
    fifo = tmp_path / "config.toml"
    os.mkfifo(fifo)
    with subprocess.Popen(
        [*PROGRAM, "check", "--config", str(fifo)], cwd=ROOT, env=CLEAN, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=_heed_interrupts,  # noqa: PLW1509 - no other thread runs here
    ) as process:  # fmt: skip
        try:
            writer = _open_behind_reader(fifo)
            wait_until(lambda: _waits_in_read(process.pid, fifo))
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=30)
            os.close(writer)
        finally:
            process.kill()
    assert process.returncode == 1
    assert b"Traceback" not in said


def _heed_interrupts() -> None:
    """Undo what a shell does to what it starts in the background: a Python that inherits it never hears of Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _open_behind_reader(fifo: Path) -> int:
    """Return the pipe, opened for writing, which works once somebody reads from it."""
    opened: list[int] = []

    def attempt() -> bool:
        try:
            opened.append(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:
            return False
        return True

    wait_until(attempt)
    return opened[0]


def _waits_in_read(pid: int, fifo: Path) -> bool:
    process = Path(f"/proc/{pid}")
    has_it = any(link.readlink() == fifo for link in (process / "fd").iterdir())
    return has_it and (process / "stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] == "S"


def test_names_that_are_no_text(tmp_path: Path) -> None:
    """A path of any bytes is told, not a reason for a traceback."""
    path = os.fsencode(tmp_path) + b"/\xff\n.toml"
    done = run("check", "--config", os.fsdecode(path))
    assert done.returncode == 78
    assert len(done.stderr.splitlines()) == 1
    Path(os.fsdecode(path)).write_text("[web]\nlisten=''\n", encoding="utf-8")
    done = run("check", "--config", os.fsdecode(path))
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 1)


@pytest.mark.parametrize(
    ("command", "unwanted"),
    [
        (["--help"], ["pydantic", "requests", "paho", "serial", "gpiozero", "sqlite3", "bottle"]),
        (["check", "--config", "good.toml"], ["requests", "paho", "serial", "gpiozero", "jmespath", "lgpio", "bottle"]),
        (["run", "--help"], ["gpiozero", "serial", "lgpio", "jpholiday", "rich", "tomlkit"]),
    ],
)
def test_what_a_start_does_not_import(good: Path, command: list[str], unwanted: list[str]) -> None:
    """Start-up time and memory count on a small board."""
    code = "import sys\nfrom edge_agent.cli import main\nmain(standalone_mode=False)\n"
    code = code.replace("main(", "try:\n    main(") + "except SystemExit: pass\nprint(*sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", code, *command],
        cwd=good.parent,
        env=CLEAN | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert not {module.partition(".")[0] for module in done.stderr.split()} & set(unwanted)
