"""The locks pin everything by hash for every target and name no index; the package builds and knows its version."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import edge_agent

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

LOCKS = {"requirements.lock": (), "requirements-demo.lock": ("demo",), "requirements-dev.lock": ("dev",)}
TARGETS = [
    (python, machine) for python in ("3.11", "3.12", "3.13") for machine in ("x86_64", "aarch64", "armv7l", "armv6l")
]

locks = pytest.mark.parametrize("lock", LOCKS)


def pins(lock: str) -> dict[str, str]:
    """Return what a lock pins: the name, and all that follows it up to the next one."""
    text = (ROOT / lock).read_text(encoding="utf-8").replace("\\\n", "")
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    return {canonicalize_name(re.split(r"[=<>\[ ;]", line)[0]): line for line in lines}


@locks
def test_every_line_is_one_version_with_its_hashes(lock: str) -> None:
    for line in pins(lock).values():
        assert re.fullmatch(r"[a-z0-9.-]+==[^ ;]+( ;[^#]+)?(\s+--hash=sha256:[0-9a-f]{64})+\s*", line), line


@locks
def test_no_index_no_path_no_option(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert not re.search(r"://|^-|index-url|find-links|trusted-host|(^|[\s=])/\w", text, re.MULTILINE)


@locks
def test_lgpio_is_never_locked(lock: str) -> None:
    """Without a wheel for the running Python pip takes an empty stub of that name: a pin that never phones."""
    assert "lgpio" not in pins(lock)


@locks
def test_what_the_editable_install_needs_is_in_the_lock(lock: str) -> None:
    """The set-up runs with --no-build-isolation; and colorzero requires setuptools, which pip-compile may leave out."""
    assert "setuptools" in pins(lock)


def test_the_locks_agree() -> None:
    """They are installed into one virtual environment, one after the other."""
    service = pins("requirements.lock")
    for lock in LOCKS:
        assert {name: pins(lock).get(name) for name in service} == service


def needed(wanted: list[Requirement], target: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Walk what is required on a target, by the installed packages' own metadata; yield (name, for whom)."""
    seen: set[tuple[str, str]] = set()
    todo = [(requirement, "the project", "") for requirement in wanted]
    while todo:
        requirement, parent, extra = todo.pop()
        if requirement.marker and not requirement.marker.evaluate({**target, "extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        yield name, parent
        for of_extra in {"", *requirement.extras} - {other for known, other in seen if known == name}:
            seen.add((name, of_extra))
            todo += [(Requirement(text), name, of_extra) for text in _requires(name)]


def _requires(name: str) -> list[str]:
    try:
        return requires(name) or []
    except PackageNotFoundError:  # amqtt, before the first `make demo`: its own needs can't be read here
        return []


@locks
@pytest.mark.parametrize(("python", "machine"), TARGETS)
def test_a_lock_is_whole_on_every_target(lock: str, python: str, machine: str) -> None:
    """pip-compile resolves for one Python; a requirement that only another one has would break --require-hashes."""
    target = {"python_version": python, "python_full_version": python + ".5", "platform_machine": machine}
    texts = list(PROJECT["dependencies"])
    for extra in LOCKS[lock]:
        texts += PROJECT["optional-dependencies"][extra]
    names = dict(needed([Requirement(text) for text in texts], target))
    lacking = {f"{name} (for {parent})" for name, parent in names.items() if name not in pins(lock)}
    assert not lacking, "run make lock"
    if lock != "requirements-demo.lock":
        assert set(names) == set(pins(lock)), "what nothing needs any more: run make lock"


def test_the_version_stands_once() -> None:
    assert PROJECT["version"] == edge_agent.__version__


def test_the_wheel_holds_the_package_its_types_and_its_licence(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "LICENSE", "README.md"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "edge_agent", source / "edge_agent", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(source)]
    built = subprocess.run(command, check=False, capture_output=True, text=True, timeout=100)
    assert built.returncode == 0, built.stdout + built.stderr
    names = zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist()
    ours = {str(path.relative_to(source)) for path in (source / "edge_agent").rglob("*.py")}
    assert ours | {"edge_agent/py.typed"} <= set(names)
    assert any(name.endswith("/LICENSE") for name in names)
    assert not [name for name in names if not name.startswith(("edge_agent/", "edge_agent-"))]
