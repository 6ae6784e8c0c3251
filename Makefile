# Every command of the project; `make` alone lists them. Nothing but Python,
# make and git has to be there: Poetry, the dependencies and PostgreSQL come by
# themselves, and stay inside this directory.
#
#   make test PYTHON=python3.12               another interpreter, .venv is rebuilt
#   make test TEST_ARGS="-k stampede -x"      more words for pytest
#   make run RUN_ARGS="--port 8001"           more words for `events serve`
#   make bench BENCH_ARGS="--help"            more words for the benchmarks

.DEFAULT_GOAL := help
.NOTPARALLEL:

# Poetry and Python would take these for the environment to work in.
unexport VIRTUAL_ENV CONDA_PREFIX CONDA_DEFAULT_ENV PYTHONHOME
export POETRY_VIRTUALENVS_CREATE := true
export POETRY_VIRTUALENVS_IN_PROJECT := true
export POETRY_NO_INTERACTION := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# The first that is new enough. A name that exists may still not run (pyenv),
# so each is tried.
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
ifndef PYTHON
PYTHON := $(shell for python in python3 python3.13 python3.12 python3.11; do \
	"$$python" -c '$(NEW_ENOUGH)' >/dev/null 2>&1 && echo "$$python" && break; done)
endif

PRINT_VERSION := import sys; print("%d.%d" % sys.version_info[:2])
version_of = $(if $(1),$(shell "$(1)" -c '$(PRINT_VERSION)' 2>/dev/null))
PYTHON_VERSION := $(call version_of,$(PYTHON))

