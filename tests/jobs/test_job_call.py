"""One call of the job API: its budget, what it is worth, and what it holds."""

from collections.abc import Callable
from typing import Any

import pytest

from gateway.domain import Operation
from gateway.endpoints.actions import AwaitPermit, Send
from gateway.errors import (
    AnswersFullError,
    BodyTooLargeError,
    GatewayError,
    JobExpiredError,
    NoTurnError,
    OutputLostError,
    UnreachableError,
    UpstreamBusyError,
)
from gateway.events import CallOutcome, Event, UpstreamCalled
from gateway.jobs.job_call import JobCall
from gateway.upstream.job_api import SMALL_REPLY_BYTES_MAX, accepted_id, hold_little, page_of, status_of, status_request
from gateway.upstream.reply import TOO_LARGE, Hold
from gateway.upstream.request import UpstreamRequest
from tests.factories import tenant
from tests.fakes.clock import FakeClock
from tests.machines import services

LOST = UnreachableError("ReadError", was_sent=True)
REFUSED = UnreachableError("ConnectError", was_sent=False)
TOO_LONG = bytes(SMALL_REPLY_BYTES_MAX + 1)
DECODE: dict[Operation, Callable[..., Any]] = {
    Operation.RUN: accepted_id,
    Operation.STREAM: page_of,
    Operation.STATUS: status_of,
}
Step = Callable[[JobCall[Any]], None]


def no_room(_size: int) -> None:
    raise AnswersFullError(retry_after_s=1)


def too_large_request() -> UpstreamRequest:
    raise BodyTooLargeError(7)


class Calling:
    """A call under a budget of one at a time, and what is reported about it."""

    def __init__(self, operation: Operation = Operation.STATUS, *, hold: Hold = hold_little, **options: Any) -> None:
        self.clock = FakeClock()
        self.operation = operation
        limits = {operation.value: {"per_10s": 1000, "concurrent": 1}}
        self.upstream = services(self.clock, limits=limits).upstreams["chat"]
        self.gate = self.upstream.gates.call(operation)
        self.observed: list[Event] = []
        self.upstream._observe = self.observed.append
        self.call = self.new_call(hold=hold, **options)

    def new_call(self, **options: Any) -> JobCall[Any]:
        options = {"request": lambda: status_request("job-1"), "hold": hold_little, **options}
        return JobCall(self.upstream, self.operation, decode=DECODE[self.operation], **options)

    def begin(self) -> None:
        self.call.begin(tenant(), wait_s_max=2)

    def begin_in_line(self) -> Callable[[], None]:
        """Begin while another call has the budget; return what gives that back."""
        other = self.gate.hold(tenant(name="other"))
        self.begin()
        return other.release

    @property
    def outcomes(self) -> list[CallOutcome]:
        return [each.outcome for each in self.observed if isinstance(each, UpstreamCalled)]

    def check_over(self, *outcomes: CallOutcome) -> None:
        """It has no action, holds nothing, and has reported these outcomes; stopping it changes nothing."""
        for _ in range(2):
            assert (self.call.action, self.call.is_sent, self.call.is_due) == (None, False, False)
            assert self.outcomes == list(outcomes)
            assert (self.gate.held, self.gate.waiting) == ({}, {})
            self.call.stop()


def replies(status: int, *pieces: bytes, retry_after_s: float | None = None) -> Step:
    def step(call: JobCall[Any]) -> None:
        call.head(status, retry_after_s)
        for piece in pieces:
            call.piece(piece)
        call.ended()

    return step


def overflows(status: int, *, retry_after_s: float | None = None) -> Step:
    """The rest of a reply that is too large is not waited for."""

    def step(call: JobCall[Any]) -> None:
        call.head(status, retry_after_s)
        call.piece(TOO_LONG)

    return step


def breaks_off(status: int, *pieces: bytes, retry_after_s: float | None = None) -> Step:
    def step(call: JobCall[Any]) -> None:
        call.head(status, retry_after_s)
        for piece in pieces:
            call.piece(piece)
        call.failed(LOST)

    return step


