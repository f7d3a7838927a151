"""One seed for everything random in a run, told at its start; hypothesis without deadlines; a broker for who asks."""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import Phase, settings

from tests.broker import Broker

_SEED = pytest.StashKey[int]()
FULL = os.environ.get("EDGE_AGENT_FAULTS") == "full"
"""All runs of what looks for rare faults, not a tenth of them."""

# explaining a failure traces every line and takes longer than a test may
_PHASES = tuple(phase for phase in Phase if phase is not Phase.explain)
settings.register_profile("dev", deadline=None, print_blob=True, phases=_PHASES)
settings.register_profile("ci", settings.get_profile("dev"), derandomize=False)
settings.register_profile("long", settings.get_profile("ci"), max_examples=10 * settings.get_profile("ci").max_examples)


def _on_ci() -> bool:
    return os.environ.get("CI", "").lower() in {"1", "true"}


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Choose how many examples hypothesis tries, and the seed: EDGE_AGENT_SEED repeats a run.

    hypothesis gets it only in CI or where it was asked for: with a seed it does not look up the failures it remembers.
    """
    settings.load_profile("long" if FULL else "ci" if _on_ci() else "dev")
    given = os.environ.get("EDGE_AGENT_SEED")
    config.stash[_SEED] = int(given) if given else random.SystemRandom().randrange(2**32)
    if (given or _on_ci()) and config.getoption("hypothesis_seed", None) is None:
        config.option.hypothesis_seed = str(config.stash[_SEED])


def pytest_sessionstart(session: pytest.Session) -> None:
    """Print the seed before the first test, also under -q, which leaves pytest's own header out."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.write_line(_seeds(session.config))


def _seeds(config: pytest.Config) -> str:
    line = f"seed: EDGE_AGENT_SEED={config.stash[_SEED]}"
    forced = config.getoption("hypothesis_seed", None)
    return line if forced is None else f"{line} --hypothesis-seed={forced}"


@pytest.fixture(scope="session")
def seed(pytestconfig: pytest.Config) -> int:
    """Return the run's seed, for `random.Random(seed)` in tests that place their faults at random."""
    return pytestconfig.stash[_SEED]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """Return a running mosquitto, without password."""
    folder = tmp_path / "broker"
    folder.mkdir()
    running = Broker(folder).start()
    yield running
    running.kill()
