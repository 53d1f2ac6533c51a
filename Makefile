# Everything that people and CI do here. `make` alone lists it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXTRAS := api,jobs,scheduler,embedded,demo,dev
INSTALLED := $(VENV)/.installed
SPARK35 := $(VENV)/spark35
SPARK35_TESTS := tests/spark
CONSTRAINTS := constraints-common.txt
# Two processes, of which one has the Spark session (tests/conftest.py); WORKERS=0: pytest's own.
WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest --numprocesses $(WORKERS)

# Spark's Python workers must be the interpreter that started them.
export PYSPARK_PYTHON ?= $(CURDIR)/$(BIN)/python

.DEFAULT_GOAL := help
.PHONY: help install java demo serve test test-fast test-redis test-spark35 check format bench play torture clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED) java ## make .venv with all that the rest needs, and see that Java is there

$(INSTALLED): setup.py constraints.txt $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	  || { echo "Python 3.10 or newer is needed; say which: make install PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || sh .ci/debian.sh python3-venv
	@echo "installing into $(VENV) (a minute or two the first time) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --use-pep517 \
	  --constraint constraints.txt --editable '.[$(EXTRAS)]'
	@touch $@

java: # Spark needs it; 24 and later lack what Hadoop's client calls
	@sh .ci/java.sh

demo: install ## the main job on real data: define, apply, ingest, serve, train
	@$(BIN)/python -m demo

serve: install ## keep the service up on port 8080 with the store of feature_repo
	@cd feature_repo && exec ../$(BIN)/python -m ingest_api

test: install ## the whole suite, with real Redis, Delta and Spark
	$(PYTEST)

test-fast: $(INSTALLED) ## what needs no JVM, with fewer random examples: a minute or two
	STATE_MACHINE_EXAMPLES=3 $(PYTEST) --hypothesis-profile=quick --ignore=tests/spark --ignore=tests/e2e -m "not spark"

test-redis: $(INSTALLED) ## what needs Redis; REDIS_SERVER=/path/to/redis-server tries that one
	$(BIN)/python -m pytest tests/contract tests/api tests/e2e/test_redis_service.py

test-spark35: $(SPARK35)/.installed java ## the Spark tests with Spark 3.5; SPARK35_TESTS=… some of them
	PYSPARK_PYTHON=$(CURDIR)/$(SPARK35)/bin/python $(SPARK35)/bin/python -m pytest $(SPARK35_TESTS)

$(SPARK35)/.installed: $(INSTALLED) constraints-spark35.txt
	@echo "installing Spark 3.5 into $(SPARK35) ..."
	@test -x $(SPARK35)/bin/python || $(PYTHON) -m venv $(SPARK35)
	@# On Python 3.12 and later Spark 3.5 finds distutils in setuptools alone.
	@$(SPARK35)/bin/python -m pip install --quiet --disable-pip-version-check --use-pep517 \
	  --constraint constraints-spark35.txt --editable '.[$(EXTRAS)]' 'setuptools<81'
	@touch $@

check: $(INSTALLED) ## lint, format, types, layers, spelling: what CI asks
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/nbstripout --verify notebooks/*.ipynb

format: $(INSTALLED) ## put right what ruff can, and empty the notebooks
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/nbstripout notebooks/*.ipynb

bench: install ## measure what the documents claim
	$(BIN)/python -m benchmarks

EXAMPLES ?= 1000
JOBS_EXAMPLES ?= 50

play: install ## requests, losses and jobs in random order against a model; EXAMPLES=… JOBS_EXAMPLES=…
	STATE_MACHINE_EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest tests/contract/test_state_machine.py
	STATE_MACHINE_EXAMPLES=$(JOBS_EXAMPLES) $(BIN)/python -m pytest tests/spark/test_state_machine.py

ROUNDS ?= 200
SEED ?= 1

torture: install ## kill, freeze and starve it under load; ROUNDS=… SEED=…, see CONTRIBUTING.md
	$(BIN)/python -m tests.torture --rounds $(ROUNDS) --seed $(SEED)

clean: ## remove .venv, caches and what the demo wrote into feature_repo/data
	rm -rf $(VENV) build dist *.egg-info .*_cache .hypothesis .coverage feature_repo/data
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
