# Everything runs in .venv; the first target that needs it makes it.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
PYTEST := $(BIN)/python -m pytest -q -n auto --maxprocesses 8 --dist worksteal
# What runs a second time, on the Python twins of the compiled units: what sees frames, and what lanes carry.
PURE_TESTS := tests/websocket tests/rawsocket tests/attacks tests/fuzz tests/conformance tests/test_readme.py \
	$(wildcard tests/asyncio/test_websocket*.py tests/asyncio/test_rawsocket*.py tests/asyncio/test_direct*.py) tests/asyncio/test_serve.py \
	tests/asyncio/test_connect.py tests/asyncio/test_proxy.py tests/asyncio/test_calls.py tests/asyncio/test_router.py \
	tests/asyncio/test_payloads.py tests/asyncio/test_router_order.py tests/asyncio/test_serializers_on_links.py

.PHONY: demo test check bench conformance fuzz faults sanitize interop soak docs build clean

$(INSTALLED): pyproject.toml setup.py $(wildcard src/autobahn/_*.pxi src/autobahn/*/_*.p[yx][xi] src/autobahn/*/_*.h)
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

demo: $(INSTALLED)
	$(BIN)/python examples/demo.py

test: $(INSTALLED) check
	$(PYTEST) --cov --cov-report=term --cov-fail-under=90
	AUTOBAHN_PURE=1 $(PYTEST) $(PURE_TESTS)

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(INSTALLED)
	$(BIN)/python bench/run.py

conformance: $(INSTALLED)
	$(BIN)/python tests/conformance/run.py --full
	$(BIN)/python tests/conformance/run.py --full --pure
	$(BIN)/python tests/conformance/run.py --full --uvloop
	$(BIN)/python tests/conformance/run.py --full --uvloop --pure
	$(BIN)/python tests/conformance/page.py reports/conformance

fuzz: $(INSTALLED)
	$(BIN)/python tests/fuzz/run.py --seconds $(or $(SECONDS),20)

faults: $(INSTALLED)
	AUTOBAHN_FAULTS=all $(PYTEST) tests/faults

sanitize: $(INSTALLED)
	tests/sanitizers/run.sh $(BIN)/python

interop: $(INSTALLED)
	$(BIN)/python tests/interop/run.py
	$(BIN)/python -m pytest -q tests/interop/test_ws_peers.py
	$(BIN)/python tests/interop/other_clients.py
	$(BIN)/python tests/interop/chromium.py

soak: $(INSTALLED)
	$(BIN)/python bench/soak.py
	$(BIN)/python bench/soak_wamp.py

docs: $(INSTALLED)
	$(BIN)/python tests/feature_page.py
	$(BIN)/python -m pytest -q tests/test_readme.py

build: $(INSTALLED)
	$(BIN)/python -m pip install --quiet build
	$(BIN)/python -m build

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .coverage*
