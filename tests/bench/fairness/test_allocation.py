"""The allocator on published tables, and against a solver that calculates with fractions."""

from collections.abc import Mapping
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.fairness import allocation
from bench.fairness.allocation import CASES, Case, two_rounds, unfairness
from gateway.fairshare.allocator import water_fill


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.name))
def test_doorman_s_tables(case: Case) -> None:
    assert allocation.largest_error(case) < 0.005


def exact(capacity: int, demands: Mapping[str, tuple[float, float]]) -> dict[str, Fraction]:
    """Raise everybody's level together, to one that uses everything up."""
    wants = {name: (Fraction(want), Fraction(weight)) for name, (want, weight) in demands.items()}
    level = Fraction(0)
    for each in sorted(want / weight for want, weight in wants.values()):
        if sum(min(want, each * weight) for want, weight in wants.values()) > capacity:
            break
        level = each
    used = sum((min(want, level * weight) for want, weight in wants.values()), start=Fraction(0))
    rising = sum((weight for want, weight in wants.values() if want > level * weight), start=Fraction(0))
    if rising:
        level += (capacity - used) / rising
    return {name: min(want, level * weight) for name, (want, weight) in wants.items()}


@given(
    st.integers(0, 200),
    st.dictionaries(st.text(max_size=3), st.tuples(st.integers(0, 100), st.integers(1, 5)), min_size=1, max_size=8),
)
def test_it_is_the_one_max_min_allocation(capacity: int, demands: dict[str, tuple[int, int]]) -> None:
    as_floats = {name: (float(want), float(weight)) for name, (want, weight) in demands.items()}
    given_out = water_fill(float(capacity), as_floats)
    expected = exact(capacity, as_floats)
    assert given_out.keys() == expected.keys()
    for name, share in expected.items():
        assert given_out[name] == pytest.approx(float(share), abs=1e-9)
    assert unfairness(float(capacity), as_floats) < 1e-9


def test_two_rounds_are_too_few() -> None:
    case = CASES[-1]
    assert two_rounds(case.capacity, case.demands)["c7"] == pytest.approx(45.36)
    assert water_fill(case.capacity, case.demands)["c7"] == pytest.approx(55.11)


def test_random_cases_find_that_out() -> None:
    found = allocation.random_cases(300)
    assert found.worst_unfairness < 1e-9
    assert 0 < found.doorman_differs < 0.5
