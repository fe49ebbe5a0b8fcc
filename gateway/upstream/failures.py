"""Map failures of calls to Runpod to the gateway's errors, and tell whether a call may be repeated."""

import re
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
    UpstreamError,
    WorkerError,
)
from gateway.translate.redaction import redact
from gateway.translate.worker_errors import error_text, has_worker_form, job_error, output_error
from gateway.upstream.http.faults import connect_fault
from gateway.wire.malformed import MALFORMED

RETRY_AFTER_S_MAX = 60.0
"""Maximum pause in seconds: a longer one would stop every tenant of the endpoint."""
PLATFORM_5XX = 501
"""Lowest 5xx status of the platform: Runpod's edge and Cloudflare send 502 to 504 and 52x; a failed job on the OpenAI
route is a 500."""
_EVENT = re.compile(rb"\s{0,9}(?:event: ?\w{1,20}\r?\n)?data: ?([^\r\n]+)")
"""Pattern of an error in the form of a stream's first event."""
_REFUSALS = frozenset({401, 402, 403, 404})
_BARE_NAMES = frozenset({"error", "message"})
_NO_ENDPOINT = re.compile(
    r"(?i)(?:no such|unknown|invalid) (?:serverless )?endpoint(?: id)?(?:[ :]{1,2}['\"`]?[\w-]{1,64}['\"`]?)?[.!]?"
    r"|(?:the )?(?:serverless )?endpoint(?: id)?(?: ['\"`]?[\w-]{1,64}['\"`]?)? (?:was |is |could |does )?"
    r"(?:not (?:be )?found|not exist|doesn't exist|unknown|invalid)[.!]?"
)
_NOT_FOUND = re.compile(r"(?i)(?:404|error|:|-|\s){0,4}(?:page )?not found[.!]?")
"""Pattern of a text that does not say what was not found; "404 page not found" is the default of Go's HTTP server."""
_ACCOUNT = re.compile(
    r"(?i)^(?:error:? )?(?:http )?(?:\d{3}:? )?(?:unauthori[sz]ed|unauthenticated|forbidden|payment required"
    r"|access denied)\b.{0,40}$|api[ _-]?key"
    r"|\b(?:key|token)s? (?:is |was )?(?:invalid|missing|expired|disabled|revoked|not valid)"
    r"|\b(?:invalid|missing|expired|disabled|revoked|unknown|no) (?:\w{1,20} )?(?:key|token|credentials?)\b"
    r"|authenticat|balance|\bfunds?\b|billing|spend(?:ing)?\b|suspended|\baccount\b"
)
"""Pattern of words in a rejection that is about our key or our account."""


def unreachable(error: httpx.TransportError) -> UnreachableError:
    """Convert a transport error to an UnreachableError.

    Only a connection that was never opened is certain not to have carried the call: a call that may have been accepted
    must not be repeated blindly.
    """
    name = type(error).__name__
    if not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return UnreachableError(name, was_sent=True)
    fault, told = connect_fault(error.__cause__)
    words = [name, *([fault.value] if error.__cause__ is not None else []), *([told] if told else [])]
    return UnreachableError(": ".join(words), was_sent=False, fault=fault)


def job_call_failure(
    status: int, *, retry_after_s: float | None, has_job: bool, body: bytes | bytearray = b""
) -> GatewayError | None:
    """Return the error for a status of the job API; None for success. The bodies of failures are not documented.

    `has_job` distinguishes a 404 for an expired job from one for an unknown endpoint. An HTML page is not from the API:
    a firewall in front of it may have blocked the content of one request.
    """
    match status:
        case 200 | 201 | 202:
            return None
        case 404 if has_job:
            return JobExpiredError()
        case 401 | 402 | 403 | 404:
            return UpstreamConfigError(status=status, is_certain=not _is_page(body))
        case 413:
            return BodyTooLargeError(bytes_max=JOB_BODY_BYTES_MAX)
        case 429:
            return UpstreamBusyError(retry_after_s=retry_after_s)
        case _:
            was_sent = status >= 500
            failure = UnreachableError("unexpected status", was_sent=was_sent, status=status, detail=_redirect(status))
            return _with_wait(failure, status, retry_after_s)


def relay_failure(status: int, *, body: bytes, retry_after_s: float | None) -> GatewayError:
    """Return the error for a failing status of the OpenAI route.

    A 4xx is the worker's answer to the request, whatever the format of its body, except where Runpod is known to send
    it: 401 to 404 and 429 with Runpod's own text or without any. A 5xx is the worker's if its body is a worker's error;
    a Retry-After applies to either.
    """
    detail = _detail_of(body)
    if status == 429:
        return _limit(detail, retry_after_s=retry_after_s)
    if 400 <= status < 500:
        refusal = _refusal(status, detail, is_page=_is_page(body)) if status in _REFUSALS else None
        return refusal or _rejection(status, detail)
    return _with_wait(_relay_5xx(status, detail), status, retry_after_s)


def _rejection(status: int, detail: object | None) -> UpstreamError:
    """Return the rejection of a request by its worker, or by Runpod's edge, which may reject a large one with 413."""
    failure = output_error(detail or f"The worker answered with HTTP {status}.", status=status)
    if isinstance(failure, WorkerError):
        failure.is_signed = _bare_text(detail) is None
    return failure


