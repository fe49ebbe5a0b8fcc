import pytest

from gateway.domain import EndpointState, Route
from gateway.errors import (
    ClientDeadlineError,
    DrainingError,
    EndpointDownError,
    GatewayError,
    InvalidRequestError,
    JobExpiredError,
    JobNotRunError,
    NoWorkerError,
    OutputLostError,
    UnreachableError,
    UpstreamBusyError,
    UpstreamTimeoutError,
    WorkerError,
)
from gateway.exchange.failover import TRIES_MAX, UNREACHABLE_PAUSE_S, Attempts, Step, may_fail_over

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


REFUSED = UnreachableError("refused", was_sent=False)
NO_WORKER = NOT_SENT[1]
BUSY = UpstreamBusyError(retry_after_s=1)


def attempts(*, endpoints: int = 1, routes: tuple[Route, ...] = (Route.JOB,)) -> Attempts:
    made = Attempts(endpoints)
    made.begin_endpoint()
    made.begin_routes(routes)
    return made


def after(made: Attempts, error: GatewayError, *, has_output: bool = False, has_job: bool = False) -> Step:
    return made.failed(error, has_output=has_output, has_job=has_job)


@named([REFUSED, BUSY, JobNotRunError("not run")])
def test_the_last_route_of_the_last_endpoint_is_tried_again(error: GatewayError) -> None:
    made = attempts()
    steps = [after(made, error) for _ in range(TRIES_MAX)]
    assert steps == [Step.RETRY] * (TRIES_MAX - 1) + [Step.GIVE_UP]
    assert made.is_retry


def test_pauses_grow_for_an_endpoint_out_of_reach_alone() -> None:
    made, pauses_s = attempts(), []
    while after(made, REFUSED) is Step.RETRY:
        pauses_s.append(made.pause_s(REFUSED))
    assert pauses_s == [UNREACHABLE_PAUSE_S, 2 * UNREACHABLE_PAUSE_S]
    assert made.pause_s(BUSY) == 0


@pytest.mark.parametrize(
    ("error", "has_job"),
    [
        (BUSY, True),
        (UnreachableError("502", was_sent=True, status=502), False),
        (UnreachableError("reset", was_sent=True), False),
        (OutputLostError("cut"), False),
    ],
)
def test_what_may_have_been_accepted_is_not_sent_again(error: GatewayError, has_job: bool) -> None:
    assert after(attempts(), error, has_job=has_job) is not Step.RETRY


def test_routes_come_before_endpoints_and_tries_are_counted_for_each() -> None:
    made = attempts(endpoints=2, routes=(Route.OPENAI, Route.JOB))
    assert (made.route, after(made, REFUSED), made.route) == (Route.OPENAI, Step.NEXT_ROUTE, Route.JOB)
    assert not made.is_retry
    assert after(made, REFUSED) is Step.NEXT_ENDPOINT
    made.begin_endpoint()
    made.begin_routes((Route.OPENAI, Route.JOB))
    assert after(made, REFUSED) is Step.NEXT_ROUTE
    assert after(made, REFUSED) is Step.RETRY


def test_a_start_that_took_too_long_is_not_waited_for_by_another_route() -> None:
    assert after(attempts(endpoints=2, routes=(Route.OPENAI, Route.JOB)), NO_WORKER) is Step.NEXT_ENDPOINT
    assert after(attempts(routes=(Route.OPENAI, Route.JOB)), NO_WORKER) is Step.GIVE_UP


def test_a_failure_before_the_permit_leads_to_the_next_endpoint() -> None:
    made = Attempts(2)
    made.begin_endpoint()
    assert after(made, REFUSED) is Step.NEXT_ENDPOINT
    made.begin_endpoint()
    assert after(made, REFUSED) is Step.GIVE_UP


@named([*NOT_SENT, *JOB_OVER, *FINAL, BUSY])
@pytest.mark.parametrize("has_job", [False, True])
@pytest.mark.parametrize("endpoints", [1, 2])
@pytest.mark.parametrize("routes", [(Route.JOB,), (Route.OPENAI, Route.JOB)])
def test_every_request_comes_to_an_end(
    error: GatewayError, has_job: bool, endpoints: int, routes: tuple[Route, ...]
) -> None:
    made, sent = Attempts(endpoints), 0
    for _ in range(endpoints):
        made.begin_endpoint()
        made.begin_routes(routes)
        while True:
            sent += 1
            step = after(made, error, has_job=has_job)
            if step in {Step.NEXT_ENDPOINT, Step.GIVE_UP}:
                break
        if step is Step.GIVE_UP:
            break
    assert step is Step.GIVE_UP
    assert sent <= endpoints * len(routes) + TRIES_MAX - 1
