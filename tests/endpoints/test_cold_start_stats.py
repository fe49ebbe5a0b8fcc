"""What each lesson leaves; whole stories are told in test_endpoint_state.py."""

import pytest

from gateway.endpoints.cold_start_stats import (
    FORESIGHT,
    IDLE_PAUSE_S_MIN,
    IDLE_TIMEOUT_S,
    LOAD_S_MIN,
    PROMPT_S,
    SLOW_FACTOR,
    STAY_MARGIN,
    ColdStartStats,
    Wait,
)
from gateway.endpoints.typical_times import VALUES_KEPT


def test_before_any_lesson_runpod_s_defaults_hold() -> None:
    lessons = ColdStartStats()
    assert lessons.stay_s == STAY_MARGIN * IDLE_TIMEOUT_S
    assert lessons.expected_stay_s == IDLE_TIMEOUT_S
    assert lessons.prompt_s == PROMPT_S
    assert lessons.usual_start_s() is None
    assert lessons.was_never_lost


def test_a_pause_that_nobody_knows_teaches_nothing_either_way() -> None:
    lessons = ColdStartStats()
    lessons.survive(None)
    lessons.lose(None)
    assert (lessons.expected_stay_s, lessons.was_never_lost) == (IDLE_TIMEOUT_S, True)


def test_the_later_lesson_holds() -> None:
    lessons = ColdStartStats()
    lessons.survive(900)
    assert lessons.expected_stay_s == FORESIGHT * 900
    lessons.lose(100)
    assert lessons.stay_s == pytest.approx(STAY_MARGIN * STAY_MARGIN * 100)
    assert not lessons.was_never_lost
    # An idle timeout may be shorter than the default one, and is a second at least.
    lessons.lose(2)
    assert lessons.expected_stay_s == STAY_MARGIN * 2
    lessons.lose(0.1)
    assert lessons.stay_s == lessons.sure_stay_s == STAY_MARGIN * IDLE_PAUSE_S_MIN
    lessons.survive(200)
    assert lessons.was_never_lost


@pytest.mark.parametrize("is_first", [True, False])
def test_a_worker_that_is_silent_with_its_job_loads(*, is_first: bool) -> None:
    lessons = ColdStartStats()
    slow, pause_s = token(LOAD_S_MIN + 2), None if is_first else 60
    lessons.learn_from_prompt(slow, loading_s=LOAD_S_MIN + 1, pause_s=pause_s, is_first=is_first)
    assert lessons.loads_late
    assert lessons.usual_start_s() == LOAD_S_MIN + 2
    lessons.learn_from_prompt(token(0.5), loading_s=0.2, pause_s=60, is_first=False)
    assert not lessons.loads_late


def test_a_worker_with_many_jobs_at_once_does_not_load() -> None:
    lessons = ColdStartStats()
    lessons.learn_from_prompt(token(40), loading_s=39.5, pause_s=None, is_first=False)
    assert not lessons.loads_late
    assert lessons.usual_start_s() is None


def test_of_a_first_job_nobody_can_tell_whether_its_model_is_slow() -> None:
    lessons = ColdStartStats()
    lessons.learn_from_prompt(token(10), loading_s=9.7, pause_s=None, is_first=True)
    assert (lessons.usual_start_s(), lessons.prompt_s) == (10, PROMPT_S)
    lessons.learn_from_prompt(token(10), loading_s=9.7, pause_s=900, is_first=False)
    assert (lessons.usual_start_s(), lessons.prompt_s) == (10, LOAD_S_MIN)


SLOW_S = SLOW_FACTOR * PROMPT_S + 1


def token(waited_s: float, queued_s: float = 0.0) -> Wait:
    return Wait(waited_s=waited_s, queued_s=queued_s, is_first_token=True)


def whole(waited_s: float, queued_s: float = 0.0) -> Wait:
    return Wait(waited_s=waited_s, queued_s=queued_s, is_first_token=False)


@pytest.mark.parametrize(
    ("wait", "was_warm", "start", "stay_s"),
    [
        # Of a first token all of its wait counts.
        (token(1.0), False, None, 900),
        (token(60.0), False, 60.0, None),
        (token(SLOW_S), True, SLOW_S, None),
        (token(5.0), True, None, 0),
        (token(60.0, 59.0), True, 60.0, None),
        # Of a whole answer its wait in the queue alone.
        (whole(60.0), False, None, 0),
        (whole(60.0), True, None, 0),
        (whole(60.0, 50.0), True, 50.0, None),
        (whole(60.0, 5.0), True, None, 0),
        (whole(60.0, 5.0), False, 5.0, None),
        (whole(1.0), True, None, 900),
    ],
)
def test_a_wait_after_a_pause(wait: Wait, start: float | None, stay_s: float | None, *, was_warm: bool) -> None:
    lessons = ColdStartStats()
    lessons.learn_from_wait(wait, pause_s=900, was_warm=was_warm)
    assert lessons.usual_start_s() == start
    assert lessons.was_never_lost is (stay_s is not None)
    if stay_s is not None:
        assert lessons.expected_stay_s == max(IDLE_TIMEOUT_S, FORESIGHT * stay_s)


@pytest.mark.parametrize("wait", [token(10.5, 10.0), token(LOAD_S_MIN + 1), whole(60.0, 10.0)])
def test_waits_of_a_crowd_do_not_make_a_start_look_prompt(wait: Wait) -> None:
    lessons = ColdStartStats()
    for _ in range(VALUES_KEPT):
        lessons.learn_from_wait(token(40.0), pause_s=None, was_warm=True)
    lessons.learn_from_wait(wait, pause_s=900, was_warm=False)
    assert lessons.usual_start_s() == wait.start_s
    assert not lessons.was_never_lost


def test_only_the_last_starts_count() -> None:
    lessons = ColdStartStats()
    for start_s in (500.0, *[40.0] * VALUES_KEPT):
        lessons.learn_from_wait(token(start_s), pause_s=None, was_warm=False)
    assert lessons.usual_start_s() == 40.0


def test_no_tenant_alone_makes_starts_or_first_outputs_seem_longer() -> None:
    lessons = ColdStartStats()
    for tenant, waited_s in (("polite", 40.0), *[("hostile", 590.0)] * 20):
        slow = Wait(waited_s=waited_s, queued_s=0.0, is_first_token=True, tenant=tenant)
        lessons.learn_from_wait(slow, pause_s=None, was_warm=False)
    for tenant, waited_s in (("polite", 1.5), *[("hostile", 30.0)] * 20):
        warm = Wait(waited_s=waited_s, queued_s=0.0, is_first_token=True, tenant=tenant)
        lessons.learn_from_wait(warm, pause_s=None, was_warm=True)
        lessons.learn_from_prompt(warm, loading_s=1.0, pause_s=None, is_first=False)
    assert (lessons.usual_start_s(), lessons.prompt_s) == (40.0, 3.0)
