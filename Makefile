# Everything a newcomer needs: `make run` follows the kernel log, `make test` runs the tests.
# Both set up what they need: system packages (as root or by sudo), then a venv in .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
READY_DEV := $(VENV)/.ready-dev

.PHONY: run demo test lint bench fuzz clean

run: $(READY)
	@BIN=$(BIN) ./units/run

demo: $(READY)
	@$(BIN)/lockdown-watcher scan -o human -v tests/corpus/story.txt

test: $(READY_DEV)
	$(BIN)/python -m pytest

lint: $(READY_DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY_DEV)
	$(BIN)/python -m tests.bench

clean:
	rm -rf $(VENV) build dist