def _limit(detail: object | None, *, retry_after_s: float | None) -> UpstreamError:
    """Return Runpod's 429, or a worker's: an object with more content than Runpod's client libraries expect of Runpod.

    A worker's 429 concerns one request, which may be tried on another endpoint. It delays no other request.
    """
    if _bare_text(detail) is not None:
        return UpstreamBusyError(retry_after_s=retry_after_s)
    failure = output_error(detail, status=429)
    failure.retry_after_s, failure.is_elsewhere_safe = retry_after_s, True
    return failure


def _with_wait(failure: UpstreamError, status: int, retry_after_s: float | None) -> UpstreamError:
    """Add the Retry-After of a 5xx; a fault of the request itself does not go away by waiting."""
    if status >= 500 and not (isinstance(failure, WorkerError) and failure.status < 500):
        failure.retry_after_s = retry_after_s
    return failure


def _relay_5xx(status: int, detail: object | None) -> UpstreamError:
    error = None if detail is None or status < 400 else _worker_error(status, detail)
    if error is not None:
        return error
    text = "" if detail is None else redact(error_text(detail))
    return UnreachableError(
        "unexpected status",
        was_sent=True,
        status=status,
        detail=_redirect(status) or text,
        # A service that describes an error in JSON is running, even if only the beginning of it was read.
        is_outage=False if text and not _is_words(detail) else None,
    )


def _is_page(body: bytes | bytearray) -> bool:
    return body.lstrip()[:1] == b"<"


def _is_words(detail: object | None) -> bool:
    """Return True for plain text, False for JSON and for the beginning of JSON that was too long to be read."""
    return isinstance(detail, str) and not detail.startswith(("{", "["))


def _redirect(status: int) -> str:
    return "redirects are not followed" if 300 <= status < 400 else ""


def _detail_of(body: bytes) -> object | None:
    """Return the error in a body: JSON, or a short text; None for HTML, an empty body, and the edge's own JSON."""
    event = _EVENT.match(body)
    try:
        decoded = msgspec.json.decode(body if event is None else event[1])
    except MALFORMED:
        text = body.decode(errors="replace").strip()
        return None if not text or _is_page(body) else text
    if isinstance(decoded, dict) and (decoded.get("cloudflare_error") or not error_text(decoded)):
        # Cloudflare marks the problem details that it sends to clients accepting JSON with `cloudflare_error`.
        return None
    return decoded or None


def _refusal(status: int, detail: object | None, *, is_page: bool) -> UpstreamConfigError | None:
    """Return Runpod's rejection of our key or its report of an unknown endpoint; None for a worker's answer.

    The bodies of these statuses are not published. Runpod's ai-sdk-provider reads `error` and `message` as texts at the
    top level; `{"message": "Not Found"}` is what users of /run have reported. Workers send more than that: an object in
    OpenAI's form, FastAPI's `detail`, or a text about something else.
    """
    text = _bare_text(detail)
    if text is None:
        return None
    if status == 404:
        is_error = isinstance(detail, dict) and "error" in detail
        is_silent = not text or (not is_error and _NOT_FOUND.fullmatch(text) is not None)
        if is_silent or _NO_ENDPOINT.fullmatch(text):
            return UpstreamConfigError(status=status, is_certain=not is_silent)
        return None
    if isinstance(detail, dict) and _ACCOUNT.search(text) is None:
        return None
    return UpstreamConfigError(
        status=status, is_certain=not is_page and (not text or _ACCOUNT.search(text) is not None)
    )


def _bare_text(detail: object | None) -> str | None:
    """Return the text of a body that holds only a text, "" if it is empty; None for an object with more content."""
    if isinstance(detail, dict):
        values = [value for name, value in detail.items() if name in _BARE_NAMES]
        is_bare = len(values) == 1 and detail.keys() <= _BARE_NAMES | {"status", "statusCode", "code"}
        detail = values[0] if is_bare else []
    if detail is None:
        return ""
    return detail.strip() if isinstance(detail, str) and _is_words(detail) else None


def _worker_error(status: int, detail: object) -> UpstreamError | None:
    """Return the worker's error of a 5xx answer; None if the platform may have sent it."""
    inner = detail.get("error", detail) if isinstance(detail, dict) else detail
    failure = job_error(inner, status=status) if isinstance(inner, str) else output_error(inner, status=status)
    if isinstance(failure, WorkerError) and (isinstance(inner, str) or failure.status < 500):
        return failure
    is_worker = (
        has_worker_form(inner) if isinstance(inner, str) else isinstance(inner, dict) and bool(error_text(inner))
    )
    return failure if is_worker and status < PLATFORM_5XX else None


def read_retry_after(text: str | None, *, now_unix_s: float) -> float | None:
    """Parse `Retry-After` (RFC 9110, 10.2.3): seconds, also fractional, or a date; at most RETRY_AFTER_S_MAX."""
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = (read_date(text) or 0.0) - now_unix_s
    return min(seconds, RETRY_AFTER_S_MAX) if seconds > 0 else None


def read_date(text: str | None) -> float | None:
    """Parse an HTTP date into seconds since 1970; return None if it is invalid."""
    try:
        return parsedate_to_datetime(text).timestamp() if text else None
    except (ValueError, OverflowError):
        return None
