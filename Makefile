# Production Gap & Cargo Forecast. `make help` lists what there is.
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
LOCK_ID := $(shell sha256sum requirements.lock pyproject.toml | sha256sum | cut -c1-16)
INSTALLED := $(VENV)/.installed-$(LOCK_ID)
# The rule of the demo: the sandbox in var/warehouse, another operator beside it; WAREHOUSE_DIR overrides both.
ifeq ($(strip $(WAREHOUSE_DIR)),)
override WAREHOUSE_DIR := var/warehouse$(if $(filter-out sandbox,$(OPERATOR)),-$(notdir $(patsubst %/,%,$(OPERATOR))))
endif
DAGSTER_DIR := var/dagster$(if $(filter-out sandbox,$(OPERATOR)),-$(notdir $(patsubst %/,%,$(OPERATOR))))
export OPERATOR
export PYTHONUTF8 := 1

.DEFAULT_GOAL := help
.PHONY: bench-ingest bench-publishing bench-healing bench-blocks openapi examples types help install lock demo test test-all lint format api dagster doctor simulators notebooks release-path release-list release-show release-activate release-resume clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

install: $(INSTALLED) ## create .venv from the hash-locked requirements

# uv installs the lock in seconds; where it cannot reach the index (it does not read pip's configuration), pip does the same.
$(INSTALLED):
	@echo "Installing into $(VENV) from requirements.lock …"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@rm -f $(VENV)/.installed-*
	@sed -n '/^uv==/,/# via/p' requirements.lock > $(VENV)/uv.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --require-hashes -r $(VENV)/uv.lock 2> >(grep -v '^WARNING: Location' >&2)
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install -q --compile-bytecode --no-deps --require-hashes -r requirements.lock \
	  || $(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install -q --no-deps --no-build-isolation -e . \
	  || $(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: install ## run everything on this machine: source systems, pipelines, release, API, Dagster; CHECK=1 calls every endpoint and exits
	@exec $(BIN)/python -m pipelines.demo --operator "$${OPERATOR:-sandbox}" $(if $(filter 1,$(CHECK)),--check)

# What only tests need: other people's clients of the source systems.
CLIENTS := $(VENV)/.clients-$(shell sha256sum requirements-clients.lock | cut -c1-16)
$(CLIENTS): $(INSTALLED)
	@echo "Installing the clients that the tests use …"
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install -q --no-deps --require-hashes -r requirements-clients.lock \
	  || $(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --require-hashes -r requirements-clients.lock
	@touch $@

lock: ## renew the hash-locked requirements
	@$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --python-version 3.11 --extra dev pyproject.toml -o requirements.lock
	@$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --python-version 3.11 --extra clients -c requirements.lock pyproject.toml -o requirements-clients.lock

# Emulators, OpenID providers and the front end's libraries; without npm the tests that need them say so and are skipped.
NODE_TOOLS := tests/node/node_modules/.package-lock.json
$(NODE_TOOLS): tests/node/package-lock.json
	@if command -v npm >/dev/null 2>&1; then echo "Installing what the tests need from npm …"; cd tests/node && npm ci --no-audit --no-fund --loglevel=error; \
	else echo "npm is not there: tests that need it will be skipped" >&2; fi

openapi: install ## write docs/openapi-v1.json, the document that clients build on; refuses what breaks them
	@$(BIN)/python -m tests.contract.record openapi

examples: install ## record the OpenAPI examples from the sandbox's release that `make demo` left
	@$(BIN)/python -m tests.contract.record examples "$(WAREHOUSE_DIR)"

TYPES ?= var/types/api.d.ts
types: $(NODE_TOOLS) ## write TypeScript types of the API to TYPES (var/types/api.d.ts)
	@mkdir -p "$(dir $(TYPES))" && tests/node/node_modules/.bin/openapi-typescript docs/openapi-v1.json -o "$(TYPES)"

# The tests start our processes a hundred times: compiled once, whatever the environment says of writing bytecode.
COMPILE = $(BIN)/python -m compileall -q -j 2 api pipelines warehouse tests/integration

test: $(CLIENTS) $(NODE_TOOLS) ## run every test but the heavy proofs
	@$(COMPILE)
	@$(BIN)/python -m pytest -n auto

test-all: $(CLIENTS) $(NODE_TOOLS) ## run every test, heavy proofs too
	@$(COMPILE)
	@$(BIN)/python -m pytest -n auto -m "slow or not slow"

bench-ingest: $(CLIENTS) ## measure the clients against other people's, side by side; minutes
	@$(BIN)/python -m benchmarks.ingest

bench-publishing: install ## measure what callers feel of releases published back to back; minutes
	@$(BIN)/python -m benchmarks.publishing

bench-healing: $(NODE_TOOLS) ## measure how soon replicas serve the newest release, after faults too; minutes
	@$(BIN)/python -m benchmarks.healing

bench-blocks: install ## measure what a release file costs at different block sizes; a minute
	@$(BIN)/python -m benchmarks.block_size

lint: install ## Ruff, mypy --strict, import-linter
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports --no-cache

format: install ## format the code
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

api: install ## serve the current release on PORT (8000)
	@WAREHOUSE_DIR="$(WAREHOUSE_DIR)" exec $(BIN)/python -m api

dagster: install ## the Dagster UI on 3000 with its daemon, against the configured sources
	@mkdir -p $(DAGSTER_DIR) && ln -sfn ../../dagster.yaml $(DAGSTER_DIR)/dagster.yaml
	@DAGSTER_HOME="$(abspath $(DAGSTER_DIR))" WAREHOUSE_DIR="$(WAREHOUSE_DIR)" exec $(BIN)/python -m dagster dev -m pipelines.definitions -p 3000

doctor: install ## check every configured source, the site's folder and the storage: make doctor [SOURCE=pi]
	@WAREHOUSE_DIR="$(WAREHOUSE_DIR)" exec $(BIN)/python -m pipelines.doctor $(if $(SOURCE),--source "$(SOURCE)")

simulators: install ## the source systems of OPERATOR (sandbox) on loopback; writes their settings to var/simulators.env
	@exec $(BIN)/python -m pipelines.simulators --operator "$${OPERATOR:-sandbox}" --data-root var/simulators --environment-file var/simulators.env

notebooks: install ## open the notebooks
	@WAREHOUSE_DIR="$(abspath $(WAREHOUSE_DIR))" exec $(BIN)/marimo edit notebooks

release-path: install ## print the current release's DuckDB file
	@$(BIN)/python -m warehouse path --warehouse "$(WAREHOUSE_DIR)" --url "$(LAKE_URL)"

release-list: install ## list the kept releases
	@$(BIN)/python -m warehouse list --warehouse "$(WAREHOUSE_DIR)" --url "$(LAKE_URL)"

release-show: install ## show a release: make release-show ID=…
	@$(BIN)/python -m warehouse show "$(ID)" --warehouse "$(WAREHOUSE_DIR)" --url "$(LAKE_URL)"

release-activate: install ## put a kept release in force and hold it: make release-activate ID=… REASON="…"
	@$(BIN)/python -m warehouse activate "$(ID)" --by "$${USER:-operator}" --reason "$(REASON)" --warehouse "$(WAREHOUSE_DIR)" --url "$(LAKE_URL)"

release-resume: install ## end the hold: the newest release is in force again
	@$(BIN)/python -m warehouse resume --warehouse "$(WAREHOUSE_DIR)" --url "$(LAKE_URL)"

clean: ## forget lake, releases and Dagster state (keeps .venv)
	@rm -rf var
