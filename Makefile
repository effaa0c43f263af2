# Everything a newcomer needs: `make run` follows the kernel log, `make test` runs the tests.
# Each sets up what it needs first (.ci/setup): system packages, as root or by sudo, then .venv.

SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# -m, for scripts in a venv know only the place where it was made.
WATCHER := $(BIN)/python -m watcher
STORY := scan -o human -v tests/corpus/story.txt

# What is set up is kept by the interpreter's name: another Python wants a fresh start.
READY := $(VENV)/.ready-$(notdir $(realpath $(shell command -v $(PYTHON) 2>/dev/null)))

.PHONY: run demo test lint bench hour fuzz lab idle siem agreement outage screen deb package clean

# Where no kernel log can be read (status 3, and it said why) the story is played instead.
# Ctrl-C reaches the watcher by itself, though shells hide it from what runs beside them (env);
# SIGTERM may reach only make, which hands it to this shell, which hands it on. Both end quietly.
run: $(READY)
	@stopped=; trap 'stopped=1' INT; \
	trap 'stopped=1; exec 2>/dev/null; kill $$watcher' TERM; \
	env --default-signal=INT $(WATCHER) watch & watcher=$$!; \
	wait $$watcher; status=$$?; \
	while kill -0 $$watcher 2>/dev/null; do wait $$watcher; status=$$?; done; \
	[ -z "$$stopped" ] || exit 0; \
	[ $$status = 3 ] || exit $$status; \
	echo 'make run: so here is a story, through the same rules; make demo tells it again' >&2; \
	exec $(WATCHER) $(STORY)

demo: $(READY)
	@$(WATCHER) $(STORY)

# make test ARGS='-k kmsg -x'
test: $(READY)-dev
	$(BIN)/python -m pytest $(ARGS)

lint: $(READY)-dev
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

# docs/bench.md, but for what stands in it by hand: some ten minutes, on a quiet machine.
# make bench ARGS='journal text --runs 3' shows a part of it.
bench: $(READY)-bench
	$(BIN)/python -m tests.bench $(ARGS)

# The daemon for an hour, as a picture: docs/hour.png; its figures go into docs/bench.md by hand.
hour: $(READY)-hour
	$(BIN)/python -m tests.bench.hour $(ARGS)

fuzz: $(READY)-fuzz
	$(BIN)/python -m tests.fuzz $(ARGS)

# A process for each core; a machine's tests by one of them, in order (tests/conftest.py).
SHARED := -n auto --maxprocesses=4

# Real kernels, really locked (docs/lab.md). FULL=1 boots all of them and rewrites that page,
# REFRESH=1 boots what tests/corpus/lab-* is made of and rewrites it; neither if a test has failed.
lab: $(READY)-lab
	FULL=$(FULL) REFRESH=$(REFRESH) $(BIN)/python -m pytest $(if $(FULL)$(REFRESH),,$(SHARED)) \
		tests/lab $(ARGS)

# What the service costs in ten minutes at rest (docs/idle.md, which this writes).
idle: $(READY)-lab
	$(BIN)/python -m tests.lab.idle

# Real receivers on loopback: Tenzir (HEC, _bulk, OTLP, syslog, Fluent Bit), rsyslog, Prometheus.
siem: $(READY)-siem
	$(BIN)/python -m pytest tests/sinks $(ARGS)

# The same rules and events through other engines, and the pack through converters
# (docs/agreement.md, docs/converted; REFRESH=1 rewrites the latter).
agreement: $(READY)-agreement
	REFRESH=$(REFRESH) $(BIN)/python -m pytest tests/agreement $(ARGS)

# The daemon killed 300 times, its receivers down or hung, its disk full or failing. Alone on
# /dev/kmsg, as root.
outage: $(READY)-siem
	$(BIN)/python -m pytest tests/outage $(ARGS)

# The Debian package, into dist/: make deb SUITE=trixie. As root. REFRESH=1 takes the newest
# libraries in place of those that packaging/wheels.sha256 knows.
SUITE := bookworm
deb: $(READY)-deb
	REFRESH=$(REFRESH) $(BIN)/python -m tests.package.deb $(SUITE)

# The packages as people get them: built, looked at, installed, used, purged.
package: $(READY)-package
	$(BIN)/python -m pytest $(SHARED) tests/package $(ARGS)

# The desktop agent under Xvfb, on dunst and xfce4-notifyd. KEEP_SHOTS=1 renews docs/desktop-*.png.
screen: $(READY)-screen
	KEEP_SHOTS=$(KEEP_SHOTS) $(BIN)/python -m pytest tests/screen $(ARGS)

$(READY): pyproject.toml .ci/setup
	@.ci/setup $(PYTHON) $(VENV)
	@touch $@

$(READY)-dev: pyproject.toml .ci/setup
	@.ci/setup $(PYTHON) $(VENV) dev
	@touch $(READY) $@

$(READY)-bench: pyproject.toml .ci/setup
	@.ci/setup $(PYTHON) $(VENV) dev siem bench
	@touch $(READY) $(READY)-dev $(READY)-siem $@

$(READY)-hour: pyproject.toml .ci/setup
	@.ci/setup $(PYTHON) $(VENV) dev hour
	@touch $(READY) $(READY)-dev $@

$(READY)-fuzz: pyproject.toml .ci/setup
	@.ci/setup $(PYTHON) $(VENV) dev fuzz
	@touch $(READY) $(READY)-dev $@

$(READY)-lab: pyproject.toml .ci/setup
	@.ci/setup $(PYTHON) $(VENV) dev lab
	@touch $(READY) $(READY)-dev $@

$(READY)-agreement: pyproject.toml .ci/setup
	@.ci/setup $(PYTHON) $(VENV) dev agreement
	@touch $(READY) $(READY)-dev $@

$(READY)-siem: pyproject.toml .ci/setup
	@.ci/setup $(PYTHON) $(VENV) dev siem
	@touch $(READY) $(READY)-dev $@

$(READY)-deb: pyproject.toml .ci/setup
	@.ci/setup $(PYTHON) $(VENV) deb
	@touch $(READY) $@

$(READY)-package: pyproject.toml .ci/setup
	@.ci/setup $(PYTHON) $(VENV) dev deb package
	@touch $(READY) $(READY)-dev $(READY)-deb $@

$(READY)-screen: pyproject.toml .ci/setup
	@.ci/setup $(PYTHON) $(VENV) dev screen
	@touch $(READY) $(READY)-dev $@

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache
