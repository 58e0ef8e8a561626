# `make help` lists what there is. Nothing but `install`, `test` (its own packages) and `lock` needs a network.
SHELL := /bin/bash
PYTHON ?= python3
export PYTHON TORCH_INDEX
export PATH := $(CURDIR)/.venv/bin:$(PATH)
.NOTPARALLEL:
.PHONY: help install run test ui doctor bench examples validate clean lock

help: ## what can be made
	@sed -n 's/^\([a-z]*\):.*## /  make \1	/p' $(MAKEFILE_LIST) | expand -t 20

install: .venv/assets ## packages, base models, example (TORCH_INDEX=https://download.pytorch.org/whl/cpu: CPU build of torch)
	@:

run: install ## audit, measure, decide, train, evaluate, register (PARAMS=file: with other settings, beside yours)
	@python -m flows.run $(PARAMS)

test: install .venv/dev .venv/references ## lint, types, import contracts, tests
	ruff check
	ruff format --check
	mypy
	lint-imports
	python -m pytest -q

ui: install ## Prefect and MLflow, on this machine only
	@python -m flows.ui

doctor: ## what is missing or does not fit, and how to mend it
	@[ -x .venv/bin/python ] || { echo "missing  packages: make install" >&2; exit 2; }
	@python -m tasks.doctor

bench: install .venv/references ## measure Crossover against the usual tools, into benchmarks.json
	@PYTHONPATH=.venv/references python -m tests.benchmarks benchmarks.json

examples: install ## run every example, train its branches in full, tell whether the verdict was right (NAMES="emoji metamath")
	@python -m tests.benchmarks.examples $(NAMES)

validate: install ## score the estimators on known outcomes, into validation.json (TRUTH=dir: yours)
	@python -m tasks.validate $(TRUTH)

clean: ## remove what DVC can restore and what tools leave; keeps packages, measured cells, registry, ledger
	git clean -fdxq results model data/split dvc_plots
	rm -rf benchmarks.json validation.json .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find flows tasks tests -name __pycache__ -prune -exec rm -rf {} +

lock: .venv/dev ## resolve the dependencies anew, keeping what still fits (to upgrade, delete the .lock files first)
	@echo torch >.venv/torch
	$(COMPILE) pyproject.toml --group torch --output-file requirements.lock
	$(COMPILE) --group dev --constraint requirements.lock --output-file requirements-dev.lock
	$(COMPILE) --no-deps tests/benchmarks/references.in --output-file tests/benchmarks/references.lock

# torch stays out: its version stands in pyproject.toml, its build (CPU or CUDA) is the choice of whoever installs it.
COMPILE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	--custom-compile-command "make lock" --excludes .venv/torch

.venv/references: tests/benchmarks/references.lock .venv/dev
	@infra/install.sh references && touch $@

.venv/packages: requirements.lock infra/install.sh
	@infra/install.sh packages && touch $@

.venv/assets: .venv/packages shelf.yaml
	@infra/install.sh assets && touch $@

.venv/dev: requirements-dev.lock .venv/packages
	@infra/install.sh dev && touch $@
