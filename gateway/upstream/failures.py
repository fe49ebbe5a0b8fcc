"""What can go wrong on the way to Runpod, as our errors, and whether a call may be made again."""

import httpx
import msgspec

from gateway.errors import (
    BodyTooLargeError,
    GatewayError,
    JobExpiredError,
    UnreachableError,
    UpstreamBusyError,
    UpstreamConfigError,
    WorkerError,
)
from gateway.translate.worker_errors import job_error, output_error
from gateway.wire.malformed import MALFORMED

RETRY_AFTER_S_MAX = 60.0


def unreachable(error: httpx.TransportError) -> UnreachableError:
    """A failure of the transport as ours.

    Only a connection that was never made is sure not to have carried the call: what may have been taken must not be
    sent again blindly.
    """
    was_sent = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
    return UnreachableError(type(error).__name__, was_sent=was_sent)


def job_call_failure(status: int, *, retry_after: str | None, has_job: bool) -> GatewayError | None:
    """What a status of the job API means; None for success. No failure's body is documented: only the status counts.

    `has_job` tells a 404 that means an expired job from one that means an unknown endpoint.
    """
    match status:
        case 200 | 201 | 202:
            return None
        case 404 if has_job:
            return JobExpiredError()
        case 401 | 403 | 404:
            return UpstreamConfigError(status=status)
        case 413:
            return BodyTooLargeError(bytes_max=10 * 1024 * 1024)
        case 429:
            return UpstreamBusyError(retry_after_s=read_retry_after(retry_after))
        case _:
            return UnreachableError("unexpected status", was_sent=status >= 500, status=status)


def relay_failure(status: int, *, body: bytes, retry_after: str | None) -> GatewayError:
    """What a failing status of the OpenAI route means: the worker's own error where the body holds one."""
    if status not in {401, 403, 429} and (error := _worker_answer(status, body)) is not None:
        return error
    failure = job_call_failure(status, retry_after=retry_after, has_job=False)
    return failure or UnreachableError("unexpected status", was_sent=True, status=status)


def _worker_answer(status: int, body: bytes) -> GatewayError | None:
    """The worker's error in the body: as OpenAI's object under the status it came with, or as a failed job's text."""
    try:
        decoded = msgspec.json.decode(body)
    except MALFORMED:
        return None
    detail = decoded.get("error", decoded) if isinstance(decoded, dict) else None
    if isinstance(detail, str):
        failure = job_error(detail)
        return failure if isinstance(failure, WorkerError) else None
    if not isinstance(detail, dict) or "message" not in detail or status >= 500:
        return None
    return output_error({**detail, "code": detail["code"] if isinstance(detail.get("code"), int) else status})


def read_retry_after(text: str | None) -> float | None:
    """Whole or broken seconds; Runpod is not known to send the header, and a date is not worth reading."""
    try:
        seconds = float(text or "")
    except ValueError:
        return None
    return seconds if 0 < seconds <= RETRY_AFTER_S_MAX else None
