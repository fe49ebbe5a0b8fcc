"""What can go wrong on the way to Runpod, as our errors, and whether a call may be made again."""

from email.utils import parsedate_to_datetime

import httpx
import msgspec

from gateway.domain import JOB_BODY_BYTES_MAX
from gateway.errors import (
    BodyTooLargeError,
    GatewayError,
    JobExpiredError,
    UnreachableError,
    UpstreamBusyError,
    UpstreamConfigError,
    WorkerError,
)
from gateway.translate.redaction import redact
from gateway.translate.worker_errors import error_text, has_worker_form, job_error, output_error
from gateway.wire.malformed import MALFORMED

RETRY_AFTER_S_MAX = 60.0
"""No pause is longer: it would hold every tenant of the endpoint."""
_PLATFORM_5XX = 501
"""Runpod's edge and Cloudflare answer with 502 to 504 and 52x; a failed job on the OpenAI route is a 500."""


def unreachable(error: httpx.TransportError) -> UnreachableError:
    """A failure of the transport as ours.

    Only a connection that was never made is sure not to have carried the call: what may have been taken must not be
    sent again blindly.
    """
    was_sent = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
    return UnreachableError(type(error).__name__, was_sent=was_sent)


def job_call_failure(status: int, *, retry_after_s: float | None, has_job: bool) -> GatewayError | None:
    """Return what a status of the job API means; None for success. No failure's body is documented.

    `has_job` tells a 404 that means an expired job from one that means an unknown endpoint.
    """
    match status:
        case 200 | 201 | 202:
            return None
        case 404 if has_job:
            return JobExpiredError()
        case 401 | 402 | 403 | 404:
            return UpstreamConfigError(status=status)
        case 413:
            return BodyTooLargeError(bytes_max=JOB_BODY_BYTES_MAX)
        case 429:
            return UpstreamBusyError(retry_after_s=retry_after_s)
        case _:
            return UnreachableError("unexpected status", was_sent=status >= 500, status=status)


def relay_failure(status: int, *, body: bytes, retry_after_s: float | None) -> GatewayError:
    """Return what a failing status of the OpenAI route means.

    A 4xx is the worker's word on the request, whatever the format of its body; but 401 to 403 are about our key, 429
    may be Runpod's, and a 404 without a word from the worker is an unknown endpoint. A 5xx is the worker's where its
    body is a worker's error.
    """
    if status in {401, 402, 403, 429}:
        failure = job_call_failure(status, retry_after_s=retry_after_s, has_job=False)
        assert failure is not None  # noqa: S101 - none of them is a success.
        return failure
    detail = _detail_of(body)
    if 400 <= status < 500:
        if status == 404 and not _is_worker_404(detail):
            return UpstreamConfigError(status=status)
        return output_error(detail or f"The worker answered with HTTP {status}.", status=status)
    error = None if detail is None else _worker_error(status, detail)
    if error is not None:
        return error
    text = "" if detail is None else redact(error_text(detail))
    return UnreachableError("unexpected status", was_sent=True, status=status, detail=text)


def _detail_of(body: bytes) -> object | None:
    """Return the error in a body: JSON, or a short text; None for HTML and for nothing."""
    try:
        decoded = msgspec.json.decode(body)
    except MALFORMED:
        text = body.decode(errors="replace").strip()
        return None if not text or text.startswith("<") else text
    return decoded or None


def _is_worker_404(detail: object | None) -> bool:
    """Tell a model or a route that a worker does not know from an endpoint that Runpod does not know."""
    if detail is None:
        return False
    text = error_text(detail)
    return bool(text) and "endpoint" not in text.lower()


def _worker_error(status: int, detail: object) -> GatewayError | None:
    """Return the worker's error of a 5xx answer; None where the platform may have written it."""
    inner = detail.get("error", detail) if isinstance(detail, dict) else detail
    failure = job_error(inner) if isinstance(inner, str) else output_error(inner)
    if isinstance(failure, WorkerError) and (isinstance(inner, str) or failure.status < 500):
        return failure
    is_worker = (
        has_worker_form(inner) if isinstance(inner, str) else isinstance(inner, dict) and bool(error_text(inner))
    )
    return failure if is_worker and status < _PLATFORM_5XX else None


def read_retry_after(text: str | None, *, now_unix_s: float) -> float | None:
    """Read a `Retry-After` (RFC 9110, 10.2.3): seconds, also broken ones, or a date; at most RETRY_AFTER_S_MAX."""
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = (read_date(text) or 0.0) - now_unix_s
    return min(seconds, RETRY_AFTER_S_MAX) if seconds > 0 else None


def read_date(text: str | None) -> float | None:
    """Read an HTTP date, in seconds since 1970; None if it is none."""
    try:
        return parsedate_to_datetime(text).timestamp() if text else None
    except (ValueError, OverflowError):
        return None
