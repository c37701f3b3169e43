# `make` alone shows the commands. Everything longer than a line lives in config/embedded/.

PYTHON ?= python3
BOOTSTRAP = $(PYTHON) config/embedded/launcher.py
ARGS ?=
# Each test process has servers of its own, so that several can run at once.
PROCESSES ?= -n auto --dist worksteal
# One lock for every Python from 3.11 on, Linux and macOS; what is locked stays as it is unless the .in says otherwise.
COMPILE = .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-strip-extras \
	--custom-compile-command "make lock" $(ARGS)

.DEFAULT_GOAL := help
.PHONY: help setup run stop test hostile quick chaos pictures lint format lock logs reset bench python

help: ## show the commands
	@echo "NPD Sync. Type make and one of:"
	@sed -n 's/^\([a-z]*\):.*## /  \1|/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-10s %s\n", $$1, $$2 }'

python:
	@command -v $(PYTHON) >/dev/null || { echo "There is no $(PYTHON). Install Python 3.11 or newer (Debian, Ubuntu: sudo apt install python3 python3-venv), or name one: make run PYTHON=/path/to/python3.12"; exit 1; }

setup: python ## make .venv with everything, also what tests need
	@$(BOOTSTRAP) development && echo "Ready: .venv/bin/python"

run: python ## start the whole demo here: database, Monday sandbox, web, worker, beat (PORT=8000 SANDBOX_PORT=8001)
	@exec $(BOOTSTRAP) embedded -m config.embedded

stop: ## end what `make run` started in this folder, from another terminal
	@if [ -x .venv/bin/python ]; then exec .venv/bin/python config/embedded/stop.py; else echo "Nothing runs in this folder."; fi

test: python ## run the tests that a change needs (ARGS="-k name"; TEST_SERVERS=1 uses real PostgreSQL and Redis)
	@exec $(BOOTSTRAP) development -m pytest $(PROCESSES) -m "not hostile" $(ARGS)

hostile: python ## run the rest: kills, planted bugs, browsers, real servers (ARGS chooses tests)
	@$(BOOTSTRAP) development
	@PROCESSES="$(PROCESSES)" exec ops/hostile.sh $(ARGS)

quick: python ## run the pure and the database tests alone: no processes, no sandbox, no browser
	@exec $(BOOTSTRAP) development -m pytest $(PROCESSES) \
		-m "not hostile and not sandbox and not journey and not slow" $(ARGS)

chaos: python ## play N hostile scripts by seed (N=200 FIRST=1)
	@CHAOS_SEEDS=$(or $(N),200) CHAOS_FIRST=$(or $(FIRST),1) exec $(BOOTSTRAP) development -m pytest -q $(PROCESSES) \
		tests/chaos/test_seeds.py -k hostile

pictures: python ## play the demo in Chromium and take the pictures of README and docs/tour.md again
	@PICTURES=1 exec $(BOOTSTRAP) development -m pytest -q -n 0 tests/story/test_tour.py

lint: python ## check style and types
	@$(BOOTSTRAP) development -m ruff check .
	@$(BOOTSTRAP) development -m ruff format --check .
	@.venv/bin/djangofmt --quiet --check templates
	@$(BOOTSTRAP) development -m mypy

format: python ## put the code into its usual shape
	@$(BOOTSTRAP) development -m ruff check --fix .
	@$(BOOTSTRAP) development -m ruff format .
	@.venv/bin/djangofmt --quiet templates

lock: python ## pin what requirements/*.in name and need, with hashes (ARGS="--upgrade-package celery" takes a newer one)
	@$(BOOTSTRAP) development
	@$(COMPILE) requirements/production.in -o requirements.txt
	@$(COMPILE) requirements/embedded.in -c requirements.txt -o requirements/embedded.txt
	@$(COMPILE) requirements/development.in -c requirements/embedded.txt -o requirements/development.txt

logs: ## follow what the processes of `make run` say
	@ls var/*.log >/dev/null 2>&1 || { echo "There are no logs yet. Start with: make run"; exit 1; }
	@exec tail -n 30 -F var/*.log

reset: python ## delete the local data (asks first)
	@exec $(BOOTSTRAP) embedded -m config.embedded reset

bench: python ## measure everything, print one table (ARGS="latency webhooks" chooses)
	@$(BOOTSTRAP) development -m bench $(ARGS)
