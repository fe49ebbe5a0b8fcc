"""Implement the job API: the calls of clients of a Runpod Serverless endpoint.

Sources: Runpod docs, "Operation reference", "Send API requests" and "Job states"; recordings of the live service.
Where neither specifies a behaviour, the most lenient one was chosen, with a comment.
"""

from collections.abc import Callable

import anyio
import msgspec

from gateway.emulator.calls import Call
from gateway.emulator.dispatch import GET, GET_OR_POST, NOT_FOUND, POST, TOO_MANY, Route
from gateway.emulator.job import IllegalMoveError, Job, QueueFullError
from gateway.emulator.limits import Operation
from gateway.emulator.replies import (
    Reply,
    accepted_body,
    bare_page_body,
    encode,
    error_reply,
    health_body,
    page_body,
    status_body,
)
from gateway.wire.runpod import JobState, JobSubmission

_decode_submission = msgspec.json.Decoder(JobSubmission, strict=False).decode

BAD_WAIT = error_reply(400, "wait and ttl are whole numbers of milliseconds")


async def run(call: Call) -> Reply:
    """Handle POST /run: queue a job and reply at once."""
    job = await _submit(call, bytes_max=call.endpoint.settings.run_body_bytes_max)
    return job if isinstance(job, Reply) else Reply(200, accepted_body(job))


async def runsync(call: Call) -> Reply:
    """Handle POST /runsync?wait=: queue a job and wait for its end; if that takes longer, return its id for polling."""
    wait_s = _wait_s(call, default_s=call.endpoint.settings.sync_wait_s)
    if wait_s is None:
        return BAD_WAIT
    job = await _submit(call, bytes_max=call.endpoint.settings.sync_body_bytes_max, is_sync=True)
    return job if isinstance(job, Reply) else await _ended(call, job, wait_s)


async def status(call: Call) -> Reply:
    """Handle GET or POST /status/{id}?ttl=: return the status of a job."""
    job = _job(call)
    if job is None:
        return NOT_FOUND
    body = status_body(job)
    ttl = call.query("ttl")
    if ttl is not None:
        if not ttl.isdecimal():
            return BAD_WAIT
        call.endpoint.keep_for(job, int(ttl) / 1000)
    return Reply(200, body)


async def status_sync(call: Call) -> Reply:
    """Handle GET or POST /status-sync/{id}?wait=: wait for the job's end. No longer documented, but used by SDKs."""
    job = _job(call)
    wait_s = _wait_s(call, default_s=call.endpoint.settings.sync_wait_s)
    if job is None or wait_s is None:
        return NOT_FOUND if job is None else BAD_WAIT
    return await _ended(call, job, wait_s)


async def stream(call: Call) -> Reply:
    """Handle GET or POST /stream/{id}?wait=: return the outputs since the last call, waiting until there are some.

    Destructive: each item is handed out once. The last page of a job may still carry items.
    """
    job = _job(call)
    if job is None:
        return NOT_FOUND
    if not job.unread and not job.is_over:
        wait_s = _wait_s(call, default_s=call.endpoint.settings.stream_wait_s)
        if wait_s is None:
            return BAD_WAIT
        await _until(call, job, wait_s, has_come=lambda: bool(job.unread))
        if job.is_deleted:
            return NOT_FOUND
        # It is not known whether Runpod consumes items for a disconnected client; to keep them is more lenient.
        if job.unread and call.caller_left():
            return Reply(499)
    items = call.endpoint.read(job)
    call.handed_out = len(items)
    if call.endpoint.settings.stream_shape == "array":
        return Reply(200, bare_page_body(items))
    # With bounded pages, a job that has ended is in progress for the reader until the last page.
    return Reply(200, page_body(JobState.IN_PROGRESS if job.unread and job.is_over else job.state, items))


