# Everything people and CI run here. The environment in .venv is made once and remade when the lock changes.

PYTHON ?= python3
PY := .venv/bin/python
DEMO_ARGS ?=
REPLAY_ARGS ?=
SEEDS ?= 200
SOAK_ARGS ?=
BENCH_ARGS ?=
TILL_ARGS ?=
SYNC_ARGS ?=
RULES_ARGS ?=
MUTATE_ARGS ?=
PYTEST_ARGS ?=
MORE_ARGS ?=
CRASH_ARGS ?=
BACKTEST_ARGS ?=
CENTRE_ARGS ?=
KILL_ARGS ?=
NETEM_ARGS ?=

ENVIRONMENT := .venv/.installed
# What the engine is measured beside; the product's environment stays free of it.
PEERS := var/bench/peers/.installed
LOCK_TOOLS := build/lock-tools
COMPILE = $(LOCK_TOOLS)/bin/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
	--custom-compile-command "make lock" $(if $(UPGRADE),--upgrade)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help environment nanomsg promtool spark demo replay test test-more check style types receipts package simulate soak crash netem bench bench-engine bench-till bench-sync bench-rules bench-centre bench-backtest mutate golden \
	lock clean

help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

environment: $(ENVIRONMENT) ## Make .venv from the lock (PYTHON=python3.12 chooses another Python)

$(ENVIRONMENT): requirements/dev.lock pyproject.toml
	@command -v "$(PYTHON)" > /dev/null || { \
		echo "make: no '$(PYTHON)' here. Install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3" >&2; \
		exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "make: Tillside needs Python 3.11 or newer, '$(PYTHON)' is $$("$(PYTHON)" --version 2>&1)." >&2; \
		echo "      Name a newer one: make PYTHON=python3.12" >&2; \
		exit 1; }
	@test -x $(PY) || "$(PYTHON)" -m venv .venv || { \
		echo "make: '$(PYTHON)' cannot make a virtual environment. On Debian and Ubuntu: apt-get install python3-venv" >&2; \
		exit 1; }
	$(PY) -m pip install --disable-pip-version-check --quiet --require-hashes -r requirements/dev.lock
	$(PY) -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation -e .
	@touch $@

nanomsg: $(ENVIRONMENT) ## Add the nanomsg bus to .venv (needs libnanomsg-dev and a C compiler)
	@# Not from pip's cache: what was built there once may be without the C extension.
	$(PY) -m pip install --disable-pip-version-check --quiet --require-hashes --no-build-isolation --use-pep517 \
		--no-cache-dir -r requirements/nanomsg.lock

spark: $(ENVIRONMENT) ## Add Spark to .venv, for the archive's job and its test (needs Java 17, takes 450 MB)
	$(PY) -m pip install --disable-pip-version-check --quiet --require-hashes -r requirements/spark.lock

demo: $(ENVIRONMENT) ## Two stores, four tills, real baskets, a cut line and its end (DEMO_ARGS=..., KEEP=1 leaves it running)
	$(PY) -m bench.demo $(if $(KEEP),--keep) $(DEMO_ARGS)

replay: $(ENVIRONMENT) ## A year of 50 real stores, calculated and compared with what was paid (REPLAY_ARGS='--stores 5')
	$(PY) -m bench.replay $(REPLAY_ARGS)

test: $(ENVIRONMENT) ## Run the tests (PYTEST_ARGS='tests/unit -k chain')
	$(PY) -m pytest $(if $(PYTEST_ARGS),$(PYTEST_ARGS),--numprocesses=auto --dist=worksteal)

test-more: $(ENVIRONMENT) ## Draw more: 10 times the examples, 30 seeds (MORE_ARGS='tests/oracle --seeds 100')
	$(PY) -m pytest --numprocesses=auto --dist=worksteal $(if $(MORE_ARGS),$(MORE_ARGS),--times=10 --seeds=30 \
		tests/property tests/oracle tests/unit/loyalty tests/unit/central/test_batches.py \
		tests/unit/central/test_store_journeys.py)

check: $(ENVIRONMENT) ## Everything CI checks: format, lint, types, import rules, tests
	@$(MAKE) --no-print-directory style
	@$(MAKE) --no-print-directory test
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target types receipts

style: $(ENVIRONMENT) ## Check format and lint
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .

types: $(ENVIRONMENT) ## Check types and import rules
	$(PY) -m mypy
	.venv/bin/lint-imports --no-logo

