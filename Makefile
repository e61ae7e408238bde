# Every target sets up first what it needs; what is set up already costs a second.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup demo up down test test-fast test-faults bench lint fix backup restore export-data serve-yaml watch

PYTHON ?= $(shell command -v python3.11 || command -v python3)
RUN := .venv/bin/python
FAST := not engine and not daemon and not slow and not postgres
# thousands of small stores, each written through to its disk: where memory has room for them, they are made there
ROOMY := $(shell [ "$$(df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 {print $$4}')" -gt 4000000 ] 2>/dev/null && echo /dev/shm)
IN_MEMORY := $(if $(ROOMY),PYTEST_DEBUG_TEMPROOT=$(ROOMY))

ifeq ($(strip $(PYTHON)),)
$(error Python 3.11 was not found: install python3.11, or run PYTHON=/path/to/python3.11 make)
endif

help: ## This list
	@grep -hE '^[a-z-]+: .*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

setup: ## Packages in .venv and the base model
	@$(PYTHON) deploy/setup.py

demo: ## The whole loop once on real conversations, then it stays up (DEMO_EXIT=1 ends it)
	@began=$$SECONDS; $(PYTHON) deploy/setup.py && SETUP_SECONDS=$$((SECONDS - began)) exec $(RUN) -m deploy.demo

up: setup ## Ingress with its engine, Dagster and MLflow, until Ctrl-C or make down
	@exec $(RUN) -m deploy.stack up

watch: ## How far a training is, on this terminal, until Ctrl-C
	@exec $(RUN) -m deploy.follow

down: ## Ends what make up started
	@exec $(RUN) -m deploy.stack down

test: dev lint ## Lint, types, unit tests on both databases, end to end
	$(RUN) -m pytest

test-fast: dev ## The tests without engine, daemon, PostgreSQL and slow ones
	$(IN_MEMORY) PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(RUN) -m pytest -q -n 2 --dist loadfile -m "$(FAST)" -o tmp_path_retention_policy=failed

test-faults: dev ## Kills every process of the loop at every point, 200 times and more; broken off, it goes on where it was (AGAIN=1 begins anew)
	$(RUN) -m tests.faults $(if $(AGAIN),--again)

bench: dev ## Every figure, measured beside what one would use instead
	$(RUN) -m bench

lint: dev ## Style and types
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

fix: dev ## Style, repaired
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .
	$(RUN) -m deploy.env_example

backup: setup ## All of the state folder into one file (FILE=... names it)
	@exec $(RUN) -m deploy.backup backup $(FILE)

restore: setup ## The state folder from a backup: make restore FILE=...
	@exec $(RUN) -m deploy.backup restore $(FILE)

export-data: setup ## Conversations for other tools: make export-data FORMAT=dpo FILE=...
	@exec $(RUN) -m deploy.export $(FORMAT) $(FILE)

serve-yaml: setup ## What a Ray cluster or KubeRay runs: make serve-yaml FILE=serve.yaml GPUS=2
	@exec $(RUN) -m deploy.cluster_file $(FILE) $(if $(GPUS),--gpus $(GPUS))

.PHONY: dev
dev:
	@$(PYTHON) deploy/setup.py --dev