@pytest.mark.parametrize("is_shielded", [False, True])
def test_a_call_with_a_budget_is_sent_at_once(*, is_shielded: bool) -> None:
    calling = Calling(is_shielded=is_shielded)
    calling.begin()
    action = calling.call.action
    assert isinstance(action, Send)
    assert (action.client, action.request.path) == (calling.upstream.client, "/status/job-1")
    assert action.is_shielded is is_shielded
    assert calling.call.is_sent
    assert calling.gate.held == {"acme": 1}


def test_a_call_without_a_budget_waits_for_its_turn_and_is_built_then() -> None:
    built: list[float] = []

    def request() -> UpstreamRequest:
        built.append(calling.clock.now_s)
        return status_request("job-1")

    calling = Calling(request=request)
    give_back = calling.begin_in_line()
    action = calling.call.action
    assert isinstance(action, AwaitPermit)
    assert action.permit.is_waiting
    assert calling.gate.waiting == {"acme": 1}
    calling.clock.now_s += 1
    assert not calling.call.is_sent
    assert not calling.call.is_due
    assert built == []
    give_back()
    assert not action.permit.is_waiting
    calling.call.wait_ended()
    assert calling.call.is_sent
    assert built == [1001]
    assert calling.gate.held == {"acme": 1}


@pytest.mark.parametrize("is_urgent", [False, True])
def test_an_urgent_call_goes_before_its_tenant_s_others(*, is_urgent: bool) -> None:
    calling = Calling()
    give_back = calling.begin_in_line()
    second = calling.new_call()
    second.begin(tenant(), wait_s_max=2, is_urgent=is_urgent)
    give_back()
    first = second if is_urgent else calling.call
    assert isinstance(first.action, AwaitPermit)
    assert not first.action.permit.is_waiting
    assert calling.gate.waiting == {"acme": 1}


def test_a_call_whose_turn_does_not_come_is_refused_and_was_not_made() -> None:
    calling = Calling()
    give_back = calling.begin_in_line()
    calling.clock.now_s += 1.9
    assert not calling.call.is_due
    calling.clock.now_s += 0.1
    assert calling.call.is_due
    with pytest.raises(NoTurnError):
        calling.call.wait_ended()
    assert calling.gate.held == {"other": 1}
    give_back()
    calling.check_over()


def test_a_call_during_a_longer_pause_is_refused_at_once() -> None:
    calling = Calling()
    permit = calling.gate.hold(tenant())
    calling.gate.refused_upstream(permit, retry_after_s=60)
    permit.release()
    with pytest.raises(NoTurnError):
        calling.begin()
    calling.check_over()


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        (Operation.RUN, b'{"id":"job-1"}'),
        (Operation.STREAM, b'{"status":"IN_PROGRESS"}'),
        (Operation.STATUS, b'{"status":"IN_PROGRESS"}'),
    ],
)
def test_a_reply_is_read_to_its_end_and_decoded(operation: Operation, body: bytes) -> None:
    sizes: list[int] = []
    calling = Calling(operation, hold=sizes.append)
    calling.begin()
    calling.call.head(200, None)
    for piece in (body[:3], body[3:]):
        calling.call.piece(piece)
        assert calling.call.is_sent
        assert calling.call.result is None
    calling.call.ended()
    assert sizes == [3, len(body)]
    assert calling.call.result == "job-1" or calling.call.result.status == "IN_PROGRESS"
    calling.check_over(CallOutcome.OK)


