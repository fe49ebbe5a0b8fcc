"""A few seconds of the real thing."""

import pathlib

import pytest

from bench.soak.plot import draw
from bench.soak.report import lines, report
from bench.soak.run import Size, soak

pytestmark = pytest.mark.server


def test_a_short_run_breaks_nothing(tmp_path: pathlib.Path) -> None:
    soaked = soak(Size(seconds=6, seats=8, quiet_s=2, sample_s=1))
    assert [line.measure for line in lines(soaked) if line.is_missed] == [], report(soaked)
    assert soaked.ledger.left > 0
    assert soaked.ledger.cancelled
    assert len(soaked.samples) > 4
    draw(soaked, tmp_path / "soak.svg")
    assert "<svg" in (tmp_path / "soak.svg").read_text()