# pyenv has a command for every Python that it installed, and runs it only for
# the one that is chosen; asked by name for another, go to that one itself.
ifeq ($(PYTHON_VERSION),)
OF_PYENV := $(if $(PYTHON),$(lastword $(wildcard $(or $(PYENV_ROOT),$(HOME)/.pyenv)/versions/*/bin/$(PYTHON))))
ifneq ($(OF_PYENV),)
override PYTHON := $(OF_PYENV)
PYTHON_VERSION := $(call version_of,$(PYTHON))
endif
endif

# The stamp is named after what was installed, not dated: a fresh clone, a
# switched branch and a restored cache all have new dates on old files.
FINGERPRINT := $(firstword $(shell cat pyproject.toml poetry.lock | cksum))
STAMP := .venv/installed-$(PYTHON_VERSION)-$(FINGERPRINT)

POETRY_VERSION := 2.5.1
MIRROR_PLUGIN_VERSION := 0.6.5
OWN_POETRY := .poetry/bin/poetry

FUZZ := app/tests/test_fuzz.py app/tests/test_parsers.py

.PHONY: help
help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

.PHONY: run
run: $(STAMP) ## Serve the API on http://localhost:8000, with a database of its own
	@exec .venv/bin/events serve $(RUN_ARGS)

.PHONY: test
test: $(STAMP) ## Run the tests
	.venv/bin/python -m pytest -q -n auto $(TEST_ARGS)

# Transactions, locks, races and crowds: what a pooler could break.
POOLED_TESTS := $(addprefix app/tests/,core/test_database.py models routers/test_registrations.py \
	routers/test_check_ins.py services/test_events.py test_races.py test_rush.py test_seat_races.py)

.PHONY: test-pgbouncer
test-pgbouncer: $(STAMP) ## Run the tests with PgBouncer in front of PostgreSQL
	TEST_PGBOUNCER=1 .venv/bin/python -m pytest -q -n auto $(TEST_ARGS)

.PHONY: pooled
pooled: $(STAMP) ## Run those of the tests with PgBouncer that a pooler could break
	@PATH="$$PATH:/usr/local/sbin:/usr/sbin:/sbin" command -v pgbouncer >/dev/null || { \
	    echo "pgbouncer is not here: scripts/install-system-packages pgbouncer"; test -z "$$CI"; exit; }; \
	echo "tests through pgbouncer"; TEST_PGBOUNCER=1 .venv/bin/python -m pytest -q -n auto $(POOLED_TESTS)

.PHONY: check
check: lint types layers deps audit migrations pooled coverage contract ## Run everything that CI runs

.PHONY: lint
lint: $(STAMP) ## Lint the code, its format and the Dockerfile
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	@hadolint=$$(PATH="$(CURDIR)/.venv/bin:$$PATH" command -v hadolint) \
	    || { echo "hadolint is not here: the Dockerfile goes unlinted"; exit 0; }; \
	echo "hadolint Dockerfile"; "$$hadolint" Dockerfile

.PHONY: types
types: $(STAMP) ## Check the types
	.venv/bin/mypy

.PHONY: layers
layers: $(STAMP) ## Check that the layers import only what lies beneath them
	.venv/bin/lint-imports

.PHONY: deps
deps: $(STAMP) ## Check that the dependencies are those that the code uses
	.venv/bin/deptry app

.PHONY: audit
audit: $(STAMP) ## Look the dependencies up among the known vulnerabilities
	.venv/bin/python scripts/audit_dependencies.py

.PHONY: migrations
migrations: $(STAMP) ## Check that the migrations make the models' schema, and unmake it
	.venv/bin/python -m pytest -q app/tests/test_migrations.py

.PHONY: coverage
coverage: $(STAMP) ## Run the tests and measure what they reach
	.venv/bin/python -m pytest -q -n auto --cov $(TEST_ARGS)

.PHONY: contract
contract: $(STAMP) ## Check that openapi.json is what the service offers
	.venv/bin/python -m pytest -q app/tests/test_openapi.py

.PHONY: fuzz
fuzz: $(STAMP) ## Send more than ten thousand requests that nobody thought of, for some minutes
	.venv/bin/python -m pytest -q -n auto -p no:logging --hypothesis-profile fuzz $(FUZZ) $(TEST_ARGS)

.PHONY: bench
bench: $(STAMP) ## Run the benchmarks against a service of their own
	@command -v wrk >/dev/null || { echo "The benchmarks need wrk: run scripts/install-system-packages wrk" >&2; exit 1; }
	.venv/bin/python -m bench $(BENCH_ARGS)

.PHONY: format
format: $(STAMP) ## Put the code into its format and mend what ruff can mend
	.venv/bin/ruff check --fix
	.venv/bin/ruff format

.PHONY: install
install: $(STAMP) ## Install the dependencies into .venv (the others do it when needed)

.PHONY: lock
lock: ## Resolve the dependencies anew into poetry.lock
	@$(usable_python) && $(own_poetry) && $(as_pip) && $(OWN_POETRY) lock

.PHONY: clean
clean: ## Remove the environments and the tools' caches (not .data, the database's)
	rm -rf .venv .poetry .pytest_cache .mypy_cache .ruff_cache .import_linter_cache \
	    .hypothesis .coverage .coverage.* dist
	find . -name __pycache__ -prune -exec rm -rf {} +

# Installing ------------------------------------------------------------------

usable_python = { [ -n "$(PYTHON)" ] || { \
	echo "Mis Eventos needs Python 3.11 or newer, and finds none on PATH. Install one, or name it: make PYTHON=/path/to/python3" >&2; false; }; } && \
	{ [ -n "$(PYTHON_VERSION)" ] || { echo "$(PYTHON) does not run: is it installed?" >&2; false; }; } && \
	{ "$(PYTHON)" -c '$(NEW_ENOUGH)' || { echo "Mis Eventos needs Python 3.11 or newer; $(PYTHON) is $(PYTHON_VERSION)." >&2; false; }; }

# The interpreter itself, even where PYTHON is that of some virtual environment.
interpreter = "$$("$(PYTHON)" -c 'import sys; print(getattr(sys, "_base_executable", sys.executable))')"

# $(call install_with,poetry)
install_with = "$(1)" env use --quiet $(interpreter) && "$(1)" install

# Make .poetry, unless it is there, of the pinned version and in working order.
own_poetry = { $(OWN_POETRY) --version 2>/dev/null | grep -qF "$(POETRY_VERSION)" || { \
	echo "Installing Poetry $(POETRY_VERSION) into .poetry" && \
	{ "$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo "$(PYTHON) cannot make virtual environments: on Debian and Ubuntu, apt-get install python3-venv" >&2; false; }; } && \
	"$(PYTHON)" -m venv --clear .poetry && \
	.poetry/bin/python -m pip install -qq \
	    poetry==$(POETRY_VERSION) poetry-plugin-pypi-mirror==$(MIRROR_PLUGIN_VERSION); }; }

# Poetry asks its index through a JSON interface that many company mirrors lack.
# With the plugin it asks as pip does; so it is sent where pip goes, and told to
# trust the certificates that pip is told to trust.
pip_setting = .poetry/bin/python -m pip config list | sed -nE "s/^(global|install)\.$(1)='(.*)'$$/\2/p" | tail -n 1
as_pip = { \
	[ -n "$$POETRY_PYPI_MIRROR_URL" ] || POETRY_PYPI_MIRROR_URL=$${PIP_INDEX_URL:-$$($(call pip_setting,index-url))}; \
	[ -n "$$POETRY_PYPI_MIRROR_URL" ] || POETRY_PYPI_MIRROR_URL=$$(.poetry/bin/python -c \
	    'from pip._internal.models.index import PyPI; print(PyPI.simple_url)'); \
	[ -n "$$REQUESTS_CA_BUNDLE" ] || REQUESTS_CA_BUNDLE=$${PIP_CERT:-$$($(call pip_setting,cert))}; \
	export POETRY_PYPI_MIRROR_URL REQUESTS_CA_BUNDLE; }

# An environment that is of another Python, of one that is gone, or that was made
# in another directory is of no use: start afresh. A Poetry of the user's own is
# tried first; its complaints go to a file, because the second try mends most.
$(STAMP): $(if $(wildcard .venv/bin/python),,FORCE)
	@$(usable_python)
	@[ "$$(.venv/bin/python -c '$(PRINT_VERSION)' 2>/dev/null)" = "$(PYTHON_VERSION)" ] \
	    && grep -qsF "$(CURDIR)/.venv" .venv/bin/activate || rm -rf .venv
	@rm -f .venv/installed-*
	@theirs=$$(command -v poetry); log=$${TMPDIR:-/tmp}/mis-eventos-poetry-$$$$.log; \
	if [ -n "$$theirs" ] && [ ! -x $(OWN_POETRY) ]; then \
	    echo "Installing the dependencies with $$theirs"; \
	    if { $(call install_with,$$theirs); } >"$$log" 2>&1; then rm -f "$$log"; exit 0; fi; \
	    echo "$$theirs could not (see $$log): going on with a private Poetry"; \
	fi; \
	$(own_poetry) && $(as_pip) && \
	echo "Installing the dependencies into .venv with Python $(PYTHON_VERSION)" && \
	$(call install_with,$(OWN_POETRY))
	@touch $@

.PHONY: FORCE
FORCE:
