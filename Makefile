# One command does what CI does: `make check`. Everything lives in .venv, made on first use.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
JOBS   ?= 2
PIP    := pip --quiet --disable-pip-version-check

.PHONY: help demo test check lint format types docs-examples docs-cli index core-coverage core-alone interop wheel contract bench nightly fuzz clean

help:            ## list these targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## */\t/' | expand -t 18

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/$(PIP) install -e '.[dev,hub,demo]' -c constraints.txt
	touch $@

demo: $(STAMP)   ## a poisoned and a harmless model, loaded with safeload
	$(BIN)/safeload demo

test: $(STAMP)   ## every test
	$(BIN)/python -m pytest -n $(JOBS) $(ARGS)

check:           ## all that CI does
	.ci/run

lint: $(STAMP)   ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(STAMP) ## let ruff write the format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(STAMP)  ## mypy: the package strictly, its tests leniently
	$(BIN)/mypy safeload safeload_approved tests

docs-examples: $(STAMP) ## run the examples of README and docs
	$(BIN)/python -m pytest -q tests/docs

docs-cli: $(STAMP) ## write docs/cli.md from the program's help
	$(BIN)/python -m tests.docs.help_page

index: $(STAMP)  ## write safeload/index.py, after a format, a rule or an allowlist changed
	$(BIN)/python -m tools.index

core-coverage: $(STAMP) ## tests/core must cover every branch of core
	$(BIN)/python -m pytest -q tests/core -n $(JOBS) --cov --cov-branch --cov-report=term-missing:skip-covered

# The part people audit must stand alone: only cryptography, pytest and hypothesis are there.
ALONE := build/core-alone
$(ALONE)/.installed:
	$(PYTHON) -m venv $(ALONE)
	$(ALONE)/bin/$(PIP) install cryptography pytest hypothesis
	touch $@

core-alone: $(ALONE)/.installed ## tests/core where nothing else is installed
	$(ALONE)/bin/python -m pytest -q -p no:cacheprovider tests/core

# The reference tool of model signing imports pyOpenSSL and does not ask for it.
INTEROP := build/interop
$(INTEROP)/.installed:
	$(PYTHON) -m venv $(INTEROP)
	$(INTEROP)/bin/$(PIP) install model-signing==1.1.1 'pyOpenSSL>=25'
	touch $@

interop: $(STAMP) $(INTEROP)/.installed ## sign and verify both ways with the reference tool of model signing
	$(BIN)/python tools/interop_oms.py --reference $(INTEROP)/bin/python

# The source archive; the wheel that is built of it; and that wheel by itself, away from the sources.
PACKAGING := build/packaging
$(PACKAGING)/.installed:
	$(PYTHON) -m venv $(PACKAGING)
	$(PACKAGING)/bin/$(PIP) install 'build>=1.3' 'twine>=6.2'
	touch $@

wheel: $(STAMP) $(PACKAGING)/.installed ## build source archive and wheel, check both, install the wheel alone, and run it
	rm -rf dist build/wheel-check
	$(PACKAGING)/bin/python -m build --outdir dist .
	$(PACKAGING)/bin/python -m twine check --strict dist/*
	$(BIN)/python -m tools.sdist_check dist/safeload-*.tar.gz
	$(PYTHON) -m venv build/wheel-check
	build/wheel-check/bin/$(PIP) install dist/safeload-*.whl
	cd build/wheel-check && bin/python -I ../../tests/wheel_check.py

contract: $(STAMP) ## an adapter against its library: LIBRARY=peft VERSION=oldest|newest|0.19.0
	$(BIN)/python -m tools.contract $(LIBRARY) $(or $(VERSION),oldest)

bench: $(STAMP)  ## measure; see docs/performance.md
	$(BIN)/python benchmarks/load.py

nightly: $(STAMP) ## judge tens of thousands of generated dangerous files: COUNT=… SEED=…
	$(BIN)/python -m tests.generator.run --count $(or $(COUNT),100000) --seed $(or $(SEED),20261128) --jobs $(JOBS)

fuzz: $(STAMP)    ## fuzz every reader for SECONDS=600 together; needs: pip install atheris
	$(BIN)/python -m fuzz.run --seconds $(or $(SECONDS),600)

clean:           ## remove what was built, not what was written
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
