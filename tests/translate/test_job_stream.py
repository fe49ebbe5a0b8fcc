from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import GatewayError, JobExpiredError, JobFailedError, OutputLostError, WorkerError
from gateway.translate.job_stream import TERMINAL_PAGES_MAX, JobStream, Next
from gateway.wire.items import ITEMS_MAX
from gateway.wire.runpod import JobStatus, StreamPage, decode_page, decode_status


def page(status: str | None, *outputs: Any) -> StreamPage:
    items = [{"output": output} for output in outputs]
    return decode_page(msgspec.json.encode(items if status is None else {"status": status, "stream": items}))


def status(state: str, **fields: Any) -> JobStatus:
    return decode_status(msgspec.json.encode({"id": "j", "status": state, **fields}))


def values(outputs: list[msgspec.Raw]) -> list[Any]:
    return [msgspec.json.decode(output) for output in outputs]


def after(*events: StreamPage | JobStatus | str) -> tuple[JobStream, list[Any]]:
    """A job to which this happened, and what it gave."""
    job, given_out = JobStream(), []
    for event in events:
        if isinstance(event, StreamPage):
            given_out += values(job.page(event))
        elif isinstance(event, JobStatus):
            given_out += values(job.status(event))
        else:
            job.lost()
    return job, given_out


def test_outputs_come_before_the_end() -> None:
    job, given_out = after(page("IN_QUEUE"), page("IN_PROGRESS", 1, 2), page("COMPLETED", 3))
    assert given_out == [1, 2, 3]
    assert job.next is Next.READ_PAGE
    assert values(job.page(page("COMPLETED"))) == []
    assert job.next is Next.NOTHING


def test_terminal_pages_are_read_until_one_is_empty() -> None:
    job, given_out = after(*[page("COMPLETED", n) for n in range(9)])
    assert given_out == list(range(9))
    assert job.next is Next.READ_PAGE


def test_terminal_pages_without_end_are_left_for_the_status() -> None:
    job, _ = after(*[page("COMPLETED", 1)] * TERMINAL_PAGES_MAX)
    assert job.next is Next.READ_STATUS
    assert values(job.status(status("COMPLETED", output=[1] * TERMINAL_PAGES_MAX + [2]))) == [2]


def test_an_answer_in_doubt_is_looked_up_once() -> None:
    job, _ = after(page("COMPLETED", "a"), page("COMPLETED"))
    assert job.next is Next.NOTHING
    job.reconcile()
    assert job.next is Next.READ_STATUS
    assert values(job.status(status("COMPLETED", output=["a", "b"]))) == ["b"]
    job.reconcile()
    assert job.next is Next.NOTHING


def test_a_job_has_started_when_a_worker_has_it() -> None:
    assert not after(page("IN_QUEUE"))[0].has_started
    assert after(page("IN_PROGRESS"))[0].has_started
    assert after(page("RUNNING"))[0].has_started
    assert after(page("FAILED"))[0].has_started
    assert not after(page("CANCELLED"))[0].has_started
    assert not after(page("TIMED_OUT"))[0].has_started
    assert after(page(None, 1))[0].has_started


def test_a_handler_that_does_not_stream_answers_in_its_status() -> None:
    job, _ = after(page("COMPLETED"))
    assert job.next is Next.READ_STATUS
    assert values(job.status(status("COMPLETED", output="text"))) == ["text"]
    assert job.next is Next.NOTHING
    assert after(page("COMPLETED"), status("COMPLETED", output=[{"a": 1}]))[1] == [{"a": 1}]


@pytest.mark.parametrize("fields", [{}, {"output": None}, {"output": []}])
def test_completed_without_output_is_a_failure(fields: dict[str, Any]) -> None:
    with pytest.raises(OutputLostError, match="without output"):
        after(page("COMPLETED"), status("COMPLETED", **fields))


def test_the_reason_of_a_failure_is_in_the_status() -> None:
    job, given_out = after(page("IN_PROGRESS", 1), page("FAILED"))
    assert given_out == [1]
    assert job.next is Next.READ_STATUS
    with pytest.raises(WorkerError) as caught:
        job.status(status("FAILED", error="{'message': 'no', 'type': 'BadRequestError', 'code': 400}"))
    assert caught.value.status == 400
    assert job.next is Next.NOTHING
    assert job.is_terminal


@pytest.mark.parametrize("state", ["CANCELLED", "TIMED_OUT", "FAILED"])
def test_every_bad_end_is_an_end(state: str) -> None:
    with pytest.raises(JobFailedError):
        after(page(state), status(state, error="why"))


