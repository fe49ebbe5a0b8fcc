from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.fairshare.allocator import split, water_fill


def wants(*demands: float, weights: tuple[float, ...] = ()) -> dict[str, tuple[float, float]]:
    weights = weights or (1.0,) * len(demands)
    return {f"t{number}": pair for number, pair in enumerate(zip(demands, weights, strict=True))}


@pytest.mark.parametrize(
    ("capacity", "demands", "expected"),
    [
        # From the tests of Doorman (youtube/doorman), whose clients become tenants and whose subclients weights.
        (120, wants(1000, 60, 10), [55, 55, 10]),
        (120, wants(1000, 50, 10), [60, 50, 10]),
        (120, wants(1000, 500, 200, weights=(6, 4, 2)), [60, 40, 20]),
        (1000, wants(2000, 500, 700, weights=(10, 10, 30)), [200, 200, 600]),
        # Where its two rounds of redistribution leave capacity idle.
        (
            120,
            wants(7.15, 4.01, 1.69, 0.65, 0.5, 15.28, 35.61, 57.2),
            [7.15, 4.01, 1.69, 0.65, 0.5, 15.28, 35.61, 55.11],
        ),
        (10, wants(1, 2), [1, 2]),
        (0, wants(1, 2), [0, 0]),
    ],
)
def test_the_split_is_max_min(capacity: float, demands: dict[str, tuple[float, float]], expected: list[float]) -> None:
    assert list(dict(sorted(water_fill(capacity, demands).items())).values()) == pytest.approx(expected)


numbers = st.integers(1, 1000)


@given(numbers, st.lists(st.tuples(numbers, st.integers(1, 20)), min_size=1, max_size=12))
def test_it_is_feasible_and_no_one_could_have_more_but_at_the_cost_of_a_poorer(
    capacity: int, pairs: list[tuple[int, int]]
) -> None:
    """Against an exact solver: the level to which all are filled, by bisection on rationals."""
    demands = {f"t{number}": (float(want), float(weight)) for number, (want, weight) in enumerate(pairs)}
    allocated = water_fill(capacity, demands)
    assert sum(allocated.values()) == pytest.approx(min(capacity, sum(want for want, _ in pairs)))
    low, high = Fraction(0), Fraction(1001)
    for _ in range(60):
        level = (low + high) / 2
        if sum(min(Fraction(want), level * weight) for want, weight in pairs) > capacity:
            high = level
        else:
            low = level
    for number, (want, weight) in enumerate(pairs):
        assert allocated[f"t{number}"] == pytest.approx(float(min(Fraction(want), low * weight)), rel=1e-6, abs=1e-6)


def test_seats_follow_the_demand_of_a_tenant_to_where_it_is() -> None:
    """One tenant on one replica only, the other on both: half of all seats each."""
    demands = {"r1": {"a": 100.0, "b": 100.0}, "r2": {"b": 100.0}}
    assert split(40, demands, {"a": 1.0, "b": 1.0}) == {"r1": 30, "r2": 10}


def test_what_nobody_asks_for_is_spread() -> None:
    assert split(9, {"r1": {"a": 3.0}, "r2": {}, "r3": {}}, {}) == {"r1": 5, "r2": 2, "r3": 2}


@given(
    st.integers(0, 400),
    st.dictionaries(
        st.sampled_from(["r1", "r2", "r3", "r4"]),
        st.dictionaries(st.sampled_from("abc"), st.floats(0, 500), max_size=3),
        min_size=1,
    ),
)
def test_whole_seats_never_exceed_the_capacity_and_waste_none(
    capacity: int, demands: dict[str, dict[str, float]]
) -> None:
    shares = split(capacity, demands, {"a": 3.0, "b": 1.0, "c": 0.5})
    assert sum(shares.values()) == capacity
    assert set(shares) == set(demands)
    assert min(shares.values()) >= 0


def test_parts_of_a_seat_go_round() -> None:
    """Weights of 9 and 1 at four seats: the smaller one has a seat in two of five turns, not never."""
    demands = {"r1": {"big": 100.0}, "r2": {"small": 100.0}}
    turns = [split(4, demands, {"big": 9.0, "small": 1.0}, turn=turn) for turn in range(100)]
    assert {sum(each.values()) for each in turns} == {4}
    assert sum(each["r2"] for each in turns) == pytest.approx(40, abs=2)


def test_one_seat_for_two_goes_round() -> None:
    turns = [split(1, {"r1": {"a": 9.0}, "r2": {"a": 9.0}}, {}, turn=turn) for turn in range(50)]
    assert sum(each["r1"] for each in turns) == pytest.approx(25, abs=2)
