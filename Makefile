# Two commands on a fresh machine: `make demo` and `make test`. Everything goes to .venv here.
VENV ?= .venv
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { command -v $$p; break; }; done)
BIN := $(VENV)/bin
SOURCES := configs tasks flows src/cellstrata/__init__.py tests benchmarks
LOWEST ?= .venv-lowest
LOWEST_PYTHON ?= python3.11
LOWEST_TESTS ?= tests/flows/test_cluster.py tests/flows/test_run.py \
	tests/flows/ancestor/test_defects.py tests/flows/commands/test_linked.py \
	tests/flows/server/test_database.py tests/flows/server/test_operations.py
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test lowest lint format bench docs clean

demo: $(VENV)/.run
	@$(BIN)/cellstrata demo

# TESTS names some, or leaves some out: make test TESTS="-m 'not processes'" for those that finish soon.
# Two at a time by files: each has a Prefect server of its own, and more would only wait for the disk. Those of flows come
# first, which take longest, and not those with the most tests: else one waits for the other at the end.
test: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 1 $(TESTS)

# The lowest releases that pyproject.toml allows, on the oldest Python: each bound there is one that passed this.
lowest: $(LOWEST)/.dev
	cd $$(mktemp -d) && $(abspath $(LOWEST))/bin/cellstrata demo
	PATH=$(abspath $(LOWEST))/bin:$$PATH $(LOWEST)/bin/python -m pytest $(LOWEST_TESTS)

lint: $(VENV)/.dev
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks $(DATA)

# The table of keys in docs/configuration.md, and the site. A broken link fails the build.
docs: $(VENV)/.dev
	$(BIN)/python -m cellstrata.configs.form.reference docs/configuration.md
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

clean:
	rm -rf $(VENV) $(LOWEST) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist site cellstrata-demo
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.made:
	@test -n "$(PYTHON)" || { echo "cellstrata needs Python 3.11 or newer; none was found"; exit 1; }
	@echo "making $(VENV) with $$($(PYTHON) --version); the packages take a minute or two"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

# Packages are pinned for the Pythons that are tested; any other takes the newest that fit pyproject.toml.
$(VENV)/.run: $(VENV)/.made pyproject.toml $(wildcard constraints/*.txt)
	@$(call install,.)
	@touch $@

$(VENV)/.dev: $(VENV)/.made pyproject.toml $(wildcard constraints/*.txt)
	@$(call install,.[dev])
	@touch $@ $(VENV)/.run

$(LOWEST)/.dev: pyproject.toml
	@$(LOWEST_PYTHON) -m venv --clear $(LOWEST)
	@$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check uv
	@$(LOWEST)/bin/uv pip install --quiet --python $(LOWEST)/bin/python --resolution lowest-direct --editable '.[dev]'
	@touch $@

define install
	pins=constraints/python$$($(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])').txt; \
	if test -f $$pins; then $(PIP) --constraint $$pins --editable '$(1)'; else $(PIP) --editable '$(1)'; fi
endef
