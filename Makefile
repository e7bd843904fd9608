# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help demo setup browser postgresql test fix perf

help:  ## what there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 8

demo: setup  ## does chain-of-thought help? a very small model, then 1.5 B; about 12 minutes on two cores
	$(BIN)/python examples/demo.py

setup: .venv/.installed  ## a virtual environment with all that development needs

# torch is pinned first: left to a range, pip would fetch whichever build is newest.
.venv/.installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[openai,anthropic,hf,dev]'
	touch $@

browser:  ## a browser for the test of HTML reports, where apt and root allow it; else it is skipped
	@command -v chromium >/dev/null || [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null || \
	  { apt-get -qq update && apt-get -qq install --yes --no-install-recommends chromium >/dev/null; } || \
	  echo "chromium could not be installed: its test will be skipped"

postgresql:  ## a database server for the store's tests, where apt and root allow it; else they are skipped
	@command -v pg_ctl >/dev/null || ls /usr/lib/postgresql/*/bin/pg_ctl >/dev/null 2>&1 || \
	  [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null || \
	  { apt-get -qq update && apt-get -qq install --yes --no-install-recommends postgresql >/dev/null; } || \
	  echo "PostgreSQL could not be installed: its tests will be skipped"

test: setup browser postgresql  ## style, types, then every test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright
	$(BIN)/python -m pytest

fix: setup  ## format and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

perf: setup  ## speed and memory, side by side in one run
	$(BIN)/python perf/local.py
