"""The cheap upstream's jobs hand their outputs out in pages, and end."""

import json

from bench.speed.sizes import STAMP, Asked, request_body
from bench.speed.upstream import Jobs, chunk_text
from gateway.wire.runpod import JobState, decode_accepted, decode_page, decode_status


def test_a_job_is_read_in_pages() -> None:
    jobs = Jobs()
    body = request_body(Asked(chunks=5, page=2), model="m", is_stream=True)
    job_id = decode_accepted(jobs.answer("run", "", body)).id
    pages = [decode_page(jobs.answer("stream", job_id, b"")) for _ in range(4)]
    # The end mark comes with the last chunk.
    assert [len(page.outputs) for page in pages] == [2, 2, 2, 0]
    assert [page.state for page in pages] == [JobState.IN_PROGRESS] * 2 + [JobState.COMPLETED] * 2
    assert decode_status(jobs.answer("status", job_id, b"")).state is JobState.COMPLETED


def test_each_chunk_carries_one_stamp() -> None:
    asked = Asked(chunks=3)
    chunks = [chunk_text(number, asked) for number in range(3)]
    assert [chunk.encode().count(STAMP) for chunk in chunks] == [1, 1, 1]
    ends = [json.loads(chunk)["choices"][0]["finish_reason"] for chunk in chunks]
    assert ends == [None, None, "stop"]
