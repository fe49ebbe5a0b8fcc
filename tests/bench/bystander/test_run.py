"""A few seconds of the real thing."""

import pytest

from bench.bystander.polite import measures
from bench.bystander.report import report
from bench.bystander.run import Size, compare

pytestmark = pytest.mark.server


def test_a_short_run_measures_everything() -> None:
    compared = compare(Size(turns=3, turn_s=0.8, connections=30, settle_s=0.3, warm_up_s=0.5))
    assert len(compared.alone) == 3
    assert len(compared.beside) == 2
    assert all(times.by_measure[measure] for times in (*compared.alone, *compared.beside) for measure in measures())
    assert compared.closed == 0
    assert min(compared.slow_bytes) > 0
    assert "p99" in report(compared)
