# `make run` trains a first network, `make test` checks everything; both make their own environment in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# `make test CPU=default` (or avx2, avx512): with the kernels of another instruction set
CPU ?=
MKL_default := SSE4_2
MKL_avx2 := AVX2
MKL_avx512 := AVX512
ONEDNN_default := SSE41
ONEDNN_avx2 := AVX2
ONEDNN_avx512 := AVX512_CORE
CPU_ENV := $(if $(CPU),ATEN_CPU_CAPABILITY=$(CPU) MKL_ENABLE_INSTRUCTIONS=$(MKL_$(CPU)) ONEDNN_MAX_CPU_ISA=$(ONEDNN_$(CPU)))

# tests start hundreds of commands: each would compile every module if bytecode were not cached
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test test-slow lint docs bench clean

run: $(READY)
	$(BIN)/harness

test: $(READY) lint
	$(CPU_ENV) $(BIN)/python -m pytest -n auto --dist worksteal -m "not slow"

test-slow: $(READY)
	$(BIN)/python -m pytest -n 2 --dist worksteal -m slow --timeout 3600

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

bench: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,bench]'
	$(BIN)/python -m benchmarks

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "harness wants Python 3.11 or newer; say which: make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis site
