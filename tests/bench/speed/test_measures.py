"""Numbers from samples."""

import math

from bench.speed.measures import Spread, number, percentile


def test_a_percentile_is_a_sample() -> None:
    values = [float(each) for each in range(100, 0, -1)]
    assert (percentile(values, 50), percentile(values, 99), percentile(values, 100)) == (50, 99, 100)
    assert percentile([3.0], 0) == 3.0
    assert percentile([], 50) == 0.0


def test_a_spread_tells_the_median_and_its_ends() -> None:
    assert str(Spread((3.0, 1.0, 2.0))) == "2 (1 to 3)"
    assert str(Spread(())) == "none"
    assert math.isnan(Spread(()).median)


def test_three_digits_count() -> None:
    assert [number(each) for each in (0.01234, 1.234, 99.96, 1234.5, math.inf)] == [
        "0.0123",
        "1.23",
        "100",
        "1 234",
        "none",
    ]
