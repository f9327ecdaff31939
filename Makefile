# make run | demo | test | check | e2e | drill | bench | wheel | upgrade | fmt | lock | assets
PYTHON ?= python3
V := .venv
BIN := $(V)/bin
export PIP_DISABLE_PIP_VERSION_CHECK = 1
# Kept even where the environment forbids it: without bytecode every process compiles all of Django anew, for seconds.
export PYTHONDONTWRITEBYTECODE =

.PHONY: run demo test check e2e drill bench wheel upgrade fmt lock lock-bench assets

run: $(V)/run ## everything on this machine; the first time it shows the main job
	@$(BIN)/python -m phonebank serve

demo: $(V)/run ## the main job on a throw-away database, then stop
	@$(BIN)/python -m phonebank demo

# One process more than cores (much of a test is waiting), at most four, each with a database server of its own.
PARALLEL := -n $(shell n=$$(nproc 2>/dev/null || echo 2); [ $$n -gt 3 ] && n=3; echo $$((n + 1))) --dist worksteal

test: $(V)/dev ## the whole suite on a throw-away database
	@$(BIN)/python -m pytest $(PARALLEL) -m "not e2e"

e2e: $(V)/dev ## journeys in a real Chromium, and the vendor's Node client
	@$(BIN)/python -m pytest $(PARALLEL) -m e2e tests/e2e tests/sandbox/test_node_sdk.py

drill: $(V)/run ## proof of the promise (docs/drill.md); ARGS=--short, points, mutants, order, stops or hosts
	@$(BIN)/python -m phonebank drill $(ARGS)

bench: $(V)/run .venv-bench/bench ## what sending costs beside other ways; ARGS=peers for one part (docs/benchmarks.md)
	@$(BIN)/python -m phonebank bench $(ARGS)

wheel: $(V)/run ## dist/*.whl, tried in an empty environment (deploy/check_wheel.py)
	@$(BIN)/python deploy/check_wheel.py

upgrade: $(V)/run ## a campaign begun by an earlier commit and ended by this one; FROM=commit
	@$(BIN)/python deploy/check_upgrade.py $(FROM)

check: $(V)/dev ## style, layers, migrations, deployment settings
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/djlint --quiet --lint phonebank/whatsappapi/templates phonebank/accounts/templates phonebank/audit/templates
	@$(BIN)/lint-imports
	@$(BIN)/python -m phonebank makemigrations --check --dry-run
	@PUBLIC_URL=https://phonebank.example $(BIN)/python -m phonebank check --deploy --fail-level WARNING

fmt: $(V)/dev ## rewrites to style
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lock: $(V)/dev ## new hashed locks that name no package index
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-header pyproject.toml -o requirements.lock
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --group dev pyproject.toml -o requirements-dev.lock

lock-bench: $(V)/dev ## the same for the benchmark's opponents
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header bench/requirements.in -o bench/requirements.lock

assets: ## copies the pinned front-end files (maintainers; needs npm)
	@cd assets && npm ci --silent && $(PYTHON) vendor.py

$(V)/run: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Phonebank needs Python 3.11 or newer; set PYTHON=python3.12, for instance.")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(V)
	@echo "Installing (once) ..."
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	@touch $@

$(V)/dev: requirements-dev.lock $(V)/run
	@echo "Installing what development needs (once) ..."
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.lock
	@touch $@

.venv-bench/bench: bench/requirements.lock $(V)/run
	@test -x .venv-bench/bin/python || $(BIN)/python -m venv .venv-bench
	@echo "Installing the benchmark's opponents (once) ..."
	@.venv-bench/bin/python -m pip install --quiet --require-hashes -r bench/requirements.lock
	@touch $@
