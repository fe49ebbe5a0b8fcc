import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.exchange.drain_plan import FLUSH_S, cuts_due, flush_s_max


def test_what_can_be_cancelled_after_the_drain_is_left_alone() -> None:
    assert cuts_due(100, 0, cancels_per_s=10, left_s=0) == 0
    assert cuts_due(400, 0, cancels_per_s=10, left_s=30) == 0
    # Those that finish by themselves need no cancel.
    assert cuts_due(390, 0, cancels_per_s=10, left_s=29) == 0


def test_what_cannot_is_cut_as_fast_as_it_can_be_cancelled() -> None:
    assert cuts_due(400, 0, cancels_per_s=10, left_s=29) == 10
    assert cuts_due(391, 0, cancels_per_s=10, left_s=29) == 1
    # The budget has enough to do.
    assert cuts_due(400, 10, cancels_per_s=10, left_s=28) == 0
    assert cuts_due(400, 7, cancels_per_s=10, left_s=28) == 3
    assert cuts_due(2, 100_000, cancels_per_s=10, left_s=28) == 0


@given(
    running=st.integers(0, 1500),
    drain_s=st.sampled_from([0, 5, 30, 100]),
    cancels_per_s=st.sampled_from([1.0, 9.8, 50.0]),
)
def test_all_that_the_budget_allows_is_cancelled_and_nothing_is_cut_without_need(
    running: int, drain_s: int, cancels_per_s: float
) -> None:
    """Second by second: nothing finishes by itself, and each second cancels as many as the budget allows."""
    asked, pending, cancelled, allowed = running, 0, 0, 0.0
    for second in range(drain_s):
        cut = cuts_due(running, pending, cancels_per_s=cancels_per_s, left_s=drain_s - second)
        running, pending, allowed = running - cut, pending + cut, allowed + cancels_per_s
        done = min(pending, int(allowed) - cancelled, math.ceil(cancels_per_s))
        pending, cancelled = pending - done, cancelled + done
    if asked <= cancels_per_s * FLUSH_S:
        assert cancelled == 0
    # What is left has time after the drain, or the budget was used from the beginning on.
    assert running + pending <= max(cancels_per_s * (FLUSH_S + 1) + 1, asked - int(cancels_per_s * drain_s) + 1)


def test_a_flush_has_time_for_calls_that_fail() -> None:
    assert flush_s_max(0, cancels_per_s=10) == FLUSH_S
    assert flush_s_max(400, cancels_per_s=10) == pytest.approx(FLUSH_S + 60)
