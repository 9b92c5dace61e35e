# `make run` and `make test` do all the set-up; they need make, Python 3.11 or newer and a package index.

PYTHON ?= $(firstword $(foreach name,python3 python3.14 python3.13 python3.12 python3.11,$(if $(shell \
	$(name) -c 'import sys; print(sys.version_info >= (3, 11) or "")' 2>/dev/null),$(name))))
# Wheels of the oldest NumPy and SciPy end with Python 3.12.
OLDEST_PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3,$(if $(shell \
	$(name) -c 'import sys; print((3, 11) <= sys.version_info < (3, 13) or "")' 2>/dev/null),$(name))))
VENV := .venv
BIN := $(VENV)/bin
OUT ?= runs/demo
PIP := -m pip install --quiet --disable-pip-version-check
# What tells most about other versions of Python, JAX and NumPy, in a few minutes. `make test-oldest TESTS="$(ENDS)"`
ENDS := tests/test_ends.py tests/test_api.py tests/test_floors.py tests/test_modes.py tests/test_lowering.py tests/core \
	tests/models/test_models_golden.py tests/models/test_models_inception.py tests/numerics/test_numerics_psd.py \
	tests/training/test_training_checkpoints.py tests/test_docs.py::test_notebook_runs_top_to_bottom
TESTS ?= tests

.PHONY: run test test-thorough test-all test-oldest test-newest ends oldest-python docs lint types format clean

run: $(VENV)/.installed  ## evaluate classical, trained and published restorers on real photographs and write a report
	$(BIN)/jaxpr evaluate --data photos --degradation bicubic-x4 --out $(OUT)

test: lint types  ## lint, types and the default test suite
	$(BIN)/python -m pytest --numprocesses auto

test-thorough: lint types  ## also the tests marked thorough, as continuous integration does
	$(BIN)/python -m pytest --numprocesses auto -m "not slow and not torch and not versions"

test-all: lint types  ## also the tests marked slow
	XLA_FLAGS= $(BIN)/python -m pytest --numprocesses auto -m "not torch"

test-oldest: .venv-oldest/.installed  ## the default tests, and those on versions, with every dependency at its lower bound, on Python 3.11 or 3.12
	.venv-oldest/bin/python -m pytest --numprocesses auto -m "not slow and not torch" $(TESTS)

test-newest: .venv-newest/.installed  ## the same with the newest of everything, and types; PYTHON=python3.14, say
	.venv-newest/bin/mypy
	.venv-newest/bin/python -m pytest --numprocesses auto -m "not slow and not torch" $(TESTS)

ends:
	@echo $(ENDS)

oldest-python:
	@echo $(OLDEST_PYTHON)

docs: $(VENV)/.installed-docs  ## the documentation as a site, docs/_build/html/index.html; its tutorials run
	$(BIN)/python -m sphinx --builder html --fail-on-warning --keep-going --quiet docs docs/_build/html
	@echo "docs/_build/html/index.html"

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv .venv-oldest .venv-newest runs .pytest_cache .mypy_cache .ruff_cache docs/_build docs/_generated

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "error: found no Python 3.11 or newer; install one, or name it: make PYTHON=/path/to/python"; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python $(PIP) --editable ".[published]"
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	$(BIN)/python $(PIP) --editable ".[dev]"
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-docs: pyproject.toml | $(BIN)/python
	$(BIN)/python $(PIP) --editable ".[docs]"
	@touch $@ $(VENV)/.installed

.venv-oldest/.installed: pyproject.toml tools/lowest_versions.py
	@test -n "$(OLDEST_PYTHON)" || { echo "error: found no Python 3.11 or 3.12, which the oldest versions need"; exit 2; }
	$(OLDEST_PYTHON) -m venv --clear .venv-oldest
	.venv-oldest/bin/python tools/lowest_versions.py > .venv-oldest/lowest.txt
	.venv-oldest/bin/python $(PIP) --constraint .venv-oldest/lowest.txt --editable ".[dev]"
	@touch $@

.venv-newest/.installed: pyproject.toml
	$(PYTHON) -m venv --clear .venv-newest
	.venv-newest/bin/python $(PIP) --upgrade --upgrade-strategy eager --editable ".[dev]"
	@touch $@
