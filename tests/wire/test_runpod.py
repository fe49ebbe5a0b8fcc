import msgspec
import pytest

from gateway.wire import runpod
from gateway.wire.items import ITEMS_MAX, TooManyItemsError
from gateway.wire.runpod import JobState


def test_a_page_is_an_object_or_a_bare_array() -> None:
    page = runpod.decode_page(b'{"status":"IN_PROGRESS","stream":[{"output":"a"},{"output":{"b":1}}],"new":1}')
    assert page.state is JobState.IN_PROGRESS
    assert [bytes(output) for output in page.outputs] == [b'"a"', b'{"b":1}']
    bare = runpod.decode_page(b' [{"metrics":{"x":1},"output":{"text":["a"]}}]')
    assert bare.status == ""
    assert [bytes(output) for output in bare.outputs] == [b'{"text":["a"]}']


@pytest.mark.parametrize("body", [b"{}", b'{"status":"COMPLETED"}', b'{"stream":null}', b'{"stream":[{}]}', b"[]"])
def test_a_page_may_lack_anything(body: bytes) -> None:
    assert runpod.decode_page(body).outputs == []


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'{"stream":3}', b'{"status":7}', b'"x"', b"null"])
def test_a_page_of_another_shape_is_refused(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        runpod.decode_page(body)


def test_a_word_that_nobody_knows_is_no_end() -> None:
    assert runpod.decode_status(b'{"status":"PAUSED"}').state is JobState.UNKNOWN
    assert not JobState.UNKNOWN.is_terminal
    assert not JobState("RUNNING").is_terminal
    assert {state for state in JobState if state.is_terminal} == {
        JobState.COMPLETED,
        JobState.FAILED,
        JobState.CANCELLED,
        JobState.TIMED_OUT,
    }


def test_times_may_come_as_text() -> None:
    assert runpod.decode_status(b'{"status":"COMPLETED","delayTime":"824","executionTime":3391}').delay_time == 824


def test_health_takes_any_kind_of_worker() -> None:
    health = runpod.decode_health(b'{"jobs":{"completed":1},"workers":{"idle":1,"throttled":2,"hovering":3}}')
    assert health.workers == {"idle": 1, "throttled": 2, "hovering": 3}


def test_a_submission_holds_only_what_was_set() -> None:
    submission = runpod.JobSubmission(
        input=msgspec.Raw(b'{"a":1}'), policy=runpod.JobPolicy(execution_timeout=5000, ttl=10000)
    )
    assert msgspec.json.encode(submission) == b'{"input":{"a":1},"policy":{"executionTimeout":5000,"ttl":10000}}'


@pytest.mark.parametrize("head", [b'{"status":"COMPLETED","stream":[', b"["])
@pytest.mark.parametrize("item", [b'{"output":1}', b"{}"])
def test_a_page_has_so_many_outputs_and_no_more(head: bytes, item: bytes) -> None:
    end = b"]}" if head[:1] == b"{" else b"]"
    page = runpod.decode_page(head + b",".join([item] * ITEMS_MAX) + end)
    assert len(page.stream or ()) == ITEMS_MAX
    assert page.state is (JobState.COMPLETED if head[:1] == b"{" else JobState.UNKNOWN)
    # The rest is not even looked at.
    with pytest.raises(TooManyItemsError):
        runpod.decode_page(head + b",".join([item] * (ITEMS_MAX + 1)) + b", nonsense")


def test_each_page_is_counted_by_itself() -> None:
    page = b"[" + b",".join([b'{"output":1}'] * 60_000) + b"]"
    assert [len(runpod.decode_page(page).outputs) for _ in range(3)] == [60_000] * 3
