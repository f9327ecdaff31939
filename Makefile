# make run | demo | test | check | e2e | docs | drill | bench | audit | coverage | mutation | wheel | upgrade | fmt | messages | lock | assets
PYTHON ?= python3
V := .venv
BIN := $(V)/bin
export PIP_DISABLE_PIP_VERSION_CHECK = 1
# Kept even where the environment forbids it: without bytecode every process compiles all of Django anew, for seconds.
export PYTHONDONTWRITEBYTECODE =

.PHONY: run demo test check e2e docs drill bench audit coverage mutation wheel upgrade fmt messages lock lock-docs lock-bench lock-audit assets

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

docs: .venv-docs/docs ## the documentation site in site/; fails on a warning, a dead link, anything from elsewhere
	@NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict
	@.venv-docs/bin/python deploy/check_docs.py site

drill: $(V)/run ## proof of the promise (docs/drill.md); ARGS=--short, points, mutants, order, stops, hosts or soak
	@$(BIN)/python -m phonebank drill $(ARGS)

bench: $(V)/run .venv-bench/bench ## what sending costs beside other ways; ARGS=peers for one part (docs/benchmarks.md)
	@$(BIN)/python -m phonebank bench $(ARGS)

audit: $(V)/dev .venv-audit/audit .venv-audit/parts ## all security scans (docs/security.md); ARGS=bandit for one of them
	@.venv-audit/bin/python deploy/audit/audit.py $(ARGS)

coverage: export PHONEBANK_RECORDS = $(CURDIR)/var/coverage/data
coverage: export COVERAGE_PROCESS_START = $(CURDIR)/pyproject.toml
coverage: $(V)/dev ## the branches that the suite runs: at least 92 %, and every one of what must never be wrong
	@rm -rf var/coverage && mkdir -p var/coverage
	@$(BIN)/coverage run -m pytest $(PARALLEL) -m "not e2e" -p tests.mutation.contexts --junitxml=var/coverage/tests.xml
	@$(BIN)/coverage run -m phonebank drill --short
	@$(BIN)/coverage run -m phonebank bench --quick statements sizes fanout intake pace
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report --fail-under=92 > var/coverage/report.txt; done=$$?; tail -n 3 var/coverage/report.txt; exit $$done
	@$(BIN)/coverage report --fail-under=100 --include="$$($(BIN)/python -m tests.mutation.areas)"

mutation: $(V)/dev ## after it: how many of a sample of wrong changes to what must never be wrong a test notices
	@$(BIN)/python -m tests.mutation

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

messages: $(V)/run ## sentences for the translators, and what they wrote compiled (needs gettext; docs/languages.md)
	@cd phonebank && DJANGO_SETTINGS_MODULE=phonebank.config.settings PYTHONPATH=.. ../$(BIN)/python -m django makemessages --all --no-obsolete --add-location=file --no-wrap --ignore=static
	@cd phonebank && for one in locale/*/LC_MESSAGES; do sed -i.bak 's/^"POT-Creation-Date: .*/"POT-Creation-Date: 2026-11-23 00:00+0000\\n"/' $$one/django.po && rm $$one/django.po.bak && msgfmt --check -o $$one/django.mo $$one/django.po || exit 1; done

lock: $(V)/dev ## new hashed locks that name no package index
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-header pyproject.toml -o requirements.lock
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --group dev pyproject.toml -o requirements-dev.lock

lock-docs: $(V)/dev ## the same for the documentation site
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header docs/requirements.in -o docs/requirements.lock

lock-bench: $(V)/dev ## the same for the benchmark's opponents
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header bench/requirements.in -o bench/requirements.lock

lock-audit: $(V)/dev ## the same for the scanners
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.12 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header deploy/audit/requirements.in -o deploy/audit/requirements.lock

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

# By uv: pip refuses a pin where a package is also asked for with an extra.
.venv-audit/audit: deploy/audit/requirements.lock $(V)/dev
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 12) and "The scanners need Python 3.12 or newer; say make audit PYTHON=python3.12, for instance.")'
	@test -x .venv-audit/bin/python || $(PYTHON) -m venv --without-pip .venv-audit
	@echo "Installing the scanners (once) ..."
	@$(BIN)/uv pip install --quiet --python .venv-audit --require-hashes -r deploy/audit/requirements.lock
	@touch $@

# What an installation has, and nothing else: parts are listed and looked up from here.
.venv-audit/parts: requirements.lock .venv-audit/audit
	@$(BIN)/python -m venv --clear --without-pip .venv-audit/runtime
	@$(BIN)/uv pip install --quiet --python .venv-audit/runtime --require-hashes -r requirements.lock
	@touch $@

.venv-docs/docs: docs/requirements.lock
	@test -x .venv-docs/bin/python || $(PYTHON) -m venv .venv-docs
	@echo "Installing what the documentation site needs (once) ..."
	@.venv-docs/bin/python -m pip install --quiet --require-hashes -r docs/requirements.lock
	@touch $@
