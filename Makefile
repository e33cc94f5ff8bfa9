# Haywain's commands; `make` alone lists them.  None needs root; `make test` uses it where it may.
#   PYTHON=python3.12   the interpreter for a new .venv (default: the first usable of 3.13, 3.12, 3.11)
#   ARGS="..."          what to hand on to `haywain demo`, pytest or the benchmark
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?=
export PYTHON

VENV := .venv
BIN := $(VENV)/bin
SERVER := $(VENV)/.installed-server
TESTS := $(VENV)/.installed-test
BUILDOUT := .venv-buildout

.PHONY: help run test check format lint types layers guards system bench campaign buildout pins clean

help: ## List these commands.
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(SERVER) ## Install into .venv, then serve a portal with sample data (no root needed).
	@$(BIN)/haywain demo $(ARGS)

test: $(TESTS) system ## Install what the tests need, then run all of them.
	@$(BIN)/python -m pytest -n 2 --dist loadfile --max-worker-restart 1 $(ARGS)

check: format-check lint types layers guards ## Check format, lint, types, layers and the rules of the house.

bench: $(SERVER) ## Measure the store beside others: prints a table of ratios.
	@$(BIN)/python benchmarks/table.py $(ARGS)

campaign: $(TESTS) system ## Run the long kill, fuzz and soak tests.
	@HYPOTHESIS_PROFILE=campaign $(BIN)/python -m pytest -m campaign -o faulthandler_timeout=0 $(ARGS)

format: $(TESTS) ## Format the code.
	@$(BIN)/ruff check -q --select I --fix .
	@$(BIN)/ruff format .

buildout: ## Build bin/haywain and bin/test with zc.buildout.
	@scripts/environment $(BUILDOUT)
	@$(BUILDOUT)/bin/python -m pip install -qq -c constraints.txt pip setuptools wheel zc.buildout
	@$(BUILDOUT)/bin/buildout $(ARGS)

pins: ## Copy the versions of constraints.txt into buildout.cfg.
	@python3 scripts/pins

clean: ## Remove what these commands made, except the data in var/.
	rm -rf $(VENV) $(BUILDOUT) .venv-bench .clients bin build develop-eggs dist eggs parts artifacts .installed.cfg
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache platform/*.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +

.PHONY: format-check
format-check: $(TESTS)
	@$(BIN)/ruff format --check .

lint: $(TESTS)
	@$(BIN)/ruff check .

types: $(TESTS)
	@$(BIN)/mypy --strict -p haywain

layers: $(TESTS)
	@$(BIN)/lint-imports

guards: $(TESTS)
	@$(BIN)/python -m pytest -q tests/house

system:
	@scripts/system
	@scripts/clients .clients

$(SERVER): setup.py constraints.txt scripts/install scripts/environment
	@scripts/install $(VENV) server
	@touch $@

$(TESTS): setup.py constraints.txt scripts/install scripts/environment
	@scripts/install $(VENV) server,test,check
	@touch $@ $(SERVER)
