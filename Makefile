# Three commands matter: `make run`, `make test` and, while you work, `make quick`. They set up all they need.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test quick check audit pytest lock clean

run:
	@$(PYTHON) scripts/setup.py demo
	@exec $(BIN)/fairpod demo

test:
	@$(PYTHON) scripts/setup.py test
	@$(MAKE) --no-print-directory check audit pytest

# The checks, and the tests that start no server and no process, in two minutes on two cores.
quick:
	@$(PYTHON) scripts/setup.py test
	@$(MAKE) --no-print-directory check
	FAIRPOD_TEST_EFFORT=0.2 $(BIN)/pytest -q -n 2 --dist worksteal -m "not server and not alone"

check:
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

audit:
	$(BIN)/python scripts/audit.py requirements/demo.txt

pytest:
	$(BIN)/pytest -q -n 2 --dist loadfile -m "not alone"
	$(BIN)/pytest -q -m alone

# The lock files hold versions and hashes, and no address of an index. The larger ones bind the smaller ones.
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	--no-emit-index-url --no-emit-find-links pyproject.toml

lock:
	$(COMPILE) --all-extras --group test --group bench -o requirements/test.txt
	$(COMPILE) --extra demo -c requirements/test.txt -o requirements/demo.txt
	$(COMPILE) -c requirements/test.txt -o requirements/runtime.txt
	$(COMPILE:pyproject.toml=) --group tools -o requirements/tools.txt
	$(COMPILE:pyproject.toml=) --group runpod-next -o requirements/runpod-next.txt

clean:
	rm -rf .venv .venv-runpod-next .bench tests/clients/node/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis
