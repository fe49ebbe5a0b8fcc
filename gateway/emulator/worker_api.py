"""Implement the worker API: the calls of Runpod's worker SDK.

Source: runpod-python 1.12, rp_job.py, rp_http.py, rp_scale.py, rp_ping.py. Bodies are JSON, whatever the content type
says; a stopped job is never reported as done.
"""

from collections.abc import Awaitable, Callable

import anyio
import msgspec

from gateway.emulator.calls import BodyTooLargeError, Call
from gateway.emulator.dispatch import GET, NOT_FOUND, POST, Route
from gateway.emulator.job import Job
from gateway.emulator.limits import Operation
from gateway.emulator.replies import Reply, encode, error_reply
from gateway.wire.runpod import JobState, StreamItem

NOTHING = Reply(204)
DONE = Reply(200, b"{}")
TOO_LARGE = error_reply(400, "the result is too large")
BATCH_JOBS_MAX = 1000


class JobResult(msgspec.Struct, frozen=True):
    """Parse the body of job-done: a result, an error, or, with `status`, a progress update."""

    output: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()
    status: str = ""


class JobsToStop(msgspec.Struct, frozen=True, rename="camel"):
    """Represent the reply of job-stop."""

    jobs_to_stop: list[str]


_decode_item = msgspec.json.Decoder(StreamItem).decode
_decode_result = msgspec.json.Decoder(JobResult).decode


async def job_take(call: Call) -> Reply:
    """Handle GET job-take/{worker}: return one job, or 204 after `take_wait_s`."""
    jobs = await _take(call, jobs_max=1)
    return Reply(200, _job_body(jobs[0])) if jobs else NOTHING


async def job_take_batch(call: Call) -> Reply:
    """Handle GET job-take-batch/{worker}?batch_size=: return a list of jobs, or 204 after `take_wait_s`."""
    batch_size = call.query("batch_size") or "1"
    if not batch_size.isdecimal():
        return error_reply(400, "batch_size is a whole number")
    jobs = await _take(call, jobs_max=min(int(batch_size), BATCH_JOBS_MAX))
    return Reply(200, b"[%b]" % b",".join(map(_job_body, jobs))) if jobs else NOTHING


async def job_stop(call: Call) -> Reply:
    """Handle GET job-stop/{worker}: return the ids of jobs to stop, or 204 after `stop_wait_s`."""
    endpoint, worker_id = call.endpoint, call.rest
    endpoint.hear_of(worker_id)
    job_ids: list[str] = []

    def has_come() -> bool:
        job_ids.extend(endpoint.take_stops(worker_id))
        return bool(job_ids) or endpoint.is_closed

    await _hold(endpoint.settings.stop_wait_s, has_come=has_come, change=lambda: endpoint.stop_signal(worker_id))
    return Reply(200, encode(JobsToStop(jobs_to_stop=job_ids))) if job_ids else NOTHING


async def job_stream(call: Call) -> Reply:
    """Handle POST job-stream/{worker}/{job}: store one output, {"output": ...}."""
    worker_id, job = _worker_and_job(call)
    body = await call.body(call.endpoint.settings.result_bytes_max)
    if job is None:
        return NOT_FOUND
    try:
        _decode_item(body)
    except msgspec.DecodeError as error:
        return error_reply(400, f"invalid output: {error}")
    # Output of a job that this worker has to stop, or that another one runs by now, is dropped.
    if call.endpoint.holds(job, worker_id):
        call.endpoint.add_item(job, body)
    return DONE


async def job_done(call: Call) -> Reply:
    """Handle POST job-done/{worker}/{job}: end a job, or store a progress update."""
    worker_id, job = _worker_and_job(call)
    endpoint = call.endpoint
    try:
        result = _decode_result(await call.body(endpoint.settings.result_bytes_max))
    except BodyTooLargeError:
        result = None
    except msgspec.DecodeError as error:
        return error_reply(400, f"invalid result: {error}")
    if job is None:
        return NOT_FOUND
    if not endpoint.holds(job, worker_id):
        return DONE if result is not None else TOO_LARGE
    if result is None:
        endpoint.complete(job, b"")
        return TOO_LARGE
    output, error_text = bytes(result.output), _text(bytes(result.error))
    if result.status == JobState.IN_PROGRESS:
        endpoint.report_progress(job, output)
    elif error_text:
        endpoint.fail(job, error_text)
    else:
        endpoint.complete(job, output)
    return DONE


async def ping(call: Call) -> Reply:
    """Handle GET ping/{worker}?job_id=: record that the worker is alive."""
    call.endpoint.hear_of(call.rest)
    return DONE


async def _take(call: Call, *, jobs_max: int) -> list[Job]:
    endpoint, worker_id = call.endpoint, call.rest
    endpoint.hear_of(worker_id)
    await _hold(
        endpoint.settings.take_wait_s, has_come=lambda: endpoint.has_work or endpoint.is_closed, change=endpoint.work
    )
    # A job that is sent to a disconnected worker is lost until the worker counts as dead.
    if not endpoint.has_work or call.caller_left():
        return []
    endpoint.hear_of(worker_id)
    jobs: list[Job] = []
    while len(jobs) < jobs_max and (job := endpoint.take(worker_id)) is not None:
        jobs.append(job)
    call.job_id = ",".join(job.id for job in jobs)
    return jobs


async def _hold(wait_s: float, *, has_come: Callable[[], bool], change: Callable[[], Awaitable[None]]) -> None:
    """Wait until `has_come` returns True or `wait_s` has passed: the long poll of job-take and job-stop."""
    with anyio.move_on_after(wait_s):
        while not has_come():
            await change()


def _worker_and_job(call: Call) -> tuple[str, Job | None]:
    worker_id, _, call.job_id = call.rest.partition("/")
    call.endpoint.hear_of(worker_id)
    return worker_id, call.endpoint.find(call.job_id)


def _job_body(job: Job) -> bytes:
    return b'{"id":%b,"input":%b}' % (encode(job.id), job.input)


def _text(error: bytes) -> str:
    """Return an error as text; a value other than a JSON string is kept as JSON."""
    if error in {b"", b"null", b'""'}:
        return ""
    decoded = msgspec.json.decode(error)
    return decoded if isinstance(decoded, str) else error.decode()


ROUTES: dict[Operation, Route] = {
    Operation.JOB_TAKE: Route(job_take, GET, is_job_api=False),
    Operation.JOB_TAKE_BATCH: Route(job_take_batch, GET, is_job_api=False),
    Operation.JOB_STOP: Route(job_stop, GET, is_job_api=False),
    Operation.JOB_STREAM: Route(job_stream, POST, is_job_api=False),
    Operation.JOB_DONE: Route(job_done, POST, is_job_api=False),
    Operation.PING: Route(ping, GET, is_job_api=False),
}
