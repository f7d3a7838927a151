# Everything is done in .venv, which is made (and made anew when a lock or pyproject.toml changes) by itself.
# Needed: python3 (3.11 or newer) with its venv module, and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

COMPILE := $(BIN)/pip-compile --quiet --no-header --generate-hashes --allow-unsafe --strip-extras \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options

# A .venv that we made works only where it was made, and only while its interpreter is there: else begin anew.
$(shell [ ! -e $(VENV)/.home ] || { [ -x $(BIN)/python ] && [ "$$(cat $(VENV)/.home)" = "$(CURDIR)" ]; } || rm -rf $(VENV))

.PHONY: help demo test check bench faults lock clean

help:
	@echo "make demo    the whole path on this machine, simulated: no hardware, no account"
	@echo "make test    all tests (ARGS='-k name' chooses); what needs a missing program is skipped by its name"
	@echo "make check   ruff (lint and format) and mypy --strict"
	@echo "make bench   latency, throughput, engine, replay, memory, start-up, beside the floor of the same work"
	@echo "make faults  the kill -9 runs and the long property tests in full; EDGE_AGENT_SEED=N repeats a run"
	@echo "make lock    bring the locks in line with pyproject.toml (ARGS=--upgrade: newest versions)"
	@echo "make clean   remove .venv and all that was built"

demo: $(VENV)/.demo
	$(BIN)/edge-agent demo $(ARGS)

test: $(VENV)/.dev
	$(BIN)/python -m pytest tests $(ARGS)

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict edge_agent tests benchmarks

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks $(ARGS)

faults: $(VENV)/.dev
	EDGE_AGENT_FAULTS=full $(BIN)/python -m pytest tests -m faults -s -o timeout=7200 $(ARGS)

$(VENV)/.home:
	@command -v $(PYTHON) >/dev/null || { echo "edge-agent needs Python 3.11 or newer: there is no $(PYTHON) here" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "edge-agent needs Python 3.11 or newer: $(PYTHON) is " + sys.version.split()[0])'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) has no venv module: sudo apt install python3-venv" >&2; exit 1; }
	@echo "making $(VENV): the first time takes a minute or more"
	@$(PYTHON) -m venv $(VENV)
	@echo "$(CURDIR)" >$@

# The lock first, every file by its hash; then the project itself, which must find nothing missing.
$(VENV)/.demo: requirements-demo.lock
$(VENV)/.dev: requirements-dev.lock
$(VENV)/.demo $(VENV)/.dev: pyproject.toml | $(VENV)/.home
	@echo "installing $(filter %.lock,$^)"
	@$(PIP) install --require-hashes -r $(filter %.lock,$^)
	@PYTHONWARNINGS=ignore $(PIP) install --no-index --no-deps --no-build-isolation -e .
	@touch $@

# pip-compile resolves for the Python that runs it; tests/unit/test_packaging.py asks whether the result is whole for
# every target. Each lock follows the ones before it: all are installed into one .venv.
lock: | $(VENV)/.home
	@[ -x $(BIN)/pip-compile ] || $(PIP) install pip-tools
	$(COMPILE) $(ARGS) -o requirements.lock pyproject.toml
	$(COMPILE) $(ARGS) --extra demo -c requirements.lock -o requirements-demo.lock pyproject.toml
	$(COMPILE) $(ARGS) --extra dev -c requirements.lock -c requirements-demo.lock -o requirements-dev.lock pyproject.toml
	@sed -i -e '1i # Made by "make lock" from pyproject.toml, for Python 3.11 to 3.13 on x86_64, aarch64 and armv7l: the hashes are' \
		-e '1i # those of every file of a release, wheels and source. To install: pip install --require-hashes -r FILE' \
		requirements.lock requirements-demo.lock requirements-dev.lock

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
