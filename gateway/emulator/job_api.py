"""The job API: what clients of a Runpod Serverless endpoint call.

Sources: Runpod docs, "Operation reference", "Send API requests" and "Job states"; recordings of the live service.
Where neither says, the mildest behaviour was chosen, with a comment.
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
    """POST /run: queue a job and answer at once."""
    job = await _submit(call, bytes_max=call.endpoint.settings.run_body_bytes_max)
    return job if isinstance(job, Reply) else Reply(200, accepted_body(job))


async def runsync(call: Call) -> Reply:
    """POST /runsync?wait=: queue a job and wait for its end; a job that takes longer is named, to be polled."""
    wait_s = _wait_s(call, default_s=call.endpoint.settings.sync_wait_s)
    if wait_s is None:
        return BAD_WAIT
    job = await _submit(call, bytes_max=call.endpoint.settings.sync_body_bytes_max, is_sync=True)
    return job if isinstance(job, Reply) else await _ended(call, job, wait_s)


async def status(call: Call) -> Reply:
    """GET or POST /status/{id}?ttl=: what is known of a job."""
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
    """GET or POST /status-sync/{id}?wait=: held until the job has ended. Gone from today's docs, used by SDKs."""
    job = _job(call)
    wait_s = _wait_s(call, default_s=call.endpoint.settings.sync_wait_s)
    if job is None or wait_s is None:
        return NOT_FOUND if job is None else BAD_WAIT
    return await _ended(call, job, wait_s)


async def stream(call: Call) -> Reply:
    """GET or POST /stream/{id}?wait=: what was yielded since the last call, held until there is something.

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
        # Whether Runpod consumes for a caller that has gone is not known; not to is the mildest.
        if job.unread and call.caller_left():
            return Reply(499)
    items = call.endpoint.read(job)
    call.handed_out = len(items)
    if call.endpoint.settings.stream_shape == "array":
        return Reply(200, bare_page_body(items))
    # Where a page is bounded, a job that has ended goes on for this reader until the last page.
    return Reply(200, page_body(JobState.IN_PROGRESS if job.unread and job.is_over else job.state, items))


async def cancel(call: Call) -> Reply:
    """POST /cancel/{id}. For a job that has ended nothing is documented: 200 with the state it is in."""
    job = _job(call)
    if job is None:
        return NOT_FOUND
    was_over = job.is_over
    call.endpoint.cancel(job)
    state = job.state.encode() if was_over else b"CANCELLED"
    return Reply(200, b'{"id":%b,"status":"%b"}' % (encode(job.id), state))


async def retry(call: Call) -> Reply:
    """POST /retry/{id}: for FAILED and TIMED_OUT; what other states answer is not documented, 400 here."""
    job = _job(call)
    if job is None:
        return NOT_FOUND
    try:
        call.endpoint.retry(job)
    except IllegalMoveError:
        return error_reply(400, "only failed and timed-out jobs can be retried")
    return Reply(200, accepted_body(job))


async def purge_queue(call: Call) -> Reply:
    """POST /purge-queue: everybody's queued jobs. The lower-case status is Runpod's."""
    return Reply(200, b'{"removed":%d,"status":"completed"}' % call.endpoint.purge())


async def health(call: Call) -> Reply:
    """GET /health."""
    return Reply(200, health_body(call.endpoint.health()))


async def requests(call: Call) -> Reply:
    """GET /requests: named in the table of limits only, so the shape is a guess: every job that is kept."""
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
    """Seconds to hold the call, within the published range; None when `?wait=` is no number."""
    wait = call.query("wait")
    if wait is None:
        return default_s
    if not wait.isdecimal():
        return None
    settings = call.endpoint.settings
    return min(max(int(wait) / 1000, settings.wait_s_min), settings.wait_s_max)


async def _until(call: Call, job: Job, wait_s: float, *, has_come: Callable[[], bool]) -> None:
    """Wait until it has come, the job is over, or the time is up."""
    with anyio.move_on_after(wait_s):
        while not (has_come() or job.is_over):
            await call.endpoint.change(job)


async def _ended(call: Call, job: Job, wait_s: float) -> Reply:
    """The status of the job once it has ended; until then, what /run would say."""
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
