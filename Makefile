# The door to everything: `make` alone lists the commands. Variables of .env.example may be given on the command
# line (`make up CONSOLE_PORT_BASE=9000`), in the environment or in .env.

SHELL := /bin/bash
PYTHON ?= python3
INSTALLED := $(PYTHON) -m stack.bootstrap
TOOLS := $(PYTHON) -m stack.bootstrap --dev
CHECKS := $(PYTHON) -m stack.bootstrap --check
AS_IS := $(PYTHON) -m stack.bootstrap --as-is
UV := $(or $(CONSOLE_VENV_DIR),../var/venv)/tools/bin/uv
COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header

unexport PYTHONDONTWRITEBYTECODE PYTHONPATH VIRTUAL_ENV
export PYTHONUNBUFFERED := 1

.DEFAULT_GOAL := help
.PHONY: help up down demo remove-demo status doctor measure logs reset backup restore psql shell kill \
        check format fuzz test test-all test-unit test-integration test-browser test-restore test-upgrade test-tutorial \
        test-examples test-brokers soak bench load notebook panels dashboards openapi reference docs messages lock secrets test-containers

help:  ## list these commands
	@echo "Usage: make COMMAND"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' Makefile

up:  ## install what is missing, start the stack, wait until it is healthy
	@$(INSTALLED) -m stack up

secrets:  ## passwords and keys for docker-compose.yml into .env, mode 0600; what stands there stays
	@$(PYTHON) -m stack.compose_secrets

down:  ## stop the stack
	@$(AS_IS) -m stack down

status:  ## part, health, pid, port, memory, uptime
	@$(AS_IS) -m stack status

doctor:  ## what is wrong, and what to do about it; exit status 1 for anything
	@$(AS_IS) -m stack doctor

measure:  ## load and memory of the running stack over 30 seconds
	@$(AS_IS) -m stack measure

logs:  ## follow the logs: all, or one part's with PART=web
	@$(AS_IS) -m stack logs $(PART)

reset:  ## stop the stack and remove its folder with all data
	@$(AS_IS) -m stack reset

backup:  ## databases, artefacts, output, secrets into one file: FILE=…, else a new one in backups/
	@$(AS_IS) -m stack backup $(if $(FILE),"$(FILE)")

restore:  ## a stack from a backup, in an empty folder: FILE=… CONSOLE_VAR_DIR=… CONSOLE_PORT_BASE=…
	@test -n "$(FILE)" || { echo "Which backup? make restore FILE=backups/….zip"; exit 2; }
	@$(INSTALLED) -m stack restore "$(FILE)"

psql:  ## a prompt in the console's database
	@$(AS_IS) -m stack psql

shell:  ## a Python prompt with the console's settings
	@$(AS_IS) -m stack shell

kill:  ## kill -9 one part: PART=kafka
	@$(AS_IS) -m stack kill $(PART)

demo:  ## go through the console as demonstration users, or on from where that ended
	@$(AS_IS) -m stack manage run_demo

remove-demo:  ## take the demonstration away with all that it made
	@$(AS_IS) -m stack manage remove_demo

check:  ## format, lint, types, import contracts, Django checks, templates, API schema, docs, security
	@$(CHECKS) -m stack.check

format:  ## put code and templates into shape
	@$(TOOLS) -m ruff format
	@$(TOOLS) -m ruff check --fix
	@$(TOOLS) -m stack.check --format-templates

test:  ## unit (one process a core), then integration and browser on one stack; names the slowest
	@$(TOOLS) -m pytest tests/unit -n auto -m "not thorough" --durations=15
	@$(TOOLS) -m pytest tests/integration tests/browser -m "not journey" --durations=15

test-all:  ## every test: those of `make test`, the thorough ones, and the journeys of minutes on the same stack
	@$(TOOLS) -m pytest tests/unit -n auto --durations=15
	@$(TOOLS) -m pytest tests/integration tests/browser --durations=40

