# `make` shows the commands. Scripts longer than a line are in config/embedded/.

PYTHON ?= python3
VENV = PYTHON="$(PYTHON)" config/embedded/venv.sh
ARGS ?=
# Several processes can test at once, because each has its own servers.
PROCESSES ?= -n auto --dist worksteal
# One lock for every Python from 3.11 on, Linux and macOS. Locked versions stay unless the .in files exclude them.
COMPILE = .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-strip-extras \
	--custom-compile-command "make lock" $(ARGS)

.DEFAULT_GOAL := help
.PHONY: help setup run stop test hostile quick chaos pictures lint format lock logs reset bench

help: ## show the commands
	@echo "NPD Sync. Type make and one of:"
	@sed -n 's/^\([a-z]*\):.*## /  \1|/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-10s %s\n", $$1, $$2 }'

setup: ## make .venv with all packages, including those for tests
	@$(VENV) development && echo "Ready: .venv/bin/python"

run: ## start the whole demo here: database, Monday sandbox, web, worker, beat (PORT=8000 SANDBOX_PORT=8001)
	@$(VENV) embedded && exec .venv/bin/python -m config.embedded.launcher run

stop: ## end what `make run` started in this folder, from another terminal
	@if [ -x .venv/bin/python ]; then exec .venv/bin/python -m config.embedded.launcher stop; else echo "Nothing runs in this folder."; fi

test: ## run the tests that a change needs (ARGS="-k name"; TEST_SERVERS=1 uses real PostgreSQL and Redis)
	@$(VENV) development && exec .venv/bin/python -m pytest $(PROCESSES) -m "not hostile" $(ARGS)

hostile: ## run the other tests: kills, planted bugs, browsers, real servers (ARGS chooses tests)
	@$(VENV) development
	@PROCESSES="$(PROCESSES)" exec ops/hostile.sh $(ARGS)

quick: ## run only pure and database tests, without processes, sandbox and browser
	@$(VENV) development && exec .venv/bin/python -m pytest $(PROCESSES) \
		-m "not hostile and not sandbox and not journey and not slow" $(ARGS)

chaos: ## run N hostile scripts by seed (N=200 FIRST=1)
	@$(VENV) development && CHAOS_SEEDS=$(or $(N),200) CHAOS_FIRST=$(or $(FIRST),1) exec .venv/bin/python -m pytest -q $(PROCESSES) \
		tests/chaos/test_seeds.py -k hostile

pictures: ## run the demo in Chromium and take the pictures of README and docs/tour.md again
	@$(VENV) development && PICTURES=1 exec .venv/bin/python -m pytest -q -n 0 tests/story/test_tour.py

lint: ## check style and types
	@$(VENV) development && .venv/bin/python -m ruff check .
	@$(VENV) development && .venv/bin/python -m ruff format --check .
	@.venv/bin/djangofmt --check templates
	@$(VENV) development && .venv/bin/python -m mypy

format: ## format the code
	@$(VENV) development && .venv/bin/python -m ruff check --fix .
	@$(VENV) development && .venv/bin/python -m ruff format .
	@.venv/bin/djangofmt --quiet templates

lock: ## pin the packages of requirements/*.in with hashes (ARGS="--upgrade-package celery" takes a newer one)
	@$(VENV) development
	@$(COMPILE) requirements/production.in -o requirements.txt
	@$(COMPILE) requirements/sandbox.in -c requirements.txt -o requirements/sandbox.txt
	@$(COMPILE) requirements/embedded.in -c requirements.txt -o requirements/embedded.txt
	@$(COMPILE) requirements/development.in -c requirements/embedded.txt -o requirements/development.txt
	@$(COMPILE) requirements/containers.in -o requirements/containers.txt

logs: ## follow the logs of `make run` (ONLY=worker: of one process)
	@ls var/*.log >/dev/null 2>&1 || { echo "There are no logs yet. Start with: make run"; exit 1; }
	@exec tail -n 30 -F $(if $(ONLY),var/logs/$(ONLY).log,var/*.log)

reset: ## delete the local data (asks first)
	@$(VENV) embedded && exec .venv/bin/python -m config.embedded.launcher reset

bench: ## run all benches and print one table (ARGS="latency webhooks" chooses)
	@$(VENV) development && .venv/bin/python -m bench $(ARGS)
