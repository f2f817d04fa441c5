# One word per intention. Everything lives in .venv and target; nothing is installed on the machine.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BENCH := .venv-bench
RUST := $(shell find crates -name '*.rs' -o -name Cargo.toml) Cargo.toml Cargo.lock

.DEFAULT_GOAL := help
.PHONY: help demo test fuzz-sql check format bench bench-large bench-engines docs ibis-suite clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

$(VENV)/.ready: pyproject.toml $(RUST)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(VENV)/.ready  ## three hospitals, one agreed result: build and run the main job
	$(BIN)/tacit demo

test: $(VENV)/.ready  ## all tests, Rust and Python
	cargo test --workspace --locked --quiet
	$(BIN)/python -m pytest -n 2

fuzz-sql: $(VENV)/.ready  ## 5,500 random queries beside DuckDB in the clear, 320 on shares: 18 minutes
	PYTHONPATH=tests $(BIN)/python -m sql.fuzz --seeds 0:5500
	PYTHONPATH=tests $(BIN)/python -m sql.fuzz --seeds 10000:10320 --protocol rep3

check: $(VENV)/.ready  ## format, lint, types, clippy, layering
	$(BIN)/ruff format --check src tests benchmarks examples
	$(BIN)/ruff check src tests benchmarks examples
	$(BIN)/mypy
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked --quiet -- -D warnings
	$(BIN)/python -m pytest tests/house

format: $(VENV)/.ready  ## rewrite the sources in the house format
	$(BIN)/ruff format src tests benchmarks examples
	$(BIN)/ruff check --fix src tests benchmarks examples
	cargo fmt --all

bench: $(VENV)/.ready  ## every bench task, beside the engines that are installed; results to benchmarks/results
	$(BIN)/python benchmarks/compare/compare.py

bench-large: $(VENV)/.ready  ## peak memory of parties on arrays of up to 10^8 elements: minutes, and 16 GB
	$(BIN)/python benchmarks/large.py

bench-engines: $(BENCH)/spu/.ready $(BENCH)/crypten/.ready $(BENCH)/mpyc/.ready  ## install the engines to compare with

$(BENCH)/spu/.ready: PACKAGES := spu==0.9.5
# The last CrypTen needs a PyTorch of its time, and asks for scikit-learn by a name that is out of use.
$(BENCH)/crypten/.ready: PACKAGES := setuptools crypten==0.4.1 torch==2.2.2 torchvision==0.17.2 'numpy<2'
$(BENCH)/crypten/.ready: export SKLEARN_ALLOW_DEPRECATED_SKLEARN_PACKAGE_INSTALL := True
$(BENCH)/mpyc/.ready: PACKAGES := mpyc==0.11 numpy gmpy2
$(BENCH)/%/.ready:
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check $(PACKAGES)
	@touch $@

docs: $(VENV)/.ready  ## regenerate the generated pages of docs/
	$(BIN)/python -m tacit.cli.reference docs
	$(BIN)/python benchmarks/compare/page.py
	PYTHONPATH=tests $(BIN)/python -m sql.pages docs/sql

ibis-suite: $(VENV)/.ready  ## Ibis's own backend tests against the Ibis backend; counts to docs/ibis.md, 10 minutes
	PYTHONPATH=tests $(BIN)/python -m ibis_suite.report docs/ibis.md

clean:  ## remove what was built
	rm -rf $(VENV) $(BENCH) target
