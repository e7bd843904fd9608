# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: lock sbom audit container site help demo setup browser postgresql test test-full test-lowest typecheck-user fuzz interop \
  fix perf prices

help:  ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 8

demo: setup  ## does chain-of-thought help? a very small model, 1.5 B, nine sizes; 3 to 8 minutes on two cores
	$(BIN)/python examples/demo.py

setup: .venv/.installed  ## a virtual environment with all that development needs

# torch is pinned first: left to a range, pip would fetch whichever build is newest.
# The tools are pinned by hash (requirements/ci.txt, from `make lock`).
.venv/.installed: pyproject.toml requirements/ci.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/ci.txt
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

# Without the last option a test that crashes its process leaves pytest-xdist waiting for ever.
test: setup browser postgresql  ## style, types, then every test but the long ones
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright
	$(BIN)/python -m pytest -n 2 --dist loadfile --max-worker-restart 0

test-full: setup browser postgresql  ## also the long ones: real models at length, kills at random, whole studies
	$(BIN)/python -m pytest -m ""

# torch has no floor that could be fetched everywhere: it is the pinned one.
.venv-lowest/.installed: pyproject.toml tests/lowest.py
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	.venv-lowest/bin/python tests/lowest.py > .venv-lowest/lowest.txt
	.venv-lowest/bin/python -m pip install --quiet --disable-pip-version-check --constraint .venv-lowest/lowest.txt \
	  --editable '.[openai,anthropic,hf,report,math,data,lm-eval-tasks,postgres]' pytest pytest-timeout hypothesis scipy duckdb
	touch $@

test-lowest: .venv-lowest/.installed  ## commands, statistics, servers, local models and pages with the lowest versions allowed
	.venv-lowest/bin/python -m pytest -q tests/test_cli.py tests/test_options.py tests/test_config.py tests/test_report.py \
	  tests/test_statistics.py tests/test_scale_report.py tests/test_html.py tests/test_wire_openai.py \
	  tests/test_wire_anthropic.py tests/test_hf.py tests/test_gguf.py tests/test_foreign.py tests/test_export.py

.venv-types/.installed: pyproject.toml
	$(PYTHON) -m venv .venv-types
	.venv-types/bin/python -m pip install --quiet --disable-pip-version-check mypy 'pyright[nodejs]'
	.venv-types/bin/python -m pip install --quiet --disable-pip-version-check .
	touch $@

typecheck-user: .venv-types/.installed  ## the public API as a user's type checker sees it: mypy --strict and pyright
	cp tests/cases/user.py .venv-types/user.py
	echo '{"typeCheckingMode": "strict"}' > .venv-types/pyrightconfig.json
	cd .venv-types && bin/mypy --strict user.py && bin/pyright --pythonpath bin/python user.py

fuzz: setup  ## 50,000 mutated files and answers, in new places each time; about 10 minutes
	COTKIT_FUZZ_CASES=50000 $(BIN)/python -m pytest --timeout 3600 tests/test_fuzz.py

# Each tool in an environment of its own: their dependencies are none of ours. torch as above.
.venv-inspect/.installed: pyproject.toml
	$(PYTHON) -m venv .venv-inspect
	.venv-inspect/bin/python -m pip install --quiet --disable-pip-version-check 'inspect-ai>=0.3.285' 'openai>=3.50'
	.venv-inspect/bin/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

.venv-lm-eval/.installed: pyproject.toml
	$(PYTHON) -m venv .venv-lm-eval
	.venv-lm-eval/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	.venv-lm-eval/bin/python -m pip install --quiet --disable-pip-version-check 'lm-eval[api]==0.4.13' accelerate transformers \
	  'inspect-ai>=0.3.285' 'openai>=3.50'
	.venv-lm-eval/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[data]'
	touch $@

.venv-trackers/.installed: pyproject.toml
	$(PYTHON) -m venv .venv-trackers
	.venv-trackers/bin/python -m pip install --quiet --disable-pip-version-check mlflow
	.venv-trackers/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[mlflow,wandb]'
	touch $@

interop: setup .venv-inspect/.installed .venv-lm-eval/.installed .venv-trackers/.installed  ## real Inspect, lm-eval, MLflow, W&B
	COTKIT_INSPECT_PYTHON=$(CURDIR)/.venv-inspect/bin/python \
	COTKIT_LM_EVAL_PYTHON=$(CURDIR)/.venv-lm-eval/bin/python \
	COTKIT_TRACKERS_PYTHON=$(CURDIR)/.venv-trackers/bin/python \
	  $(BIN)/python -m pytest -m interop

prices: setup  ## the price table of services by name, from the public collection genai-prices
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'genai-prices>=0.2'
	$(BIN)/python -m tests.make_prices

fix: setup  ## format and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.venv-supply/.installed: requirements/supply.txt
	$(PYTHON) -m venv .venv-supply
	.venv-supply/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/supply.txt
	touch $@

.venv-docs/.installed: requirements/docs.txt
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/docs.txt
	touch $@

site: .venv-docs/.installed  ## the documentation as a site in site/; any warning or broken link ends it
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict --quiet

LOCK = .venv-supply/bin/pip-compile --quiet --upgrade --generate-hashes --strip-extras --allow-unsafe --no-header \
  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options
CONTAINER_EXTRAS = openai anthropic data report postgres lm-eval-tasks

lock: .venv-supply/.installed  ## pin by hash what the container (requirements/container.txt), CI and these targets install
	$(LOCK) $(CONTAINER_EXTRAS:%=--extra %) --output-file requirements/container.txt pyproject.toml requirements/build.in
	$(LOCK) --output-file requirements/ci.txt requirements/ci.in
	$(LOCK) --output-file requirements/supply.txt requirements/supply.in
	$(LOCK) --output-file requirements/docs.txt requirements/docs.in
	sed -i '1i # Made by `make lock`; checked by tests/test_supply.py. Do not edit.' requirements/*.txt

sbom: .venv-supply/.installed  ## bills of materials (CycloneDX) of the container and of CI: dist/*.cdx.json
	mkdir -p dist
	for name in container ci; do .venv-supply/bin/cyclonedx-py requirements --output-reproducible --of JSON \
	  --output-file dist/$$name.cdx.json requirements/$$name.txt; done

audit: .venv-supply/.installed  ## known weaknesses of what is locked; asks the OSV database (osv.dev), so it needs a network
	@for name in container ci supply docs; do \
	  .venv-supply/bin/pip-audit --disable-pip --require-hashes -s osv -r requirements/$$name.txt || \
	  { echo "audit of requirements/$$name.txt: a weakness, or the OSV database (osv.dev) could not be asked" >&2; exit 1; }; done

container: .venv-supply/.installed  ## lint the Dockerfile, and build the image where docker or podman is
	.venv-supply/bin/hadolint Dockerfile
	@for builder in docker podman; do $$builder info >/dev/null 2>&1 && exec $$builder build --tag cotkit .; done; \
	  echo "neither docker nor podman runs here: not built"

perf: setup  ## speed and memory, side by side in one run
	$(BIN)/python perf/local.py
