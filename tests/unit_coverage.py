"""A plugin of pytest that measures which lines and branches of the gateway its unit tests run.

`pytest -p tests.unit_coverage` loads it, before anything of the gateway is imported. Every process of a run writes a
file of its own; `scripts/coverage_gaps.py` puts them together. Tests with servers, and those that repeat themselves
many thousand times, run with the measurement stopped, at full speed.
"""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import coverage
import pytest

ROOT = Path(__file__).parent.parent
UNMEASURED_MARKS = ("server", "alone")
UNMEASURED_PATHS = (
    "tests/contracts/test_dialects.py::test_a_cut_at_every_byte",
    "tests/contracts/test_dialects.py::test_any_slicing",
    "tests/fairshare/test_fair_queue.py::test_a_flood_is_shared_by_weight",
    "tests/fairshare/test_fair_queue.py::test_long_requests_win_nothing",
    "tests/fuzz/",
    "tests/invariants/",
    "tests/observability/test_series.py",
)
"""Thousands of cases of what other tests try as well. With them, measuring would cost minutes."""
MEASUREMENT = coverage.Coverage(config_file=str(ROOT / "pyproject.toml"), data_suffix=True)
MEASUREMENT.start()


def is_measured(item: pytest.Item) -> bool:
    is_marked = any(item.get_closest_marker(name) for name in UNMEASURED_MARKS)
    return not is_marked and not item.nodeid.startswith(UNMEASURED_PATHS)


def is_controller(config: pytest.Config) -> bool:
    """Whether other processes run the tests of this one."""
    return not hasattr(config, "workerinput") and bool(getattr(config.option, "numprocesses", 0))


@pytest.hookimpl
def pytest_collection_finish() -> None:
    # What was measured so far are the imports.
    MEASUREMENT.stop()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    if not is_measured(item):
        return (yield)
    MEASUREMENT.start()
    try:
        return (yield)
    finally:
        MEASUREMENT.stop()


@pytest.hookimpl
def pytest_sessionfinish(session: pytest.Session) -> None:
    MEASUREMENT.stop()
    if not is_controller(session.config):
        MEASUREMENT.save()
