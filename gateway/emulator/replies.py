"""Build the reply bodies of the job API. Outputs remain bytes throughout: nothing is encoded twice."""

import msgspec

from gateway.emulator.job import Job
from gateway.wire.runpod import EndpointHealth, JobState

JSON = b"application/json"
HTML = b"text/html; charset=UTF-8"
EVENT_STREAM = b"text/event-stream; charset=utf-8"

encode = msgspec.json.encode

_EDGE_STATUSES = frozenset({502, 503, 504, *range(520, 531)})


class Reply(msgspec.Struct, frozen=True):
    """Represent one complete reply."""

    status: int
    body: bytes = b""
    content_type: bytes = JSON


def error_reply(status: int, text: str) -> Reply:
    """Build an error reply: JSON, or the edge's HTML for the statuses that come from the edge.

    The service's own JSON bodies for 401, 404 and 429 are not published; clients can only rely on the status. This body
    is the one that Runpod's own ai-sdk-provider looks for.
    """
    if status in _EDGE_STATUSES:
        page = (
            f"<!DOCTYPE html>\n<html><head><title>{status}: {text}</title></head><body>Error {status}</body></html>\n"
        )
        return Reply(status, page.encode(), HTML)
    return Reply(status, encode({"error": text}))


def accepted_body(job: Job) -> bytes:
    """Build the body of /run, and of /runsync and /status-sync while the job has not ended."""
    return b'{"id":%b,"status":"%b"}' % (encode(job.id), job.state.encode())


def page_body(state: JobState, items: list[bytes]) -> bytes:
    """Build one page of /stream in the shape of the live service."""
    return b'{"status":"%b","stream":[%b]}' % (state.encode(), b",".join(items))


def bare_page_body(items: list[bytes]) -> bytes:
    """Build one page in the shape of an older page of the documentation: without a status."""
    return b"[%b]" % b",".join(items)


def status_body(job: Job) -> bytes:
    """Build the body of /status: the fields set so far, in alphabetical order as the service sends them."""
    fields = []
    if job.dispatched_s is not None:
        fields.append(b'"delayTime":%d' % _milliseconds(job.dispatched_s - job.submitted_s))
    if job.error:
        fields.append(b'"error":%b' % encode(job.error))
    if job.finished_s is not None and job.dispatched_s is not None:
        fields.append(b'"executionTime":%d' % _milliseconds(job.finished_s - job.dispatched_s))
    fields.append(b'"id":%b' % encode(job.id))
    if job.output:
        fields.append(b'"output":%b' % job.output)
    if job.retries:
        fields.append(b'"retries":%d' % job.retries)
    fields.append(b'"status":"%b"' % job.state.encode())
    if job.worker_id:
        fields.append(b'"workerId":%b' % encode(job.worker_id))
    return b"{%b}" % b",".join(fields)


def health_body(health: EndpointHealth) -> bytes:
    """Build the body of /health."""
    return encode(health)


def _milliseconds(seconds: float) -> int:
    return max(0, round(seconds * 1000))
