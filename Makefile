# `make demo` shows the pipeline at work, `make test` checks it; both install what is missing into .venv first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test slow-test install constraints clean

demo: $(VENV)/.installed
	$(BIN)/pipeline demo

test: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -n 3 --dist worksteal
	$(BIN)/pytest -m slow

slow-test: $(VENV)/.installed-dev
	$(BIN)/pytest -m slow

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed constraints-dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r constraints-dev.txt
	touch $@

# Versions and hashes of all that is installed; run it after changing pyproject.toml.
constraints: $(VENV)/.installed-dev
	$(BIN)/python tests/make_constraints.py

clean:
	rm -rf $(VENV) build dist *.egg-info