FAILURES: list[tuple[str, Step, type[GatewayError], CallOutcome]] = [
    ("malformed", replies(200, b"{"), UnreachableError, CallOutcome.FAILED),
    ("empty", replies(200), UnreachableError, CallOutcome.FAILED),
    ("too large", overflows(200), OutputLostError, CallOutcome.FAILED),
    ("broken", breaks_off(200, b"{}"), UnreachableError, CallOutcome.LOST),
    ("busy", replies(429), UpstreamBusyError, CallOutcome.BUSY),
    ("gone", replies(404), JobExpiredError, CallOutcome.GONE),
    ("gone, broken", breaks_off(404, b"x"), JobExpiredError, CallOutcome.GONE),
    ("gone, too large", overflows(404), JobExpiredError, CallOutcome.GONE),
    ("lost", lambda call: call.failed(LOST), UnreachableError, CallOutcome.LOST),
    ("refused", lambda call: call.failed(REFUSED), UnreachableError, CallOutcome.FAILED),
]


@pytest.mark.parametrize(("step", "error", "outcome"), [row[1:] for row in FAILURES], ids=[row[0] for row in FAILURES])
def test_a_failed_call_has_one_outcome_and_gives_its_budget_back(
    step: Step, error: type[GatewayError], outcome: CallOutcome
) -> None:
    calling = Calling()
    calling.begin()
    with pytest.raises(error):
        step(calling.call)
    assert calling.call.result is None
    calling.check_over(outcome)


def test_a_reply_without_room_has_one_outcome_and_gives_its_budget_back() -> None:
    calling = Calling(hold=no_room)
    calling.begin()
    with pytest.raises(AnswersFullError):
        replies(200, b"{}")(calling.call)
    calling.check_over(CallOutcome.FAILED)


@pytest.mark.parametrize("waits", [False, True])
def test_a_request_that_cannot_be_built_ends_the_call(*, waits: bool) -> None:
    calling = Calling(Operation.RUN, request=too_large_request)
    if waits:
        calling.begin_in_line()()
    with pytest.raises(BodyTooLargeError):
        (calling.call.wait_ended if waits else calling.begin)()
    calling.check_over(CallOutcome.FAILED)


def test_a_call_that_is_stopped_has_no_outcome_and_gives_its_budget_back() -> None:
    calling = Calling()
    calling.call.stop()
    calling.check_over()
    calling.begin()
    calling.call.stop()
    calling.check_over()


@pytest.mark.parametrize("is_granted", [False, True])
def test_a_call_that_is_stopped_in_line_leaves_the_line(*, is_granted: bool) -> None:
    calling = Calling()
    give_back = calling.begin_in_line()
    if is_granted:
        give_back()
    calling.call.stop()
    if not is_granted:
        assert (calling.gate.held, calling.gate.waiting) == ({"other": 1}, {})
        give_back()
    calling.check_over()


@pytest.mark.parametrize("step", [breaks_off, overflows])
@pytest.mark.parametrize("status", [404, 429, 503])
def test_the_status_of_a_failure_counts_whatever_became_of_its_body(step: Callable[..., Step], status: int) -> None:
    calling = Calling()
    calling.begin()
    with pytest.raises(GatewayError) as caught:
        step(status, retry_after_s=7)(calling.call)
    error = caught.value
    match status:
        case 404:
            assert isinstance(error, JobExpiredError)
        case 429:
            assert isinstance(error, UpstreamBusyError)
            assert error.retry_after_s == 7
        case _:
            assert isinstance(error, UnreachableError)
            assert (error.status, error.was_sent, error.retry_after_s) == (503, True, 7)


def test_a_reply_to_a_submission_that_is_too_large_is_a_lost_one() -> None:
    calling = Calling(Operation.RUN)
    calling.begin()
    with pytest.raises(UnreachableError) as caught:
        overflows(200)(calling.call)
    assert (caught.value.reason, caught.value.was_sent, caught.value.is_outage) == (TOO_LARGE, True, False)
    calling.check_over(CallOutcome.LOST)


@pytest.mark.parametrize("operation", [Operation.STREAM, Operation.STATUS])
def test_outputs_that_are_too_large_are_lost_with_their_cause(operation: Operation) -> None:
    calling = Calling(operation)
    calling.begin()
    with pytest.raises(OutputLostError) as caught:
        overflows(200)(calling.call)
    cause = caught.value.__cause__
    assert isinstance(cause, UnreachableError)
    assert cause.reason is TOO_LARGE
