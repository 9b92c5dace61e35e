# `make run` and `make test` do all the set-up; they need make, Python 3.11 or newer and a package index.

PYTHON ?= $(firstword $(foreach name,python3 python3.13 python3.12 python3.11,$(if $(shell \
	$(name) -c 'import sys; print(sys.version_info >= (3, 11) or "")' 2>/dev/null),$(name))))
VENV := .venv
BIN := $(VENV)/bin
OUT ?= runs/demo

.PHONY: run test test-all lint types format clean

run: $(VENV)/.installed  ## evaluate classical and trained restorers on real photographs and write a report
	$(BIN)/jaxpr evaluate --data photos --degradation bicubic-x4 --out $(OUT)

test: lint types  ## lint, types and the default test suite
	$(BIN)/python -m pytest --numprocesses auto

test-all: lint types  ## also the tests marked slow
	XLA_FLAGS= $(BIN)/python -m pytest --numprocesses auto -m "not torch"

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) runs .pytest_cache .mypy_cache .ruff_cache

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "error: found no Python 3.11 or newer; install one, or name it: make PYTHON=/path/to/python"; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	@touch $@ $(VENV)/.installed
