# `make run` and `make test` are all that a fresh Debian machine with Python 3.11+ needs; `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
PY := .venv/bin/python
PYTEST_JOBS ?= 3

.PHONY: help run test check docs battery bench probe-peers lock clean

help:                  ## List the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## */\t/' | expand -t 14

run: .venv/.run        ## Install what is missing and start the service on http://127.0.0.1:8000
	@exec .venv/bin/valueapi serve --first-run

test: .venv/.test      ## Install what the tests need and run them
	@scripts/system-packages test
	@$(PY) -m pytest -q -n $(PYTEST_JOBS) --dist loadgroup tests

check: .venv/.test     ## Lint, types in strict mode, import rules, who goes round the vault, declarations, the promise register, generated docs
	@.venv/bin/ruff check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-cache
	@$(PY) -m pytest -q tests/test_house.py tests/test_body_rules.py tests/policies
	@.venv/bin/valueapi datamap --check
	@.venv/bin/valueapi docs --check

docs: .venv/.test      ## Regenerate the generated pages of docs/
	@.venv/bin/valueapi docs --write
	@$(PY) -m tests.governance.personal_data.measure --write

battery: .venv/.test   ## The long batteries: many kills, long traffic
	@scripts/system-packages test
	@BATTERY=1 $(PY) -m pytest -q tests/battery tests/router/test_erasure_reaches.py \
	  tests/governance/backup/test_kills.py tests/governance/bodies/scanner/test_control.py tests/router/test_serving.py \
	  tests/governance/vault tests/router/planted tests/router/test_guard.py tests/governance/controls tests/governance/mail \
	  tests/governance/test_session_use.py tests/router/accounts tests/router/controls tests/router/recipients tests/router/web

bench: .venv/.test     ## Measure what sealing, the guard and the watch over requests cost, and how fast the scanner is
	@$(PY) -m tests.bench.vault
	@$(PY) -m tests.bench.guard
	@$(PY) -m tests.bench.write_watch
	@$(PY) -m tests.bench.scanner

probe-peers: .venv/.test ## Probe other gateways as ours is probed, and write docs/privacy/peers.md (needs npm)
	@$(PY) -m tests.peers.probe

lock:                  ## Compile the lock files anew (needs uv)
	uv pip compile --universal --generate-hashes --no-emit-index-url --no-annotate --no-header --python-version 3.11 -q pyproject.toml -o requirements.lock
	uv pip compile --universal --generate-hashes --no-emit-index-url --no-annotate --no-header --python-version 3.11 -q pyproject.toml --extra test -c requirements.lock -o requirements-test.lock

clean:                 ## Remove the environment and caches; state under var/ stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info

.venv/bin/python:
	@scripts/system-packages run
	@scripts/make-venv

.venv/.run: .venv/bin/python requirements.lock pyproject.toml
	@scripts/install $$([ -e .venv/.test ] && echo requirements-test.lock || echo requirements.lock)
	@touch $@

.venv/.test: .venv/bin/python requirements-test.lock pyproject.toml
	@scripts/install requirements-test.lock
	@touch .venv/.run $@