def test_an_error_that_is_no_text_is_read_as_the_object_it_is() -> None:
    with pytest.raises(WorkerError):
        after(page("FAILED"), status("FAILED", error={"message": "no", "code": 400}))


def test_a_bare_page_asks_for_the_status() -> None:
    job, given_out = after(page(None, 1), page(None))
    assert given_out == [1]
    assert job.next is Next.READ_STATUS
    job.status(status("IN_PROGRESS"))
    assert job.next is Next.READ_PAGE
    job.page(page(None))
    assert values(job.status(status("COMPLETED", output={"text": ["all of it"]}))) == []
    assert job.next is Next.NOTHING


def test_what_a_lost_page_held_comes_from_the_status() -> None:
    job, given_out = after(page("IN_PROGRESS", "a"), "lost")
    assert given_out == ["a"]
    assert job.next is Next.READ_STATUS
    assert job.status(status("IN_PROGRESS", output="half a progress report")) == []
    assert job.next is Next.READ_STATUS
    assert values(job.status(status("COMPLETED", output=["a", "b", "c"]))) == ["b", "c"]


def test_a_gap_that_nothing_fills_is_a_failure() -> None:
    with pytest.raises(OutputLostError, match="lost"):
        after(page("IN_PROGRESS", "a"), "lost", status("COMPLETED"))


def test_a_status_with_too_many_outputs_is_no_answer() -> None:
    with pytest.raises(OutputLostError, match="100000 parts"):
        after(page("IN_PROGRESS", "a"), "lost", status("COMPLETED", output=[1] * (ITEMS_MAX + 1)))


def test_a_page_lost_while_the_job_waited_held_nothing() -> None:
    job, _ = after(page("IN_QUEUE"), "lost", status("IN_QUEUE"))
    assert job.next is Next.READ_PAGE


def test_a_job_that_begins_anew_is_not_told_twice() -> None:
    with pytest.raises(OutputLostError, match="restarted"):
        after(page("IN_PROGRESS", "a"), page("IN_QUEUE"))
    with pytest.raises(OutputLostError, match="restarted"):
        after(page("IN_PROGRESS", "a"), "lost", status("IN_QUEUE"))


def test_an_unknown_state_is_no_end() -> None:
    assert after(page("HOVERING"))[0].next is Next.READ_PAGE


def test_an_expired_job_is_over() -> None:
    job, _ = after(page("IN_PROGRESS", 1))
    assert isinstance(job.expired(), JobExpiredError)
    assert job.next is Next.NOTHING
    assert job.is_terminal


def test_times_are_read_in_seconds() -> None:
    job = JobStream()
    job.note_costs(status("COMPLETED", delayTime=1500, executionTime=250))
    assert (job.delay_s, job.execution_s, job.is_terminal) == (1.5, 0.25, True)


STATES = st.sampled_from(
    ["IN_QUEUE", "IN_PROGRESS", "COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT", "RUNNING", "?", ""]
)
EVENTS = st.one_of(
    st.builds(
        lambda state, outputs: page(state, *outputs), st.one_of(st.none(), STATES), st.lists(st.integers(), max_size=3)
    ),
    st.builds(
        lambda state, output: status(state, output=output), STATES, st.one_of(st.none(), st.lists(st.integers()))
    ),
    st.just("lost"),
)


@given(st.lists(EVENTS, max_size=12))
def test_the_table_is_total_and_the_end_is_final(events: list[StreamPage | JobStatus | str]) -> None:
    job = JobStream()
    for event in events:
        if job.next is Next.NOTHING:
            assert job.is_terminal or not job.has_output
            return
        try:
            if isinstance(event, StreamPage) and job.next is Next.READ_PAGE:
                job.page(event)
            elif isinstance(event, JobStatus) and job.next is Next.READ_STATUS:
                job.status(event)
            elif isinstance(event, str):
                job.lost()
        except GatewayError:
            assert job.next is Next.NOTHING
            return


@pytest.mark.parametrize("milliseconds", ["inf", "nan", 1e300])
def test_a_time_that_cannot_be_true_is_not_taken(milliseconds: object) -> None:
    job = JobStream()
    job.note_costs(status("COMPLETED", delayTime=1500, executionTime=250))
    job.note_costs(status("COMPLETED", delayTime=milliseconds, executionTime=milliseconds))
    assert (job.delay_s, job.execution_s) == (1.5, 0.25)
