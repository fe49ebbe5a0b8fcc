"""Implement the passthrough /openai/*: turn a request into a job, and the job's outputs into the reply.

Known of the real service: the job's input is {"openai_route", "openai_input"}; no header names the job; a cold load
beyond about 100 s ends in the edge's 524; errors of old workers arrive with HTTP 200. Not known, so chosen: a FAILED
job is a 500 before the first byte and a plain end after it; a client that disconnects does not cancel the job.
"""

from collections.abc import Callable

import anyio
import msgspec

from gateway.emulator.calls import Call
from gateway.emulator.dispatch import GET_OR_POST, TOO_MANY, Route
from gateway.emulator.job import Job, QueueFullError
from gateway.emulator.limits import Operation
from gateway.emulator.replies import EVENT_STREAM, Reply, encode, error_reply
from gateway.emulator.script.dialects import event
from gateway.wire.runpod import JobState, StreamItem


class OpenAIBody(msgspec.Struct, frozen=True):
    """Parse the one field of a request's body that matters here."""

    stream: bool | None = None


_decode_body = msgspec.json.Decoder(OpenAIBody).decode
_decode_item = msgspec.json.Decoder(StreamItem).decode
_decode_outputs = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode


async def openai(call: Call) -> Reply | None:
    """Handle GET or POST /openai/{route}."""
    body = b"" if call.method == "GET" else await call.body(call.endpoint.settings.sync_body_bytes_max)
    if call.endpoint.is_full:
        return TOO_MANY
    try:
        is_stream = bool(body) and bool(_decode_body(body).stream)
    except msgspec.DecodeError as error:
        return error_reply(400, f"invalid request: {error}")
    route = encode(f"/{call.rest}")
    job_input = b'{"openai_input":%b,"openai_route":%b}' % (body, route) if body else b'{"openai_route":%b}' % route
    try:
        job = call.endpoint.submit(job_input, is_sync=True)
    except QueueFullError:
        return TOO_MANY
    call.job_id = job.id
    return await _stream(call, job) if is_stream else await _whole(call, job)


async def _whole(call: Call, job: Job) -> Reply:
    if not await _until(call, job, lambda: False):
        return error_reply(524, "A timeout occurred")
    items = call.endpoint.read_all(job)
    if job.state is not JobState.COMPLETED:
        return error_reply(500, job.error or job.state)
    output = bytes(_decode_item(items[0]).output) if len(items) == 1 else job.output
    if output.lstrip()[:1] == b"[":
        outputs = _decode_outputs(output)
        output = bytes(outputs[0]) if len(outputs) == 1 else output
    if not output:
        return error_reply(500, "the job has no output")
    return Reply(200, _decode_text(output).encode() if output[:1] == b'"' else output)


async def _stream(call: Call, job: Job) -> Reply | None:
    if not await _until(call, job, lambda: bool(job.unread)):
        return error_reply(524, "A timeout occurred")
    if not job.unread and job.state is not JobState.COMPLETED:
        return error_reply(500, job.error or job.state)
    headers = [(b"content-type", EVENT_STREAM), (b"cache-control", b"no-cache")]
    await call.send({"type": "http.response.start", "status": 200, "headers": headers})
    while True:
        is_over = job.is_over
        text = b"".join(_event_text(item) for item in call.endpoint.read_all(job))
        if text:
            await call.send({"type": "http.response.body", "body": text, "more_body": True})
        if is_over:
            break
        if not job.unread and not job.is_over:
            await call.endpoint.change(job)
        if call.caller_left():
            return None
    await call.send({"type": "http.response.body", "body": b"", "more_body": False})
    return None


async def _until(call: Call, job: Job, has_come: Callable[[], bool]) -> bool:
    """Wait until `has_come` returns True or the job ends; return False if the edge's timeout passes first."""
    with anyio.move_on_after(call.endpoint.settings.edge_timeout_s):
        while not (has_come() or job.is_over):
            await call.endpoint.change(job)
    return has_come() or job.is_over


def _event_text(item: bytes) -> bytes:
    """Return one output as event stream text: strings unchanged, objects (which some workers yield) as events."""
    output = bytes(_decode_item(item).output)
    if output[:1] == b'"':
        return _decode_text(output).encode()
    if output[:1] == b"[":
        return b"".join(event(bytes(part)) for part in _decode_outputs(output))
    return event(output)


ROUTES: dict[Operation, Route] = {Operation.OPENAI: Route(openai, GET_OR_POST)}
