"""From samples to numbers."""

import pytest

from bench.soak import measures
from bench.soak.watch import Footprint, Held, Sample


def sample(at_s: float, *, private_mb: float = 50, cpu_s: float = 0, permits: int = 0) -> Sample:
    footprint = Footprint(rss_mb=70, private_mb=private_mb, descriptors=10, threads=1, cpu_s=cpu_s)
    return Sample(at_s, footprint, Held(permits=permits, tickets=0, exchanges=0, jobs=0))


def test_the_slope_of_a_line_and_of_noise_around_it() -> None:
    assert measures.slope([(0, 1), (1, 3), (2, 5)]) == pytest.approx(2)
    assert measures.slope([(0, 1), (1, 1.1), (2, 0.9), (3, 1)]) == pytest.approx(-0.02)
    noisy = [(x, 3 * x + (-1) ** x) for x in range(100)]
    assert measures.slope(noisy) == pytest.approx(3, abs=0.01)


@pytest.mark.parametrize("points", [[], [(1.0, 2.0)], [(1.0, 2.0), (1.0, 3.0)]])
def test_too_few_points_rise_nowhere(points: list[tuple[float, float]]) -> None:
    assert measures.slope(points) == 0


def test_growth_is_counted_once_the_process_is_warm() -> None:
    cold = [sample(at_s, private_mb=at_s) for at_s in range(0, 120, 10)]
    warm = [sample(at_s, private_mb=120 + at_s / 60 * 0.5) for at_s in range(120, 600, 10)]
    assert measures.growth_mb_a_minute([*cold, *warm]) == pytest.approx(0.5)


def test_seats_and_cpu() -> None:
    samples = [sample(0, cpu_s=1, permits=10), sample(10, cpu_s=3, permits=20)]
    assert measures.seats_used(samples) == 15
    assert measures.cpu_share(samples) == pytest.approx(0.2)
