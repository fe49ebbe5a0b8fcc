import pytest

from gateway.jobs.job_policy import CLIENT_SLACK_S, PAUSE_S_MIN, SLACK_S, job_policy, retry_pause_s
from tests.factories import endpoint


@pytest.mark.parametrize(
    ("client_s", "execution_s", "ttl_s"),
    [
        (None, 300.0, 120 + 300 + SLACK_S),
        (20.0, 20 + CLIENT_SLACK_S, 20 + CLIENT_SLACK_S),
        # The client would wait longer than anything lasts.
        (5000.0, 300.0, 120 + 300 + SLACK_S),
        (0.0, CLIENT_SLACK_S, CLIENT_SLACK_S),
    ],
)
def test_a_job_lives_as_long_as_its_answer_is_of_use(client_s: float | None, execution_s: float, ttl_s: float) -> None:
    policy = job_policy(endpoint(cold_start_timeout_s=120, execution_timeout_s=300), client_s=client_s)
    assert (policy.execution_timeout, policy.ttl) == (execution_s * 1000, ttl_s * 1000)


def test_the_limits_of_runpod_are_kept() -> None:
    short = job_policy(endpoint(cold_start_timeout_s=0.1, execution_timeout_s=0.1), client_s=None)
    assert short.execution_timeout == 5_000
    long = job_policy(endpoint(cold_start_timeout_s=7 * 86400, execution_timeout_s=7 * 86400), client_s=None)
    assert long.ttl == 7 * 86400 * 1000


def test_pauses_double_up_to_a_maximum() -> None:
    pauses_s = [retry_pause_s(failures, None, spread_by="a") for failures in range(1, 7)]
    assert [round(pause_s / pauses_s[0], 9) for pause_s in pauses_s] == [1, 2, 4, 8, 8, 8]
    assert 0.75 * PAUSE_S_MIN <= pauses_s[0] <= 1.25 * PAUSE_S_MIN


def test_runpods_own_pause_is_kept_but_for_the_spread() -> None:
    pauses_s = {retry_pause_s(1, 20, spread_by=f"job-{number}") for number in range(100)}
    assert len(pauses_s) > 90
    assert 15 <= min(pauses_s) < 16
    assert 24 < max(pauses_s) <= 25
