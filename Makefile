# `make` prints what there is. Everything runs in .venv, which `make setup` builds from constraints.txt.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
STAMP := .venv/installed-$(shell cat pyproject.toml constraints.txt | cksum | tr ' ' '-')
# On few cores, threads of small matrix products mostly wait for each other.
export OMP_NUM_THREADS ?= 1
export TOKENIZERS_PARALLELISM ?= false

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint bench soak fuzz clean

help: ## print this
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## build the environment .venv; does nothing when it is up to date

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Lethe needs Python 3.11 or newer; set PYTHON=...")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[dev,redteam,unlearn,postgres]'
	@rm -f .venv/installed-*
	@touch $@

demo: setup ## see Lethe work on a real model on this machine; ONCE=1 checks the outcome and ends
	$(BIN)/lethe demo $(if $(filter-out 0,$(ONCE)),--once) $(if $(PORT),--port $(PORT)) $(if $(MODEL_SERVER),--model-server $(MODEL_SERVER))

test: setup ## run every test, the end-to-end ones on a real vLLM included
	$(BIN)/python -m pytest tests

lint: setup ## check style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: setup ## measure everything in docs/benchmarks.md
	$(BIN)/python -m bench

bench-%: setup ## measure one part of it
	$(BIN)/python -m bench $*

soak: setup ## 20 minutes of mixed load while the index changes; MINUTES=5 for another length
	$(BIN)/python -m bench.soak $(if $(MINUTES),--minutes $(MINUTES))

fuzz: setup ## 10 minutes of streams that no model server should send; MINUTES=1 for another length
	$(BIN)/python -m bench.fuzz $(if $(MINUTES),--minutes $(MINUTES))

clean: ## remove environments and caches of this checkout
	rm -rf .venv .venv-vllm .venv-vllm.lock .venv-vllm.log .cache .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist
