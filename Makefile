# `make demo` and `make test` need nothing but Python 3.11-3.13; each makes the environment in .venv first.
PYTHON ?= python3
BIN := .venv/bin
OUT ?= runs/demo
EXTRAS ?= test
# What influence directions are tested against. It asks for torchvision, which nothing here needs and whose build may not fit PyTorch's.
ORACLE := curvlinops-for-pytorch backpack-for-pytorch einconv unfoldNd linear_operator opt_einsum

.PHONY: demo test check install

demo: install  ## the main job end to end, on simulated patients; ends in a page to look at
	$(BIN)/tardiff demo --out $(OUT)

test: install  ## the whole test suite
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

check: install  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

install: .venv/.installed

.venv/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	@echo "installing into .venv; PyTorch is large, this takes a few minutes"
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[$(EXTRAS)]'
	$(BIN)/pip install --quiet --constraint constraints.txt --no-deps $(ORACLE)
	touch $@
