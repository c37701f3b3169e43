# `make` alone shows the commands. Everything longer than a line lives in config/embedded/.

PYTHON ?= python3
BOOTSTRAP = $(PYTHON) config/embedded/bootstrap.py
ARGS ?=
# Each test process has servers of its own, so that several can run at once.
PROCESSES ?= -n logical --maxprocesses 4 --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help setup run test chaos planted tour lint format logs reset bench python

help: ## show the commands
	@echo "NPD Sync. Type make and one of:"
	@sed -n 's/^\([a-z]*\):.*## /  \1|/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-10s %s\n", $$1, $$2 }'

python:
	@command -v $(PYTHON) >/dev/null || { echo "There is no $(PYTHON). Install Python 3.11 or newer (Debian, Ubuntu: sudo apt install python3 python3-venv), or name one: make run PYTHON=/path/to/python3.12"; exit 1; }

setup: python ## make .venv with everything, also what tests need
	@$(BOOTSTRAP) development && echo "Ready: .venv/bin/python"

run: python ## start the whole demo here: database, Monday sandbox, web, worker, beat (PORT=8000 SANDBOX_PORT=8001)
	@exec $(BOOTSTRAP) embedded -m config.embedded

test: python ## run the tests (ARGS="-k name"; TEST_SERVERS=1 uses real PostgreSQL and Redis)
	@exec $(BOOTSTRAP) development -m pytest $(PROCESSES) $(ARGS)

chaos: python ## play N hostile scripts by seed (N=200 FIRST=1), say what occurred, make the first that fails small
	@exec $(BOOTSTRAP) development -m tests.chaos.report $(or $(N),200) $(or $(FIRST),1) $(PROCESSES)

planted: python ## search the first 25 seeds for each planted bug, and record which shows it (tests/chaos/seeds.toml)
	@PLANTED_SEARCH=25 exec $(BOOTSTRAP) development -m pytest tests/chaos/test_planted.py -k search -q --tb=line $(PROCESSES) $(ARGS)

tour: python ## play the demo, take the pictures of docs/tour.md anew and write that page
	@TOUR=1 exec $(BOOTSTRAP) development -m pytest tests/story/test_tour.py -k every_screen -q -n 0

lint: python ## check style and types
	@$(BOOTSTRAP) development -m ruff check .
	@$(BOOTSTRAP) development -m ruff format --check .
	@$(BOOTSTRAP) development -m mypy

format: python ## put the code into its usual shape
	@$(BOOTSTRAP) development -m ruff check --fix .
	@$(BOOTSTRAP) development -m ruff format .

logs: ## follow what the processes of `make run` say
	@ls var/*.log >/dev/null 2>&1 || { echo "There are no logs yet. Start with: make run"; exit 1; }
	@exec tail -n 30 -F var/*.log

reset: python ## delete the local data (asks first)
	@exec $(BOOTSTRAP) embedded -m config.embedded.reset

bench: python ## measure everything, print one table (ARGS="latency webhooks" chooses; --markdown writes docs/performance.md)
	@$(BOOTSTRAP) development -m bench $(ARGS)
