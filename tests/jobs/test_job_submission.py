"""A job is submitted once, and holds its seat for as long as Runpod may have it."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from gateway.admission.ref_counted_hold import RefCountedHold
from gateway.admission.seat import Seat
from gateway.domain import JOB_BODY_BYTES_MAX
from gateway.endpoints.actions import AwaitPermit, Send
from gateway.endpoints.gpu_time import AttemptCost
from gateway.errors import BodyTooLargeError, GatewayError, NoTurnError, UnreachableError, UpstreamBusyError
from gateway.events import Event, GpuTimeSettled
from gateway.exchange.resolved_request import Services
from gateway.jobs.job import Job
from gateway.jobs.job_submission import REPLY_S_MAX, JobSubmission
from gateway.upstream.job_api import SMALL_REPLY_BYTES_MAX
from tests.factories import attempt, tenant
from tests.fakes.clock import FakeClock
from tests.jobs.test_job_call import LOST, REFUSED
from tests.machines import services

TTL_S = 5 + 5 + 60
"""The timeouts of the endpoint below, and the slack."""
ACCEPTED = b'{"id":"job-1","status":"IN_QUEUE"}'


def new_job(world: Services, *, seat: Seat | None = None, is_stream: bool = True) -> Job:
    """A job of the only endpoint that was not submitted yet."""
    upstream = world.upstreams["chat"]
    if seat is None:
        seat = Seat(upstream.gates.work.hold(tenant()), RefCountedHold(lambda: None))
    cost = AttemptCost(attempt(job_id=None), lambda _gpu_s: None)
    return world.jobs.new_job(upstream, tenant=tenant(), seat=seat, is_stream=is_stream, cost=cost)


class Submitting:
    """A submission, and the seat of its request."""

    def __init__(self, job_input: bytes = b"{}", **options: Any) -> None:
        self.clock = FakeClock()
        world = services(
            self.clock,
            cold_start_timeout_s=5,
            execution_timeout_s=5,
            queue_timeout_s=20,
            limits={"run": {"per_10s": 1000, "concurrent": 1}},
        )
        self.upstream = world.upstreams["chat"]
        self.gate = self.upstream.gates.call("run")
        self.left: list[float] = []
        self._place = RefCountedHold(lambda: self.left.append(self.clock.now_s))
        self._permit = self.upstream.gates.work.hold(tenant())
        self.job = new_job(world, seat=Seat(self._permit, self._place))
        options = {"client_s": None, "is_urgent": False, "traceparent": None, **options}
        self.submission = JobSubmission(self.job, (job_input,), **options)

    def sent(self) -> "Submitting":
        self.submission.begin()
        assert self.submission.is_sent
        return self

    def begin_in_line(self) -> Callable[[], None]:
        """Begin while another call has the budget; return what gives that back."""
        other = self.gate.hold(tenant(name="other"))
        self.submission.begin()
        return other.release

    def reply(self, status: int, body: bytes = b"") -> None:
        self.submission.head(status, None)
        self.submission.piece(body)
        self.submission.ended()

    def end_request(self) -> bool:
        """End the request; return True if its seat is free then, and its place in flight as well."""
        self._permit.release()
        self._place.release()
        return self.is_seat_free

    @property
    def is_seat_free(self) -> bool:
        is_free = self.upstream.gates.work.held == {}
        assert is_free is bool(self.left)
        return is_free


def test_an_accepted_job_has_an_id_and_expires_by_its_ttl() -> None:
    submitting = Submitting().sent()
    submitting.clock.now_s += 3
    submitting.reply(200, ACCEPTED)
    job, submission = submitting.job, submitting.submission
    assert (job.id, job.accepted_at_s, job.expires_at_s) == ("job-1", 1003, 1003 + TTL_S)
    assert job.cost.attempt.job_id == "job-1"
    assert (submission.action, submission.is_sent) == (None, False)
    assert submitting.gate.held == {}
    assert not submitting.upstream.abandoned


def test_a_submission_says_what_it_asks_for() -> None:
    submission = Submitting(b'{"n":1}', traceparent="00-ab-cd-01").sent().submission
    assert isinstance(submission.action, Send)
    request = submission.action.request
    assert (request.path, request.traceparent) == ("/run", "00-ab-cd-01")
    assert json.loads(b"".join(request.body)) == {
        "input": {"n": 1},
        "policy": {"executionTimeout": 5000, "ttl": 1000 * TTL_S},
    }


def test_a_job_ends_soon_after_its_client_is_gone() -> None:
    submitting = Submitting(client_s=7).sent()
    submitting.reply(200, ACCEPTED)
    assert submitting.job.expires_at_s == 1000 + 7 + 15


def test_a_submission_that_is_sent_is_not_interrupted() -> None:
    action = Submitting().sent().submission.action
    assert isinstance(action, Send)
    assert action.is_shielded


@pytest.mark.parametrize("is_urgent", [False, True])
def test_an_urgent_submission_goes_before_its_tenant_s_others(*, is_urgent: bool) -> None:
    submitting = Submitting(is_urgent=is_urgent)
    other = submitting.gate.hold(tenant(name="other"))
    before = submitting.gate.request(tenant(), wait_s_max=9)
    submitting.submission.begin()
    other.release()
    assert before.is_waiting is is_urgent


def test_a_submission_in_line_is_sent_when_its_turn_comes() -> None:
    submitting = Submitting()
    give_back = submitting.begin_in_line()
    submission = submitting.submission
    assert isinstance(submission.action, AwaitPermit)
    assert not submission.is_sent
    give_back()
    submission.wait_ended()
    assert submission.is_sent
    submitting.reply(200, ACCEPTED)
    assert submitting.job.id == "job-1"


def test_a_submission_whose_turn_does_not_come_keeps_nothing() -> None:
    submitting = Submitting()
    submitting.begin_in_line()
    submission = submitting.submission
    submitting.clock.now_s += 19.9
    submission.due()
    assert not submission.is_due(submitting.clock.now_s)
    submitting.clock.now_s += 0.1
    assert submission.is_due(submitting.clock.now_s)
    with pytest.raises(NoTurnError):
        submission.due()
    assert submitting.gate.waiting == {}
    assert submission.action is None
    assert submitting.end_request()


@pytest.mark.parametrize(
    "lose",
    [
        lambda submitting: submitting.submission.failed(LOST),
        lambda submitting: submitting.reply(500),
        lambda submitting: submitting.reply(200, b"<html>"),
        lambda submitting: submitting.reply(200, b'{"id":""}'),
        lambda submitting: submitting.reply(200, ACCEPTED + b" " * SMALL_REPLY_BYTES_MAX),
    ],
    ids=["broken", "5xx", "malformed", "no id", "too large"],
)
def test_a_job_that_runpod_may_have_accepted_keeps_its_seat_until_its_ttl(lose: Callable[[Submitting], None]) -> None:
    submitting = Submitting().sent()
    told: list[Event] = []
    submitting.upstream.gpu._observe = told.append
    with pytest.raises(UnreachableError) as caught:
        lose(submitting)
    assert caught.value.was_sent
    assert told == [GpuTimeSettled(attempt=attempt(job_id=None), gpu_s=None)]
    assert submitting.job.id is None
    assert (submitting.submission.action, submitting.gate.held) == (None, {})
    assert not submitting.end_request()
    submitting.clock.now_s += TTL_S - 0.1
    submitting.upstream.review()
    assert not submitting.is_seat_free
    submitting.clock.now_s += 0.1
    submitting.upstream.review()
    assert submitting.is_seat_free
    assert submitting.left == [1000 + TTL_S]


@pytest.mark.parametrize(
    "refuse",
    [
        lambda submitting: submitting.submission.failed(REFUSED),
        lambda submitting: submitting.reply(429),
        lambda submitting: submitting.reply(401),
        lambda submitting: submitting.reply(413),
        lambda submitting: submitting.reply(302),
    ],
    ids=["connection", "429", "401", "413", "redirect"],
)
def test_a_job_that_runpod_has_not_accepted_keeps_nothing(refuse: Callable[[Submitting], None]) -> None:
    submitting = Submitting().sent()
    with pytest.raises(GatewayError):
        refuse(submitting)
    submission = submitting.submission
    assert (submission.action, submission.call, submitting.gate.held) == (None, None, {})
    assert not submitting.upstream.abandoned
    assert submitting.end_request()


@pytest.mark.parametrize("waited_s", [0, 19])
def test_a_late_reply_is_a_lost_one(waited_s: float) -> None:
    submitting = Submitting()
    submission = submitting.submission
    give_back = submitting.begin_in_line()
    submitting.clock.now_s += waited_s
    give_back()
    submission.wait_ended()
    submitting.clock.now_s += REPLY_S_MAX - 0.1
    assert not submission.is_due(submitting.clock.now_s)
    submission.due()
    assert submission.is_sent
    submitting.clock.now_s += 0.1
    assert submission.is_due(submitting.clock.now_s)
    with pytest.raises(UnreachableError) as caught:
        submission.due()
    assert caught.value.was_sent
    assert len(submitting.upstream.abandoned) == 1
    assert not submitting.end_request()


def test_a_submission_that_is_sent_at_once_may_be_late_too() -> None:
    submitting = Submitting().sent()
    assert not submitting.submission.is_due(submitting.clock.now_s + REPLY_S_MAX - 0.1)
    assert submitting.submission.is_due(submitting.clock.now_s + REPLY_S_MAX)


def test_the_status_of_a_late_refusal_counts() -> None:
    submitting = Submitting().sent()
    submitting.submission.head(429, None)
    submitting.clock.now_s += REPLY_S_MAX
    with pytest.raises(UpstreamBusyError):
        submitting.submission.due()
    assert submitting.end_request()


def test_a_job_that_is_too_large_is_not_sent() -> None:
    submitting = Submitting(bytes(JOB_BODY_BYTES_MAX))
    with pytest.raises(BodyTooLargeError):
        submitting.submission.begin()
    assert (submitting.submission.action, submitting.gate.held) == (None, {})
    assert submitting.end_request()
