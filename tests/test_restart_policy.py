from pathlib import Path

import pytest

from gateway.restart_policy import FAILURES_MAX, STEADY_S, Restarts


def test_the_pauses_double_and_then_the_task_is_given_up() -> None:
    restarts = Restarts()
    pauses = [restarts.failed(ran_s=0) for _ in range(FAILURES_MAX)]
    assert pauses == [pytest.approx(0.1 * 2**n) for n in range(FAILURES_MAX - 1)] + [None]
    assert sum(pause for pause in pauses if pause) > 50


def test_the_longest_pause_is_what_the_documents_say() -> None:
    restarts = Restarts()
    longest_s = [restarts.failed(ran_s=0) for _ in range(FAILURES_MAX - 1)][-1]
    limits = " ".join((Path(__file__).parents[1] / "docs" / "limits.md").read_text().split())
    assert f"after twice as long each time, up to {longest_s:g} s" in limits


def test_a_task_that_ran_for_a_minute_begins_as_if_it_had_never_failed() -> None:
    restarts = Restarts()
    for _ in range(3 * FAILURES_MAX):
        assert restarts.failed(ran_s=STEADY_S) == pytest.approx(0.1)


def test_a_task_that_never_lasts_is_given_up_however_long_it_runs_between() -> None:
    restarts = Restarts()
    assert [restarts.failed(ran_s=STEADY_S - 1) for _ in range(FAILURES_MAX)][-1] is None
