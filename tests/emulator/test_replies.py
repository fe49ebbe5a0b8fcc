import json

import pytest

from gateway.emulator.job import Job, Terms
from gateway.emulator.replies import (
    HTML,
    JSON,
    accepted_body,
    bare_page_body,
    error_reply,
    health_body,
    page_body,
    status_body,
)
from gateway.wire.runpod import EndpointHealth, JobState, decode_page, decode_status

TERMS = Terms(ttl_s=1.0, execution_timeout_s=1.0, retention_s=1.0)
ITEMS = [b'{"output":"a\\n"}', b'{"metrics":{},"output":{"b":[1]}}']


def a_job(**fields) -> Job:
    return Job(**({"id": "j-u1", "input": b"{}", "terms": TERMS, "submitted_s": 10.0} | fields))


def test_pages_in_both_shapes_keep_the_outputs_byte_for_byte():
    page = page_body(JobState.IN_PROGRESS, ITEMS)
    assert page == b'{"status":"IN_PROGRESS","stream":[' + ITEMS[0] + b"," + ITEMS[1] + b"]}"
    assert [bytes(output) for output in decode_page(page).outputs] == [b'"a\\n"', b'{"b":[1]}']
    assert page_body(JobState.IN_QUEUE, []) == b'{"status":"IN_QUEUE","stream":[]}'
    assert bare_page_body(ITEMS) == b"[" + ITEMS[0] + b"," + ITEMS[1] + b"]"


def test_a_queued_job_has_an_id_and_a_state_and_nothing_else():
    assert json.loads(status_body(a_job())) == {"id": "j-u1", "status": "IN_QUEUE"}
    assert json.loads(accepted_body(a_job())) == {"id": "j-u1", "status": "IN_QUEUE"}


def test_a_running_job_has_a_delay_and_a_worker():
    job = a_job(state=JobState.IN_PROGRESS, dispatched_s=10.8244, worker_id="w")
    assert json.loads(status_body(job)) == {"delayTime": 824, "id": "j-u1", "status": "IN_PROGRESS", "workerId": "w"}


def test_a_job_that_failed_after_a_retry_looks_as_recorded():
    job = a_job(
        state=JobState.FAILED, dispatched_s=111.05, finished_s=153.128, worker_id="w", retries=1, error='"boom"\n'
    )
    body = status_body(job)
    assert json.loads(body) == {
        "delayTime": 101050,
        "error": '"boom"\n',
        "executionTime": 42078,
        "id": "j-u1",
        "retries": 1,
        "status": "FAILED",
        "workerId": "w",
    }
    assert list(json.loads(body)) == sorted(json.loads(body))
    assert decode_status(body).retries == 1


def test_an_output_is_shown_where_there_is_one():
    job = a_job(state=JobState.COMPLETED, dispatched_s=10.0, finished_s=11.0, output=b'["x"]')
    assert json.loads(status_body(job))["output"] == ["x"]
    job.output = b""
    assert "output" not in json.loads(status_body(job))


@pytest.mark.parametrize(("status", "content_type"), [(401, JSON), (429, JSON), (500, JSON), (502, HTML), (524, HTML)])
def test_the_edge_answers_in_html(status, content_type):
    reply = error_reply(status, "why")
    assert (reply.status, reply.content_type) == (status, content_type)
    assert b"why" in reply.body


def test_health():
    health = EndpointHealth(jobs={"inQueue": 2}, workers={"idle": 1})
    assert json.loads(health_body(health)) == {"jobs": {"inQueue": 2}, "workers": {"idle": 1}}