receipts: $(ENVIRONMENT) ## Calculate the golden receipts on every supported Python that is installed
	$(PY) tests/golden/on_every_python.py

package: $(ENVIRONMENT) ## Build what is installed on a till, and try it
	$(PY) packaging/till/build_till.py
	$(PY) packaging/till/verify_till.py

promtool: ## Fetch Debian's promtool, which tests the centre's alert rules, into build/ (19 MB)
	@mkdir -p build/promtool
	cd build/promtool && apt-get download -qq prometheus && dpkg -x prometheus_*.deb . && rm prometheus_*.deb

simulate: $(ENVIRONMENT) ## Many tills, stores and a centre with faults, one world per seed (SEEDS=10000)
	$(PY) -m bench.simulate --seeds $(SEEDS) --plants

soak: $(ENVIRONMENT) ## Simulated worlds of a month, for an hour (SOAK_ARGS="--minutes 600")
	$(PY) -m bench.soak $(SOAK_ARGS)

crash: $(ENVIRONMENT) ## Cut the power at every operation of a till's day, kill -9 real processes (CRASH_ARGS='--cuts 500')
	$(PY) -m bench.crash $(CRASH_ARGS)
	$(PY) -m bench.crash.kill $(KILL_ARGS)

netem: $(ENVIRONMENT) ## Stores as network namespaces on bad lines; needs root (NETEM_ARGS='--scale 2')
	$(PY) -m bench.netem $(NETEM_ARGS)

bench: bench-engine bench-till bench-sync ## Measure everything there is a measurement for

bench-engine: $(ENVIRONMENT) $(if $(findstring --no-peers,$(BENCH_ARGS)),,$(PEERS)) ## Measure the calculation beside its peers (BENCH_ARGS='--quick --only a,b')
	$(PY) -m bench.engine $(BENCH_ARGS)

bench-till: $(ENVIRONMENT) ## Measure a till: completing beside a bare commit, a cut line, a month without one (TILL_ARGS='--quick')
	$(PY) -m bench.till $(TILL_ARGS)

bench-sync: $(ENVIRONMENT) ## Measure the line: bytes of a store's day, redemption without it (SYNC_ARGS='--quick')
	$(PY) -m bench.sync $(SYNC_ARGS)

bench-centre: $(ENVIRONMENT) ## Measure the centre: purchases, intake, a storm, kill -9, growth (CENTRE_ARGS='--quick --grown 0')
	$(PY) -m bench.centre $(CENTRE_ARGS)

bench-backtest: $(ENVIRONMENT) ## Measure back-tests of real baskets: receipts a second, the predicted first day (BACKTEST_ARGS=--quick)
	$(PY) -m bench.backtest $(BACKTEST_ARGS)

bench-rules: $(ENVIRONMENT) ## Measure rules: a release on its way to 50,000 tills (RULES_ARGS='--tills 2000 --stores 200'), back-tests
	$(PY) -m bench.rules $(RULES_ARGS)
	@$(MAKE) --no-print-directory bench-backtest

mutate: $(ENVIRONMENT) ## Put small mistakes into the rules and see whether the tests notice (MUTATE_ARGS='--sample 300 --seed 1')
	$(PY) -m bench.mutation $(MUTATE_ARGS)

$(PEERS): requirements/bench-peers.lock | $(ENVIRONMENT)
	$(PY) -m venv --clear $(@D)
	$(@D)/bin/python -m pip install --disable-pip-version-check --quiet --require-hashes -r requirements/bench-peers.lock
	@touch $@

golden: $(ENVIRONMENT) ## Write the golden files anew; read the difference before you keep it
	$(PY) -m pytest --update-golden $(PYTEST_ARGS)

lock: ## Make requirements/*.lock anew from pyproject.toml (UPGRADE=1 takes the newest versions)
	@test -x $(LOCK_TOOLS)/bin/uv || "$(PYTHON)" -m venv $(LOCK_TOOLS)
	@$(LOCK_TOOLS)/bin/python -m pip install --disable-pip-version-check --quiet 'uv>=0.9'
	$(COMPILE) pyproject.toml --group dev -o requirements/dev.lock
	$(COMPILE) --group pyproject.toml:nanomsg -c requirements/dev.lock -o requirements/nanomsg.lock
	$(COMPILE) --group pyproject.toml:spark -c requirements/dev.lock -o requirements/spark.lock
	$(COMPILE) requirements/bench-peers.in -o requirements/bench-peers.lock

clean: ## Remove what was made here: .venv, caches, builds, the demo's files
	rm -rf .venv build dist var .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
