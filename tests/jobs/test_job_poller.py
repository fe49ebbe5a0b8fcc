"""A job is read poll by poll, until it has ended or a timeout of its endpoint is over."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from gateway.endpoints.actions import AwaitPermit, Pause, Send
from gateway.errors import (
    AnswersFullError,
    GatewayError,
    JobExpiredError,
    JobFailedError,
    NoTurnError,
    NoWorkerError,
    OutputLostError,
    UnreachableError,
    UpstreamConfigError,
    UpstreamTimeoutError,
)
from gateway.jobs.answer_memory import FEW_OUTPUTS, OUTPUT_BYTES, AnswerMemory
from gateway.jobs.job_poller import FAILED_CALLS_MAX, HASTY_PAGE_S, STATUS_PAUSE_S, JobPoller
from gateway.jobs.job_times import START_REPLY_S_MAX
from gateway.translate.job_stream import Next
from gateway.upstream.job_api import UNCOUNTED_BYTES
from tests.factories import tenant
from tests.fakes.clock import FakeClock
from tests.jobs.test_job_call import LOST, REFUSED
from tests.jobs.test_job_submission import new_job
from tests.machines import services

Reply = tuple[int, bytes] | GatewayError
ONE_CALL = {"per_10s": 1000, "concurrent": 1}


def page(state: str, *outputs: Any) -> Reply:
    return 200, json.dumps({"status": state, "stream": [{"output": output} for output in outputs]}).encode()


def status(state: str, **fields: Any) -> Reply:
    return 200, json.dumps({"status": state, **fields}).encode()


BUSY: Reply = (429, b"")


class Polling:
    """A job that Runpod has just accepted, and its poller."""

    def __init__(self, *pages: Reply, is_stream: bool = True, **endpoint: Any) -> None:
        self.clock = FakeClock()
        world = services(self.clock, **{"cold_start_timeout_s": 60, "execution_timeout_s": 60, **endpoint})
        self.upstream = world.upstreams["chat"]
        self.job = new_job(world, is_stream=is_stream)
        self.job.accepted("job-1", ttl_s=100)
        self.starts: list[float | None] = []
        self.job.on_start = lambda job: self.starts.append(job.started_at_s)
        self.memory = AnswerMemory(self.upstream.answers, "acme", is_whole=False)
        self.poller = JobPoller(self.job, self.memory)
        self.paths: list[str] = []
        for each in pages:
            self.read(each)

    def read(self, *replies: Reply, takes_s: float = 0.0) -> list[Any]:
        """Read once, with a reply for each call that this makes; return the outputs."""
        self.poller.read()
        for each in replies:
            self.clock.now_s += takes_s
            self.answer(each)
        assert not isinstance(self.poller.action, Send)
        return self.outputs()

    def outputs(self) -> list[Any]:
        return [msgspec.json.decode(output) for output in self.poller.take_outputs()]

    def answer(self, reply: Reply, *, retry_after_s: float | None = None) -> None:
        """Answer the call in progress."""
        self.paths.append(self.path.split("/")[1])
        if isinstance(reply, GatewayError):
            self.poller.failed(reply)
            return
        code, body = reply
        self.poller.head(code, retry_after_s)
        self.poller.piece(body)
        self.poller.ended()

    @property
    def request(self) -> Any:
        assert isinstance(self.poller.action, Send)
        return self.poller.action.request

    @property
    def path(self) -> str:
        path: str = self.request.path
        return path

    @property
    def pause_s(self) -> float:
        """The pause that is asked for; 0 if none is."""
        action = self.poller.action
        assert action is None or isinstance(action, Pause)
        return 0 if action is None else action.until_s - self.clock.now_s

    def held(self) -> tuple[dict[str, int], dict[str, int], int]:
        """The budgets and the memory in use."""
        calls = self.upstream.gates.calls
        return calls["stream"].held, calls["status"].held, self.upstream.answers.held_bytes


def test_outputs_are_read_page_by_page_until_the_job_has_ended() -> None:
    polling = Polling()
    read = polling.read
    assert [read(page("IN_QUEUE")), read(page("IN_PROGRESS", "a")), read(page("IN_PROGRESS", "b", "c"))] == [
        [],
        ["a"],
        ["b", "c"],
    ]
    assert polling.poller.take_outputs() == []
    assert read(page("COMPLETED", "d")) == ["d"]
    assert polling.job.stream.next is Next.READ_PAGE
    assert read(page("COMPLETED")) == []
    assert polling.job.stream.next is Next.NOTHING
    assert polling.paths == ["stream"] * 5
    assert polling.held() == ({}, {}, 0)


def test_output_that_no_page_delivers_is_read_from_the_status() -> None:
    polling = Polling(page("COMPLETED"))
    assert polling.read(status("COMPLETED", output={"a": 1}, executionTime=1500)) == [{"a": 1}]
    assert polling.paths == ["stream", "status"]
    assert polling.job.stream.execution_s == 1.5


def test_a_page_without_a_state_is_followed_by_the_status() -> None:
    polling = Polling((200, b"[]"))
    polling.read(status("IN_PROGRESS"))
    assert polling.read((200, b'[{"output":"a"}]')) == ["a"]
    assert polling.paths == ["stream", "status", "stream"]


@pytest.mark.parametrize(
    ("pages", "later_s", "wait_ms", "total_s"),
    [
        ([], 0, 1000, 16),
        ([page("IN_QUEUE")], 0, 1000, 16),
        ([page("IN_PROGRESS")], 0, 10_000, 25),
        ([page("IN_PROGRESS", "a")], 0, 10_000, 25),
        # Not beyond the timeout, to which a page without output before it may add a poll.
        ([page("IN_PROGRESS")], 55.5, 4500, 14.5),
        ([page("IN_PROGRESS", "a")], 55.5, 4500, 4.5),
        ([page("IN_PROGRESS", "a")], 59.5, 1000, 0.5),
    ],
)
def test_a_poll_is_long_once_a_worker_has_the_job(
    pages: Sequence[Reply], later_s: float, wait_ms: int, total_s: float
) -> None:
    polling = Polling(*pages)
    polling.clock.now_s += later_s
    polling.poller.read()
    assert polling.path == f"/stream/job-1?wait={wait_ms}"
    assert polling.request.total_s_max == pytest.approx(total_s)


def test_a_poll_is_short_while_others_wait_for_the_budget() -> None:
    polling = Polling(page("IN_PROGRESS", "a"), limits={"stream": ONE_CALL})
    gate = polling.upstream.gates.call("stream")
    held, waiting = gate.hold(tenant()), gate.request(tenant(name="other"), wait_s_max=9)
    polling.poller.read()
    assert isinstance(polling.poller.action, AwaitPermit)
    held.release()
    waiting.release()
    polling.poller.wait_ended()
    assert polling.path == "/stream/job-1?wait=1000"


def test_the_wait_for_the_budget_is_part_of_the_timeout() -> None:
    polling = Polling(page("IN_PROGRESS", "a"), limits={"stream": ONE_CALL})
    held = polling.upstream.gates.call("stream").hold(tenant(name="other"))
    polling.poller.read()
    polling.clock.now_s += 57
    assert not polling.poller.is_due(polling.clock.now_s)
    held.release()
    polling.poller.wait_ended()
    assert polling.request.total_s_max == 3


@pytest.mark.parametrize(("pages", "operation"), [([], "stream"), ([LOST], "status")])
def test_a_poll_whose_turn_does_not_come_in_time_fails(pages: Sequence[Reply], operation: str) -> None:
    polling = Polling(*pages, limits={operation: ONE_CALL})
    held = polling.upstream.gates.call(operation).hold(tenant(name="other"))
    polling.poller.read()
    polling.clock.now_s += 59.9
    assert not polling.poller.is_due(polling.clock.now_s)
    polling.clock.now_s += 0.1
    assert polling.poller.is_due(polling.clock.now_s)
    with pytest.raises(NoTurnError):
        polling.poller.due()
    held.release()
    assert (polling.poller.action, polling.held()) == (None, ({}, {}, 0))


@pytest.mark.parametrize("has_text", [False, True])
def test_a_job_whose_client_has_no_text_yet_is_polled_before_others(*, has_text: bool) -> None:
    polling = Polling(limits={"stream": ONE_CALL})
    gate = polling.upstream.gates.call("stream")
    held, before = gate.hold(tenant(name="other")), gate.request(tenant(), wait_s_max=9)
    polling.job.has_text = has_text
    polling.poller.read()
    held.release()
    assert before.is_waiting is not has_text


@pytest.mark.parametrize(
    ("pages", "reply", "takes_s", "pause_s"),
    [
        ([], page("IN_QUEUE"), 0, HASTY_PAGE_S),
        ([], page("IN_PROGRESS"), 0.1, HASTY_PAGE_S),
        ([], page("IN_PROGRESS"), 0.2, 0),
        ([], page("IN_PROGRESS", "a"), 0, 0),
        ([], page("COMPLETED"), 0, 0),
        ([page("IN_PROGRESS", "a")], page("COMPLETED"), 0, 0),
        ([LOST], status("IN_PROGRESS"), 0, STATUS_PAUSE_S),
        ([LOST], status("IN_PROGRESS"), 0.2, 0),
        ([LOST], status("COMPLETED", output="a"), 0, 0),
    ],
)
def test_an_empty_reply_that_came_early_is_followed_by_a_pause(
    pages: Sequence[Reply], reply: Reply, takes_s: float, pause_s: float
) -> None:
    polling = Polling(*pages)
    polling.read(reply, takes_s=takes_s)
    assert polling.pause_s == pytest.approx(pause_s)
    polling.poller.resumed()
    assert polling.poller.action is None


def test_a_page_that_needed_a_question_for_its_start_is_still_a_page() -> None:
    polling = Polling()
    polling.clock.now_s += 5
    polling.read(page("IN_PROGRESS"), status("IN_PROGRESS"))
    assert polling.pause_s == pytest.approx(HASTY_PAGE_S)


@pytest.mark.parametrize("retry_after_s", [None, 3.0])
def test_a_busy_runpod_is_asked_again_when_it_says(retry_after_s: float | None) -> None:
    polling = Polling()
    polling.poller.read()
    polling.answer(BUSY, retry_after_s=retry_after_s)
    # Spread by a quarter.
    assert polling.pause_s == pytest.approx(retry_after_s or 0.5, rel=0.25)
    polling.poller.resumed()
    polling.clock.now_s += 4
    assert polling.job.stream.next is Next.READ_PAGE
    assert polling.read(page("IN_PROGRESS", "a"), status("IN_PROGRESS")) == ["a"]
    assert polling.held() == ({}, {}, 0)


def test_pauses_grow_from_failure_to_failure_until_one_is_too_many() -> None:
    polling = Polling()
    pauses: list[float] = []
    for _ in range(FAILED_CALLS_MAX):
        polling.read(REFUSED)
        pauses.append(polling.pause_s)
    assert [each / pauses[0] for each in pauses] == pytest.approx([1, 2, 4, 8, 8])
    with pytest.raises(UnreachableError):
        polling.read(REFUSED)
    assert polling.poller.action is None
    assert polling.held() == ({}, {}, 0)


def test_only_failures_without_a_success_between_them_are_counted() -> None:
    polling = Polling(*[REFUSED] * FAILED_CALLS_MAX, page("IN_QUEUE"), *[REFUSED] * FAILED_CALLS_MAX)
    assert polling.pause_s > 0


@pytest.mark.parametrize("failure", [BUSY, REFUSED])
def test_a_pause_ends_with_the_timeout_at_the_latest(failure: Reply) -> None:
    polling = Polling()
    polling.clock.now_s += 59.9
    polling.read(failure)
    assert polling.pause_s == pytest.approx(0.1)


def test_a_failure_after_the_timeout_is_that_of_the_timeout() -> None:
    polling = Polling()
    with pytest.raises(NoWorkerError):
        polling.read(LOST, takes_s=60)


@pytest.mark.parametrize(
    ("reply", "error"),
    [((401, b""), UpstreamConfigError), (page("IN_QUEUE"), OutputLostError), ((200, bytes(99_000)), AnswersFullError)],
)
def test_a_failure_that_lasts_ends_the_job_at_once(reply: Reply, error: type[GatewayError]) -> None:
    polling = Polling(page("IN_PROGRESS", "a"))
    polling.upstream.answers.resize(0)
    with pytest.raises(error):
        polling.read(reply)
    assert polling.poller.action is None
    assert polling.held() == ({}, {}, 0)


@pytest.mark.parametrize("reply", [LOST, (200, b"{"), (502, b"")], ids=["broken", "malformed", "5xx"])
def test_a_lost_page_is_repaired_from_the_status(reply: Reply) -> None:
    polling = Polling(page("IN_PROGRESS", "a"), reply)
    assert polling.job.stream.next is Next.READ_STATUS
    assert polling.read(status("IN_PROGRESS")) == []
    assert polling.read(status("COMPLETED", output=["a", "b"])) == ["b"]
    assert polling.paths == ["stream", "stream", "status", "status"]


@pytest.mark.parametrize("failure", [BUSY, REFUSED])
def test_a_page_that_was_not_taken_is_read_again(failure: Reply) -> None:
    assert Polling(page("IN_PROGRESS", "a"), failure).job.stream.next is Next.READ_PAGE


def test_a_lost_status_is_read_again() -> None:
    polling = Polling(page("COMPLETED"), LOST)
    assert polling.read(status("COMPLETED", output=["a"])) == ["a"]
    assert polling.paths == ["stream", "status", "status"]


@pytest.mark.parametrize("pages", [[], [page("COMPLETED")]])
def test_a_job_that_runpod_does_not_know_any_more_is_over(pages: Sequence[Reply]) -> None:
    polling = Polling(*pages)
    with pytest.raises(JobExpiredError):
        polling.read((404, b""))
    stream = polling.job.stream
    assert (stream.next, stream.is_terminal) == (Next.NOTHING, True)
    assert polling.held() == ({}, {}, 0)


@pytest.mark.parametrize(("error", "has_run"), [("handler: boom", True), ("no GPU", False)])
def test_a_job_that_failed_in_its_handler_has_run(error: str, *, has_run: bool) -> None:
    polling = Polling(page("FAILED"))
    with pytest.raises(JobFailedError):
        polling.read(status("FAILED", error=error))
    assert polling.job.times is not None
    assert polling.job.times.activity.has_output is has_run


@pytest.mark.parametrize("reported_s", [0.0, 2.0])
def test_a_start_that_polls_leave_unclear_is_asked_for_once(reported_s: float) -> None:
    polling = Polling()
    polling.clock.now_s += 5
    polling.poller.read()
    polling.answer(page("IN_PROGRESS", "a"))
    assert (polling.path, polling.starts) == ("/status/job-1", [])
    # The first output waits for the answer.
    assert isinstance(polling.poller.action, Send)
    assert polling.poller.action.request.total_s_max == START_REPLY_S_MAX
    polling.answer(status("IN_PROGRESS", delayTime=1000 * reported_s))
    assert (polling.poller.action, polling.outputs()) == (None, ["a"])
    assert (polling.job.started_at_s, polling.starts) == (1000 + reported_s, [1000 + reported_s])
    polling.clock.now_s += 5
    polling.read(page("IN_PROGRESS", "b"))
    assert (polling.paths, len(polling.starts)) == (["stream", "status", "stream"], 1)
    assert polling.held() == ({}, {}, 0)


@pytest.mark.parametrize(("queued_s", "then_s"), [(0, 0.2), (7, 0.25)])
def test_a_start_that_polls_show_is_not_asked_for(queued_s: float, then_s: float) -> None:
    polling = Polling()
    polling.clock.now_s += queued_s
    polling.read(page("IN_QUEUE"))
    polling.read(page("IN_PROGRESS", "a"), takes_s=then_s)
    assert polling.paths == ["stream", "stream"]
    assert polling.starts == [1000 + queued_s + then_s]


def test_a_start_that_a_status_told_is_not_asked_for() -> None:
    polling = Polling(LOST)
    polling.clock.now_s += 5
    polling.read(status("COMPLETED", output=["a"], delayTime=2000))
    assert (polling.paths, polling.starts) == (["stream", "status"], [1002])


@pytest.mark.parametrize(
    "failure",
    [(404, b""), (401, b""), (500, b""), BUSY, (200, b"{"), (200, bytes(99_000)), LOST, REFUSED],
    ids=["404", "401", "500", "429", "malformed", "no room", "broken", "refused"],
)
def test_a_start_that_nobody_tells_is_when_it_was_seen(failure: Reply) -> None:
    polling = Polling()
    polling.upstream.answers.resize(UNCOUNTED_BYTES)
    polling.clock.now_s += 5
    assert polling.read(page("IN_PROGRESS", "a"), failure) == ["a"]
    assert (polling.poller.action, polling.starts) == (None, [1005])
    assert not polling.job.stream.is_terminal
    # It was no failure of a poll.
    for _ in range(FAILED_CALLS_MAX):
        polling.read(REFUSED)
    assert polling.held() == ({}, {}, 0)


def test_a_start_is_not_waited_for() -> None:
    polling = Polling(limits={"status": ONE_CALL})
    polling.upstream.gates.call("status").hold(tenant(name="other"))
    polling.clock.now_s += 5
    polling.poller.read()
    polling.answer(page("IN_PROGRESS", "a"))
    assert isinstance(polling.poller.action, AwaitPermit)
    assert not polling.poller.is_due(polling.clock.now_s)
    polling.clock.now_s += 0.25
    assert polling.poller.is_due(polling.clock.now_s)
    polling.poller.due()
    assert (polling.poller.action, polling.outputs(), polling.starts) == (None, ["a"], [1005])


def test_the_outputs_beside_an_unclear_start_are_dropped_when_it_is_known() -> None:
    polling = Polling()
    polling.clock.now_s += 5
    polling.poller.read()
    polling.answer(page("IN_PROGRESS", "a"))
    polling.poller.head(200, None)
    large = json.dumps({"status": "IN_PROGRESS", "output": "x" * UNCOUNTED_BYTES}).encode()
    polling.poller.piece(large)
    assert polling.held() == ({}, {"acme": 1}, len(large))
    polling.poller.ended()
    assert polling.held() == ({}, {}, 0)


@pytest.mark.parametrize("asks", [False, True])
def test_a_poller_that_is_stopped_holds_nothing_but_what_was_read(*, asks: bool) -> None:
    polling = Polling()
    polling.clock.now_s += 5 * asks
    polling.poller.read()
    if asks:
        polling.answer(page("IN_PROGRESS", "a"))
    polling.poller.head(200, None)
    polling.poller.piece(bytes(99_000))
    assert polling.held() == (({}, {"acme": 1}, 99_000) if asks else ({"acme": 1}, {}, 99_000))
    polling.poller.stop()
    polling.memory.leave()
    assert (polling.poller.action, polling.held()) == (None, ({}, {}, 0))


def test_a_page_is_counted_until_the_next_read() -> None:
    polling = Polling()
    polling.read(page("IN_PROGRESS", "x" * UNCOUNTED_BYTES))
    assert polling.upstream.answers.held_bytes > UNCOUNTED_BYTES
    polling.poller.read()
    assert polling.upstream.answers.held_bytes == 0


def test_many_outputs_take_more_memory_than_their_bytes() -> None:
    polling = Polling(page("IN_PROGRESS", *["x"] * FEW_OUTPUTS))
    assert polling.upstream.answers.held_bytes == 0
    polling.read(page("IN_PROGRESS", *["x"] * (2 * FEW_OUTPUTS)))
    assert polling.upstream.answers.held_bytes > 2 * FEW_OUTPUTS * OUTPUT_BYTES


def test_output_is_that_of_a_worker() -> None:
    polling = Polling(page("IN_PROGRESS"))
    times = polling.job.times
    assert times is not None
    assert not times.activity.has_output
    polling.read(page("IN_PROGRESS", "a"))
    assert times.activity.has_output


@pytest.mark.parametrize(("is_stream", "usual_start_s"), [(True, 50), (False, None)])
def test_only_a_stream_shows_how_long_a_worker_took_to_load(*, is_stream: bool, usual_start_s: float | None) -> None:
    polling = Polling(is_stream=is_stream)
    polling.clock.now_s += 50
    polling.read(page("IN_PROGRESS", "a"), status("IN_PROGRESS", delayTime=0))
    assert polling.upstream.workers.report(polling.clock.now_s).usual_s == usual_start_s


QUEUED, RUNS, SPEAKS = page("IN_QUEUE"), page("IN_PROGRESS"), page("IN_PROGRESS", "a")


@pytest.mark.parametrize(
    ("is_stream", "pages", "left_s"),
    [
        (True, [], 20),
        (True, [QUEUED], 20),
        (False, [QUEUED], 20),
        # A worker may take a job long before it can serve it, and a stream shows when it does.
        (True, [RUNS], 20),
        (False, [RUNS], 30),
        (True, [SPEAKS], 30),
        (False, [SPEAKS], 30),
    ],
)
def test_a_job_has_a_time_to_be_taken_and_a_time_to_run(
    *, is_stream: bool, pages: Sequence[Reply], left_s: float
) -> None:
    polling = Polling(*pages, is_stream=is_stream, cold_start_timeout_s=20, execution_timeout_s=30)
    polling.clock.now_s += left_s - 0.1
    polling.poller.read()
    assert isinstance(polling.poller.action, Send)
    polling.poller.stop()
    polling.clock.now_s += 0.1
    with pytest.raises(UpstreamTimeoutError if left_s == 30 else NoWorkerError) as caught:
        polling.poller.read()
    error = caught.value
    if isinstance(error, NoWorkerError):
        assert (error.waited_s, polling.job.stream.delay_s) == (20, pytest.approx(20))
    else:
        assert isinstance(error, UpstreamTimeoutError)
        assert (error.ran_s, error.is_loading) == (pytest.approx(30), pages == [RUNS])


def test_a_job_runs_from_the_start_that_runpod_reports() -> None:
    polling = Polling(cold_start_timeout_s=20, execution_timeout_s=30)
    polling.clock.now_s += 15
    polling.read(SPEAKS, status("IN_PROGRESS", delayTime=5000))
    polling.clock.now_s += 19.9
    polling.read(SPEAKS)
    polling.clock.now_s += 0.1
    with pytest.raises(UpstreamTimeoutError):
        polling.poller.read()


def test_the_timeouts_of_a_job_stay_those_of_its_submission() -> None:
    polling = Polling(cold_start_timeout_s=20)
    polling.upstream.take(msgspec.structs.replace(polling.upstream.endpoint, cold_start_timeout_s=5))
    polling.clock.now_s += 19
    polling.read(QUEUED)
