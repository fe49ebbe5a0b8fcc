import pytest

from gateway.domain import EndpointState
from gateway.errors import (
    ClientDeadlineError,
    DrainingError,
    EndpointDownError,
    GatewayError,
    InvalidRequestError,
    JobExpiredError,
    NoWorkerError,
    OutputLostError,
    UnreachableError,
    UpstreamTimeoutError,
    WorkerError,
)
from gateway.exchange.failover import may_fail_over

NOT_SENT: list[GatewayError] = [
    EndpointDownError(retry_after_s=1),
    NoWorkerError(waited_s=1, state=EndpointState.ASLEEP, since_s=None, usual_s=None),
    UnreachableError("refused", was_sent=False),
]
JOB_OVER: list[GatewayError] = [OutputLostError("cut"), JobExpiredError()]
FINAL: list[GatewayError] = [
    UpstreamTimeoutError(ran_s=1),
    ClientDeadlineError(waited_s=1),
    DrainingError(retry_after_s=1),
    InvalidRequestError("wrong"),
]


def named(errors: list[GatewayError]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("error", errors, ids=lambda error: type(error).__name__)


@named(NOT_SENT)
def test_what_started_nothing_may_be_tried_elsewhere(error: GatewayError) -> None:
    assert may_fail_over(error, has_output=False, has_job=False)


@named(JOB_OVER)
def test_a_job_that_is_over_may_be_replaced(error: GatewayError) -> None:
    assert may_fail_over(error, has_output=False, has_job=True)
    assert not may_fail_over(error, has_output=False, has_job=False)


@named(FINAL)
@pytest.mark.parametrize("has_job", [False, True])
def test_time_that_is_over_and_an_invalid_request_end_it(error: GatewayError, has_job: bool) -> None:
    assert not may_fail_over(error, has_output=False, has_job=has_job)


@named([*NOT_SENT, *JOB_OVER, *FINAL])
@pytest.mark.parametrize("has_job", [False, True])
def test_nothing_is_tried_after_the_first_output(error: GatewayError, has_job: bool) -> None:
    assert not may_fail_over(error, has_output=True, has_job=has_job)


@pytest.mark.parametrize(("status", "may"), [(400, False), (422, False), (500, True), (503, True)])
def test_a_worker_that_refuses_the_request_would_refuse_it_elsewhere(status: int, may: bool) -> None:
    error = WorkerError(status=status, message="no", type_="x")
    assert may_fail_over(error, has_output=False, has_job=True) is may