test-unit:  ## without any server but a throwaway PostgreSQL
	@$(TOOLS) -m pytest tests/unit -n auto

test-integration:  ## on the real servers, which it starts on ports from 18000
	@$(TOOLS) -m pytest tests/integration

test-browser:  ## journeys in a real browser
	@$(TOOLS) -m pytest tests/browser

test-containers:  ## build the images and run docker-compose.yml by podman, with what is there: docs/containers.md
	@$(TOOLS) -m tests.containers $(STEPS)

fuzz:  ## the tests that make up their examples, with new ones, ROUNDS times (10)
	@for round in $$(seq $(or $(ROUNDS),10)); do \
	  $(TOOLS) -m pytest tests/unit -m hypothesis --hypothesis-profile=fuzz -n auto -q || exit 1; done

soak:  ## the tests that kill parts, in the middle of a demonstration too, ten rounds of each
	@CONSOLE_KILL_ROUNDS=10 $(TOOLS) -m pytest tests/integration/stack tests/integration/test_demo_survives.py

test-restore:  ## back a stack up, restore it on other ports, start it and go on there
	@CONSOLE_TEST_RESTORE=1 $(TOOLS) -m pytest tests/integration/test_backup_and_restore.py

test-upgrade:  ## the landed release before, with its demonstration, upgraded to this checkout; FROM=… names another commit
	@CONSOLE_TEST_UPGRADE=1 CONSOLE_TEST_UPGRADE_FROM=$(FROM) $(TOOLS) -m pytest -s tests/integration/test_upgrade.py

test-tutorial:  ## each command of docs/tutorial.md on a new stack
	@CONSOLE_TEST_TUTORIAL=1 $(TOOLS) -m pytest tests/integration/test_tutorial.py

test-examples:  ## Airflow's own example DAGs, run from the console's forms in a browser, on a stack that loads them
	@CONSOLE_TEST_EXAMPLES=1 $(TOOLS) -m pytest tests/browser/test_examples.py

test-brokers:  ## three brokers of Kafka, each killed once while predictions are answered
	@CONSOLE_TEST_BROKERS=1 $(TOOLS) -m pytest -s tests/integration/test_three_brokers.py

bench:  ## predict path and aggregator beside their peers, event to frame; on the running stack
	@$(PYTHON) -m stack.bootstrap --bench -m stack python -- -m benchmarks

load:  ## simulated users ask a model of the running stack: MODEL=diabetes USERS=50 RATE=10 SECONDS=60 P95=250 (ms)
	@$(PYTHON) -m stack.bootstrap --load -m stack manage load_test $(or $(MODEL),diabetes) --users $(or $(USERS),50) \
	  --rate $(or $(RATE),10) --seconds $(or $(SECONDS),60) --p95 $(or $(P95),250)

notebook:  ## JupyterLab on docs/notebooks, which ask the running stack with the token in ATALAYA_TOKEN
	@$(PYTHON) -m stack.bootstrap --notebook -m jupyterlab docs/notebooks \
	  --LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate --LabApp.news_url=None

panels:  ## ask the running Prometheus (`make up OBSERVE=1`) every query of every dashboard
	@$(AS_IS) -m stack.panels

dashboards:  ## write Grafana's dashboards anew from stack/dashboards.py
	@$(TOOLS) -m stack.dashboards

openapi:  ## write openapi.yaml anew from the code
	@$(TOOLS) -m stack.api_schema --write

reference:  ## write docs/reference anew from the code
	@$(TOOLS) -m stack.reference --write

docs:  ## build the site of docs/ and say where it is
	@$(PYTHON) -m stack.bootstrap --docs -m stack.docs_site

messages:  ## bring the Spanish catalogue up to the code; names what is left to translate
	@$(TOOLS) -m stack.messages

lock:  ## compile requirements/*.in into hashed locks
	@$(TOOLS) -c ""
	@cd requirements && for name in bootstrap build console airflow dev bench bench-bentoml load notebook docs traces; do $(COMPILE) $$name.in -o $$name.txt; done
