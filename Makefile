# `make demo` and `make test` need nothing but Python 3.11-3.13; each makes the environment in .venv first.
PYTHON ?= python3
BIN := .venv/bin
OUT ?= runs/demo
EXTRAS ?= test

AGAINST ?= HEAD
# The PyTorch build is uv's choice where uv is at hand: that of the GPU, or the small one without.
UV := $(shell command -v uv)

.PHONY: demo test test-slow test-min check bench docs dist claims install

demo: install  ## the main job end to end, on simulated patients; ends in a page to look at
	$(BIN)/tardiff demo --out $(OUT)

test: install  ## the quick tests, in four to six minutes on two cores
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

test-slow: install  ## all the others: long training, notebooks, many processes, browsers, databases
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m slow

check: install  ## style, types, and which package may import which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache

docs: install  ## the documentation as a site with search, strictly and without a network: open site/index.html
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

claims: install  ## every measured sentence against the figure that it rests on
	$(BIN)/python -m experiments.harness.claims

bench: install  ## is anything slower than in the commit AGAINST (HEAD, what is not committed yet)? Ten minutes
	$(BIN)/python -m experiments.benchmarks.bench --against $(AGAINST)

dist: install  ## the wheel and the source distribution, in dist/
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[docs]'
	$(BIN)/python -m build

test-min: ## the quick tests at the lowest versions that pyproject.toml claims, in .venv-min
	test -x .venv-min/bin/pip || $(PYTHON) -m venv .venv-min
	$(PYTHON) -m tests.minimum > .venv-min/lowest.txt
	.venv-min/bin/pip install --quiet --constraint .venv-min/lowest.txt --editable '.[augment,meds,test]'
	OMP_NUM_THREADS=1 .venv-min/bin/python -m pytest -n 2 --dist loadfile -m "not slow"

install: .venv/.installed

.venv/.installed: pyproject.toml constraints.txt
	@echo "installing into .venv; PyTorch is large, this takes a few minutes"
ifdef UV
	test -x $(BIN)/pip || uv venv --seed --python $(PYTHON) .venv
	uv pip install --quiet --python $(BIN)/python --torch-backend auto --constraint constraints.txt --editable '.[$(EXTRAS)]'
else
	@echo "no uv here, and on Linux pip takes PyTorch's CUDA build; without a GPU: make install PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu"
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[$(EXTRAS)]'
endif
	touch $@
