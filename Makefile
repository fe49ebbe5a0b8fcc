# Three commands matter: `make run`, `make test` and, while you work, `make quick`. They set up all they need.
PYTHON ?= python3
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest -q
WITHOUT_SERVERS := --dist worksteal -m "not server and not alone"
# What Python has compiled is kept, whatever the environment says: or each of a run's many processes does it again.
export PYTHONDONTWRITEBYTECODE =

.PHONY: run test quick thorough check audit audit-if-online sbom pytest coverage gaps measured next-python lock clean

run:
	@$(PYTHON) scripts/setup.py demo
	@exec $(BIN)/fairpod demo

test:
	@$(PYTHON) scripts/setup.py test
	@$(MAKE) --no-print-directory check audit-if-online pytest

# The checks, and the tests that start no server and no process, in two minutes on two cores.
quick:
	@$(PYTHON) scripts/setup.py test
	@$(MAKE) --no-print-directory check
	FAIRPOD_TEST_EFFORT=0.1 $(PYTEST) -n 2 $(WITHOUT_SERVERS)

# All tests, with all examples of each property, and measurements as long as the promised precision needs; then the
# clients' suites on uvicorn without our protocol.
thorough:
	@$(PYTHON) scripts/setup.py test
	FAIRPOD_TEST_EFFORT=1 $(MAKE) --no-print-directory check pytest
	FAIRPOD_TEST_SERVER=uvicorn $(PYTEST) -n 3 --dist loadfile tests/clients tests/e2e/test_disconnect.py -m "not alone"

check:
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

audit:
	$(BIN)/python scripts/audit.py requirements/demo.txt

# The same, but for tests that have to pass offline: 75 says that the advisories could not be read.
audit-if-online:
	@$(BIN)/python scripts/audit.py requirements/demo.txt || [ $$? -eq 75 ]

# A bill of materials for each lock file, in CycloneDX.
sbom:
	@PYTHONPATH=. $(BIN)/python scripts/sbom.py sbom requirements/*.txt

# Tests with servers wait more than they compute, so that two cores have time for four at once.
pytest: coverage next-python
	$(PYTEST) -n 4 --dist loadfile --no-loadscope-reorder -m "server and not alone"
	$(PYTEST) -m alone tests/e2e

# The tests without servers, and what they cover.
coverage: measured
	$(BIN)/python scripts/coverage_gaps.py

# Writes tests/coverage_gaps.yaml anew. Read the difference.
gaps: measured
	$(BIN)/python scripts/coverage_gaps.py --write

measured:
	@rm -f .coverage .coverage.*
	$(PYTEST) -n 2 -p tests.unit_coverage $(WITHOUT_SERVERS)

next-python:
	$(BIN)/python scripts/next_python.py

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
	rm -rf .venv .venv-3.* .venv-runpod-next .coverage .coverage.* .bench \
		tests/clients/node/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis
