"""How many cases there are, and which: the same ones in every run, so that CI says the same twice."""

import os

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.effort import tries

CASES = int(os.environ.get("FAIRPOD_FUZZ_CASES") or tries(500))
TIMEOUT = pytest.mark.timeout(300 + CASES // 2)


def fuzzed(cases: int = CASES, *, shrinks: bool = True) -> settings:
    """So many cases, however long one takes: the tests bound that themselves."""
    every = (Phase.explicit, Phase.generate, Phase.shrink)
    return settings(
        max_examples=cases,
        derandomize=True,
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        phases=every if shrinks else every[:2],
        suppress_health_check=list(HealthCheck),
    )
