# `make demo` and `make test` need Python 3.11 or later with pip, make, and the package index; nothing else.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# One thread a process: two threads that meet a busy core are far slower than one.
export OMP_NUM_THREADS ?= 1
WORKERS ?= auto

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

demo: $(VENV)/installed ## run the main job on data that needs no download, and show where the curve is
	$(BIN)/python -m ltb.train +experiment=imp_rewind

test: lint type unit ## lint, types and all tests that take seconds

unit: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n $(WORKERS)

slow: $(VENV)/installed-dev ## the tests that take minutes
	$(BIN)/python -m pytest -n $(WORKERS) -m slow

notebooks: $(VENV)/installed-dev ## execute the notebooks again and keep their outputs
	$(BIN)/python notebooks/execute.py

lint: $(VENV)/installed-dev ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: $(VENV)/installed-dev ## mypy
	$(BIN)/mypy

$(VENV)/installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ltb needs Python 3.11 or later: make PYTHON=python3.11 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

clean: ## remove the virtual environment and caches, never runs
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .hypothesis

.PHONY: help demo test unit slow notebooks lint type clean
