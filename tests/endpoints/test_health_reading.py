import pytest

from gateway.endpoints.cold_start_stats import PROMPT_S
from gateway.endpoints.health_reading import COLD_READ_S, HealthReading

ASKED_S, RECEIVED_S = 10.0, 12.0


def reading(**workers: int) -> HealthReading:
    return HealthReading(workers=workers, asked_at_s=ASKED_S, received_at_s=RECEIVED_S)


@pytest.mark.parametrize(
    ("request_at_s", "is_found"),
    [(ASKED_S, True), (ASKED_S - PROMPT_S, True), (ASKED_S - PROMPT_S - 0.1, False), (ASKED_S + 0.1, False)],
)
def test_a_worker_that_runs_soon_after_a_request_needed_no_start(request_at_s: float, *, is_found: bool) -> None:
    assert reading(running=1).found_worker(request_at_s) is is_found
    assert not reading(idle=1).found_worker(request_at_s)


@pytest.mark.parametrize(("age_s", "is_cold"), [(COLD_READ_S, True), (COLD_READ_S - 0.1, False)])
def test_a_request_is_cold_only_if_the_reading_had_time_to_show_its_worker(age_s: float, *, is_cold: bool) -> None:
    assert reading(idle=1).found_no_worker(RECEIVED_S - age_s) is is_cold
    assert not reading(running=1).found_no_worker(RECEIVED_S - age_s)


def test_a_worker_is_only_starting_if_it_was_after_it_took_the_job() -> None:
    assert reading(initializing=1).is_start_after(ASKED_S)
    assert not reading(initializing=1).is_start_after(ASKED_S + 0.1)
    assert not reading(initializing=1, running=1).is_start_after(ASKED_S)
    assert not reading(idle=1).is_start_after(ASKED_S)
