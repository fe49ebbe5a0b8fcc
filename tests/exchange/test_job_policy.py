import pytest

from gateway.exchange.job_policy import CLIENT_SLACK_S, SLACK_S, job_policy
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