async def cancel(call: Call) -> Reply:
    """Handle POST /cancel/{id}. The reply for a job that has ended is not documented: 200 with its state."""
    job = _job(call)
    if job is None:
        return NOT_FOUND
    was_over = job.is_over
    call.endpoint.cancel(job)
    state = job.state.encode() if was_over else b"CANCELLED"
    return Reply(200, b'{"id":%b,"status":"%b"}' % (encode(job.id), state))


async def retry(call: Call) -> Reply:
    """Handle POST /retry/{id} for FAILED and TIMED_OUT jobs. The reply for other states is not documented: 400."""
    job = _job(call)
    if job is None:
        return NOT_FOUND
    try:
        call.endpoint.retry(job)
    except IllegalMoveError:
        return error_reply(400, "only failed and timed-out jobs can be retried")
    return Reply(200, accepted_body(job))


async def purge_queue(call: Call) -> Reply:
    """Handle POST /purge-queue: cancel the queued jobs of all clients. The lower-case status is Runpod's."""
    return Reply(200, b'{"removed":%d,"status":"completed"}' % call.endpoint.purge())


async def health(call: Call) -> Reply:
    """Handle GET /health."""
    return Reply(200, health_body(call.endpoint.health()))


async def requests(call: Call) -> Reply:
    """Handle GET /requests: list all kept jobs. Only the table of limits names it, so the shape is a guess."""
    listed = b",".join(accepted_body(job) for job in call.endpoint.jobs())
    return Reply(200, b'{"requests":[%b]}' % listed)


async def _submit(call: Call, *, bytes_max: int, is_sync: bool = False) -> Job | Reply:
    body = await call.body(bytes_max)
    if call.endpoint.is_full:
        return TOO_MANY
    try:
        submission = _decode_submission(body)
    except msgspec.DecodeError as error:
        return error_reply(400, f"invalid request: {error}")
    if not bytes(submission.input).lstrip().startswith(b"{"):
        return error_reply(400, "input is missing or not an object")
    try:
        job = call.endpoint.submit(bytes(submission.input), policy=submission.policy, is_sync=is_sync)
    except QueueFullError:
        return TOO_MANY
    call.job_id = job.id
    return job


def _job(call: Call) -> Job | None:
    call.job_id = call.rest
    return call.endpoint.find(call.rest)


def _wait_s(call: Call, *, default_s: float) -> float | None:
    """Return the seconds to hold the call, within the published range; None if `?wait=` is not a whole number."""
    wait = call.query("wait")
    if wait is None:
        return default_s
    if not wait.isdecimal():
        return None
    settings = call.endpoint.settings
    return min(max(int(wait) / 1000, settings.wait_s_min), settings.wait_s_max)


async def _until(call: Call, job: Job, wait_s: float, *, has_come: Callable[[], bool]) -> None:
    """Wait until `has_come` returns True, the job is over, or `wait_s` has passed."""
    with anyio.move_on_after(wait_s):
        while not (has_come() or job.is_over):
            await call.endpoint.change(job)


async def _ended(call: Call, job: Job, wait_s: float) -> Reply:
    """Wait for the job's end and return its status; if it does not end, return the reply of /run, or the edge's 524."""
    edge_s = call.endpoint.settings.edge_timeout_s
    await _until(call, job, min(wait_s, edge_s), has_come=lambda: False)
    if job.is_deleted:
        return NOT_FOUND
    if job.is_over:
        return Reply(200, status_body(job))
    return error_reply(524, "A timeout occurred") if wait_s > edge_s else Reply(200, accepted_body(job))


ROUTES: dict[Operation, Route] = {
    Operation.RUN: Route(run, POST),
    Operation.RUNSYNC: Route(runsync, POST),
    Operation.STATUS: Route(status, GET_OR_POST),
    Operation.STATUS_SYNC: Route(status_sync, GET_OR_POST),
    Operation.STREAM: Route(stream, GET_OR_POST),
    Operation.CANCEL: Route(cancel, POST),
    Operation.RETRY: Route(retry, POST),
    Operation.PURGE_QUEUE: Route(purge_queue, POST),
    Operation.HEALTH: Route(health, GET),
    Operation.REQUESTS: Route(requests, GET),
}
