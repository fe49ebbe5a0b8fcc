import pytest

from gateway.restarts import FAILURES_MAX, PAUSE_S_MAX, STEADY_S, Restarts


def test_the_pauses_double_to_their_bound_and_then_the_task_is_given_up() -> None:
    restarts = Restarts()
    pauses = [restarts.failed(ran_s=0) for _ in range(FAILURES_MAX)]
    assert pauses == [pytest.approx(0.1 * 2**n) for n in range(FAILURES_MAX - 1)] + [None]
    assert sum(pause for pause in pauses if pause) > 50


def test_no_pause_is_longer_than_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.restarts.FAILURES_MAX", 100)
    restarts = Restarts()
    assert [restarts.failed(ran_s=0) for _ in range(20)][-1] == PAUSE_S_MAX


def test_a_task_that_ran_for_a_minute_begins_as_if_it_had_never_failed() -> None:
    restarts = Restarts()
    for _ in range(3 * FAILURES_MAX):
        assert restarts.failed(ran_s=STEADY_S) == pytest.approx(0.1)


def test_a_task_that_never_lasts_is_given_up_however_long_it_runs_between() -> None:
    restarts = Restarts()
    assert [restarts.failed(ran_s=STEADY_S - 1) for _ in range(FAILURES_MAX)][-1] is None
