# `make run` needs Python 3.11 or later, a C compiler and make; everything else goes into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NATIVE := ringbuf/_native.c ringbuf/_native_build.py
LAYOUTS := ringbuf.layout shm_exchange.messages shm_exchange.market shm_exchange.journal_layout
TEST_FLAGS ?=
BENCH_FLAGS ?=
BASELINE ?= perf/results/baseline.json
SECONDS ?= 600

.DEFAULT_GOAL := run
.PHONY: run demo test test-systemd soak simulate fuzz oracle bench bench-compare lint layout clean

run: $(VENV)/.installed
	$(BIN)/shmx run $(ARGS)

demo: $(VENV)/.installed
	$(BIN)/python -m shm_exchange.demo $(ARGS)

KERNELS := tests/tidy/test_kernels.py

# Kernels first: with an empty cache the exchange that it starts compiles what all others load.
test: $(VENV)/.installed-test
	$(BIN)/python -m pytest $(TEST_FLAGS) $(KERNELS)
	$(BIN)/python -m pytest -n 3 --dist loadfile $(TEST_FLAGS) --ignore $(KERNELS)

# The unit under a real systemd, in a container that this host's own files boot: needs root.
test-systemd: $(VENV)/.installed-test
	SHMX_TEST_SYSTEMD=1 $(BIN)/python -m pytest $(TEST_FLAGS) tests/systemd

# Long: everything is killed in every way under load. ARGS="--matcher-kills 100" for one part.
soak: $(VENV)/.installed-test
	$(BIN)/python -m tests.soak $(ARGS)

# The whole engine in one process under a seeded scheduler. ARGS="--seed 7 --trace" for one history.
simulate: $(VENV)/.installed-test
	$(BIN)/python -m tests.simulation --seconds $(SECONDS) $(ARGS)

# Hostile inputs against the gateways' kernels. ARGS="--inputs 1000000 --live" for a whole exchange.
fuzz: $(VENV)/.installed-test
	$(BIN)/python -m tests.fuzz $(ARGS)

# The matcher against the naive exchange: random sequences in which every feature meets every other.
oracle: $(VENV)/.installed-test
	$(BIN)/python -m tests.differential --processes 2 $(ARGS)

bench: $(VENV)/.installed-test
	mkdir -p perf/results
	rm -f perf/results/benchmark.json
	$(BIN)/python -m pytest perf --benchmark-json=perf/results/benchmark.json $(BENCH_FLAGS); \
	status=$$?; $(BIN)/python -m perf.report perf/results/benchmark.json && exit $$status

# Fails when a figure is worse than in BASELINE, beyond noise, and again when measured twice more. For a part of the figures:
# make bench-compare BENCH_FLAGS="-k ring" ARGS=--partial
# Asked first: a BASELINE that is missing, or that the measurement itself would replace.
bench-compare: $(VENV)/.installed-test
	$(BIN)/python -m perf.compare $(BASELINE) --check
	$(MAKE) bench
	$(BIN)/python -m perf.compare $(BASELINE) perf/results/benchmark.json --again 2 $(ARGS)

lint: $(VENV)/.installed-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

layout: $(VENV)/.installed
	$(BIN)/python -m ringbuf layout $(LAYOUTS) --write

clean:
	rm -rf $(VENV) build *.egg-info ringbuf/*.so perf/results
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The source tree itself is what runs; the install compiles the C extension into it.
$(VENV)/.installed: pyproject.toml setup.py $(NATIVE)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	touch $@
