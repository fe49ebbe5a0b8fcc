"""What each lesson leaves; whole stories are told in test_endpoint_state.py."""

import pytest

from gateway.exchange.wake_lessons import (
    FORESIGHT,
    IDLE_TIMEOUT_S,
    LOAD_S_MIN,
    PROMPT_S,
    SLOW_FACTOR,
    STARTS_KEPT,
    STAY_MARGIN,
    WakeLessons,
)


def test_before_any_lesson_runpod_s_defaults_hold() -> None:
    lessons = WakeLessons()
    assert lessons.stay_s == STAY_MARGIN * IDLE_TIMEOUT_S
    assert lessons.expected_stay_s == IDLE_TIMEOUT_S
    assert lessons.prompt_s == PROMPT_S
    assert lessons.usual_start_s() is None
    assert lessons.was_never_lost


def test_a_pause_that_nobody_knows_teaches_nothing_either_way() -> None:
    lessons = WakeLessons()
    lessons.survive(None)
    lessons.lose(None)
    assert (lessons.expected_stay_s, lessons.was_never_lost) == (IDLE_TIMEOUT_S, True)


def test_the_later_lesson_holds() -> None:
    lessons = WakeLessons()
    lessons.survive(900)
    assert lessons.expected_stay_s == FORESIGHT * 900
    lessons.lose(100)
    assert lessons.stay_s == pytest.approx(STAY_MARGIN * STAY_MARGIN * 100)
    assert not lessons.was_never_lost
    # No worker is gone before its idle timeout.
    lessons.lose(2)
    assert lessons.expected_stay_s == STAY_MARGIN * IDLE_TIMEOUT_S
    lessons.survive(200)
    assert lessons.was_never_lost


@pytest.mark.parametrize("is_first", [True, False])
def test_a_worker_that_is_silent_with_its_job_loads(*, is_first: bool) -> None:
    lessons = WakeLessons()
    lessons.learn_from_prompt(
        LOAD_S_MIN + 2, loading_s=LOAD_S_MIN + 1, pause_s=None if is_first else 60, is_first=is_first
    )
    assert lessons.loads_late
    assert lessons.usual_start_s() == LOAD_S_MIN + 2
    lessons.learn_from_prompt(0.5, loading_s=0.2, pause_s=60, is_first=False)
    assert not lessons.loads_late


def test_a_worker_with_many_jobs_at_once_does_not_load() -> None:
    lessons = WakeLessons()
    lessons.learn_from_prompt(40, loading_s=39.5, pause_s=None, is_first=False)
    assert not lessons.loads_late
    assert lessons.usual_start_s() is None


def test_of_a_first_job_nobody_can_tell_whether_its_model_is_slow() -> None:
    lessons = WakeLessons()
    lessons.learn_from_prompt(10, loading_s=9.7, pause_s=None, is_first=True)
    assert (lessons.usual_start_s(), lessons.prompt_s) == (10, PROMPT_S)
    lessons.learn_from_prompt(10, loading_s=9.7, pause_s=900, is_first=False)
    assert (lessons.usual_start_s(), lessons.prompt_s) == (10, 20)


@pytest.mark.parametrize(
    ("waited_s", "start_s", "was_warm", "start", "stay_s"),
    [
        # A first token: all of its wait counts.
        (1.0, 1.0, False, None, 900),
        (60.0, 60.0, False, 60.0, None),
        (SLOW_FACTOR * PROMPT_S + 1, SLOW_FACTOR * PROMPT_S + 1, True, SLOW_FACTOR * PROMPT_S + 1, None),
        (5.0, 5.0, True, None, 0),
        # A whole answer: its wait in the queue alone.
        (60.0, 0.0, False, None, 0),
        (60.0, 0.0, True, None, 0),
        (60.0, 50.0, True, 50.0, None),
        (60.0, 5.0, True, None, 0),
        (1.0, 0.0, True, None, 900),
    ],
)
def test_a_wait_after_a_pause(
    waited_s: float, start_s: float, start: float | None, stay_s: float | None, *, was_warm: bool
) -> None:
    lessons = WakeLessons()
    lessons.learn_from_wait(waited_s, start_s=start_s, pause_s=900, was_warm=was_warm)
    assert lessons.usual_start_s() == start
    assert lessons.was_never_lost is (stay_s is not None)
    if stay_s is not None:
        assert lessons.expected_stay_s == max(IDLE_TIMEOUT_S, FORESIGHT * stay_s)


def test_only_the_last_starts_count() -> None:
    lessons = WakeLessons()
    for start_s in (500.0, *[40.0] * STARTS_KEPT):
        lessons.learn_from_wait(start_s, start_s=start_s, pause_s=None, was_warm=False)
    assert lessons.usual_start_s() == 40.0
