"""Map the gateway's errors to HTTP statuses and to the terms of OpenAI's error JSON. This is the only such table.

Statuses, types and codes are those that openai-python and openai-node map to their exception classes. Both retry after
408, 409, 429 and 5xx; `x-should-retry: false` prevents this where a retry cannot help.
"""

import math

import msgspec

from gateway import errors
from gateway.domain import EndpointState
from gateway.wire import openai
from gateway.wire.content_coding import UNREADABLE

RETRY_AFTER_S_MIN = 1
RETRY_AFTER_S_MAX = 60
"""Maximum seconds in `retry-after`. openai-python ignores more than 120 s; openai-node, until version 6, ignored 60 s
and more, and retried within 8 s."""
_RETRY_AFTER_MS_MAX = 1000 * RETRY_AFTER_S_MAX - 1

CHALLENGE = 'Bearer realm="fairpod"'
"""Value of `www-authenticate`: a 401 names the expected scheme (RFC 9110, 11.6.1)."""

LOCAL_RETRY_S = 2.0
"""Seconds until a retry if this machine lacks a local resource: other requests release it when they end."""
COLD_RETRY_S = 30.0
"""Seconds until a retry if no cold start was measured yet."""
_STATES = {
    EndpointState.ASLEEP: "its workers are provisioned but scaled down, and none has started yet",
    EndpointState.WAKING: "a worker is starting",
    EndpointState.LOADING: "a worker has started but has not produced output yet; it may be loading its model",
    EndpointState.WARM: "its workers are busy with other requests",
    EndpointState.THROTTLED: "its workers are throttled: Runpod has no free GPU of their type",
    EndpointState.UNHEALTHY: "its workers are unhealthy; their logs at Runpod show the cause",
    EndpointState.ABSENT: "it has no workers and none is starting; its maximum number of workers may be 0",
    EndpointState.UNKNOWN: "the state of its workers is unknown; one may be starting",
}
_STARTING = frozenset({EndpointState.ASLEEP, EndpointState.WAKING, EndpointState.LOADING, EndpointState.UNKNOWN})
"""States in which the usual duration of a start predicts the remaining wait."""


def start_text(state: EndpointState, *, since_s: float | None, usual_s: float | None) -> str:
    """Describe the endpoint that a request waits for, such as "a worker is starting (for 40 s, ...)"."""
    known = [] if since_s is None else [f"for {since_s:.0f} s"]
    if usual_s is not None and state in _STARTING:
        known.append(f"a start usually takes {usual_s:.0f} s")
    return f"{_STATES[state]} ({', '.join(known)})" if known else _STATES[state]


class ErrorAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Represent an error answer, which each client format encodes in its own way."""

    status: int
    detail: openai.ErrorDetail
    retry_after_s: float | None = None
    is_retry_useless: bool = False
    more_headers: tuple[tuple[str, str], ...] = ()
    request_id: str | None = None
    """Id of the failed request, for formats that write it into the body; None if it is not known there."""

    @property
    def code(self) -> str | None:
        """Return the error's code."""
        return self.detail.code

    def headers(self) -> dict[str, str]:
        """Return the headers that tell a client whether and when to retry, and what to send instead."""
        headers = dict(self.more_headers)
        if self.is_retry_useless:
            headers["x-should-retry"] = "false"
        if self.retry_after_s is not None:
            wait_s = min(max(self.retry_after_s, 0.0), float(RETRY_AFTER_S_MAX))
            headers["retry-after"] = str(max(RETRY_AFTER_S_MIN, math.ceil(wait_s)))
            headers["retry-after-ms"] = str(min(max(1, math.ceil(wait_s * 1000)), _RETRY_AFTER_MS_MAX))
        return headers


_STOPPED = " Stopped requests count until their jobs have ended."


def error_answer(error: errors.GatewayError) -> ErrorAnswer:
    """Convert any error of the gateway to its answer. An unlisted type is a bug, and answered as an internal error."""
    match error:
        case errors.RequestError():
            return _request_answer(error)
        case errors.RefusedError():
            return _refused_answer(error)
        case errors.UpstreamError():
            answer = _upstream_answer(error)
            wait_s = error.retry_after_s if answer.retry_after_s is None else answer.retry_after_s
            return msgspec.structs.replace(answer, retry_after_s=wait_s)
        case _:
            return INTERNAL_ERROR


def _answer(
    status: int,
    message: str,
    *,
    type_: str = "server_error",
    code: str | None = "server_error",
    param: str | None = None,
    retry_after_s: float | None = None,
) -> ErrorAnswer:
    detail = openai.ErrorDetail(message=message, type=type_, param=param, code=code)
    return ErrorAnswer(status=status, detail=detail, retry_after_s=retry_after_s)


INTERNAL_ERROR = _answer(500, "Internal gateway error. It was logged under this request's x-request-id.")
"""Answer for an unexpected failure."""


def _request_answer(error: errors.RequestError) -> ErrorAnswer:
    status, message = 400, "The request cannot be served."
    code: str | None = "invalid_value"
    param: str | None = None
    more_headers: tuple[tuple[str, str], ...] = ()
    match error:
        case errors.InvalidKeyError(is_missing=is_missing):
            status, code = 401, "invalid_api_key"
            fault = "No API key was provided." if is_missing else "Incorrect API key provided."
            message = f"{fault} Send 'Authorization: Bearer KEY' with a key of this gateway."
            # A challenge carries no error code if no key was sent (RFC 6750, 3.1).
            challenge = CHALLENGE if is_missing else f'{CHALLENGE}, error="invalid_token"'
            more_headers = (("www-authenticate", challenge),)
        case errors.ModelForbiddenError(model=model):
            status, code, param = 403, "model_not_allowed", "model"
            message = f"Your API key is not allowed to use the model `{_shown(model)}`."
        case errors.UnknownModelError(model=model, endpoint=endpoint):
            status, code, param = 404, "model_not_found", "model"
            place, base = ("", "") if endpoint is None else (f" on the endpoint `{endpoint}`", f"/v2/{endpoint}/openai")
            message = (
                f"The model `{_shown(model)}` does not exist{place}. GET {base}/v1/models lists the available models."
            )
        case errors.UnknownEndpointError(endpoint=endpoint):
            status, code = 404, "endpoint_not_found"
            message = (
                f"This gateway has no endpoint `{_shown(endpoint)}`. Use the Runpod ID or the name of a configured "
                "endpoint in the URL, or the base URL that ends in /v1."
            )
        case errors.UnknownUrlError(path=path):
            status, code, message = 404, "unknown_url", _unknown_url_message(path)
        case errors.MethodError(method=method, allowed=allowed):
            status, code, message = 405, "method_not_allowed", f"{method} is not allowed here. Allowed: {allowed}."
        case errors.BodyTooLargeError(bytes_max=bytes_max):
            status, code, message = 413, "request_too_large", f"The body exceeds the limit of {bytes_max} bytes."
        case errors.UnsupportedEncodingError(encoding=encoding, accepted=accepted):
            status, code = 415, "unsupported_content_encoding"
            message = f"The Content-Encoding `{_shown(encoding)}` is not supported. Send one of: {', '.join(accepted)}."
            more_headers = (("accept-encoding", ", ".join(accepted)),)
        case errors.SlowRequestError(part=part):
            status, code, message = 408, "request_timeout", f"Timed out while receiving the {part} of the request."
        case errors.HeadTooLargeError(bytes_max=bytes_max):
            status, code = 431, "request_headers_too_large"
            message = f"The URL and the headers exceed the limit of {bytes_max} bytes, or there are too many headers."
        case errors.IdempotencyError(reason=reason):
            status, code, message = 422, "idempotency_key_in_use", reason
        case errors.InvalidRequestError():
            message, code, param = error.reason, error.code, error.param
        case _:
            pass
    answer = _answer(status, message, type_="invalid_request_error", code=code, param=param)
    return msgspec.structs.replace(answer, more_headers=more_headers)


def _shown(name: str) -> str:
    """Return a name that the client sent, truncated to 128 characters so that an answer stays small."""
    return name if len(name) <= 128 else name[:128] + "…"


def _unknown_url_message(path: str) -> str:
    if "/responses/" in path:
        return (
            "Responses are not stored here, so none can be retrieved, cancelled, compacted or deleted. Create each one "
            "with `POST /v1/responses` and the whole conversation in `input`."
        )
    return f"Unknown URL: {_shown(path)}. The base URL must end in /v1."


def _refused_answer(error: errors.RefusedError) -> ErrorAnswer:
    match error:
        case errors.TenantLimitError(limit=limit, maximum=maximum):
            return _answer(
                429,
                f"You have reached your limit of {maximum} {limit.replace('_', ' ')} on this gateway."
                + (_STOPPED if limit == "max_in_flight" else "")
                + _long_wait(error.retry_after_s),
                type_="tokens" if limit == "tokens_per_minute" else "requests",
                code="rate_limit_exceeded",
                retry_after_s=error.retry_after_s,
            )
        case errors.OverShareError():
            return _answer(
                429,
                "Your running and queued requests exceed your fair share of this endpoint. Send fewer "
                "concurrent requests, or retry when some have completed.",
                type_="requests",
                code="tenant_over_share",
                retry_after_s=error.retry_after_s,
            )
        case errors.FailedKeysError():
            message = "Too many requests with an invalid API key from your address. Check the key before you retry."
            return _answer(
                429, message, type_="requests", code="rate_limit_exceeded", retry_after_s=error.retry_after_s
            )
        case errors.BodiesFullError():
            message = "Too many large requests are in progress. Retry later."
        case errors.AnswersFullError():
            message = "Too many large answers are in progress. Use `stream`, or retry later."
        case errors.TooManyConnectionsError():
            message = "This gateway process has reached its maximum number of connections. Retry later."
        case errors.DrainingError():
            message = "This gateway process is shutting down. Retry; another process will answer."
        case _:
            message = "No capacity became available in time. Retry later."
    return _answer(503, message, code="server_is_overloaded", retry_after_s=error.retry_after_s)


def _long_wait(wait_s: float) -> str:
    """Return a sentence with the wait if it exceeds RETRY_AFTER_S_MAX, else an empty string."""
    return f" Retry in {math.ceil(wait_s)} s." if wait_s > RETRY_AFTER_S_MAX else ""


def _upstream_answer(error: errors.UpstreamError) -> ErrorAnswer:
    match error:
        case errors.WorkerError(status=status):
            answer = _answer(status, error.message, type_=error.type, code=error.code, param=error.param)
            # Only a rate limit passes with time: after any other 4xx, a retry costs a second job for the same error.
            return msgspec.structs.replace(answer, is_retry_useless=400 <= status < 500 and status != 429)
        case errors.UpstreamBusyError(retry_after_s=retry_after_s):
            message = "Runpod is rate limiting calls to this endpoint. Retry later."
            return _answer(503, message, code="server_is_overloaded", retry_after_s=retry_after_s or 2.0)
        case errors.EndpointDownError(retry_after_s=retry_after_s):
            message = "The Runpod endpoint has failed repeatedly and is temporarily excluded. Retry later."
            return _answer(503, message, code="server_is_overloaded", retry_after_s=retry_after_s)
        case errors.NoWorkerError(waited_s=waited_s, state=state, since_s=since_s, usual_s=usual_s):
            told = start_text(state, since_s=since_s, usual_s=usual_s)
            message = f"No Runpod worker answered the request within {waited_s:.0f} s: {told}."
            left_s = None if usual_s is None else usual_s - (since_s or 0.0)
            retry_after_s = usual_s if left_s is None or left_s <= 0 else left_s
            return _answer(503, message, code="server_is_overloaded", retry_after_s=retry_after_s or COLD_RETRY_S)
        case errors.UpstreamTimeoutError(ran_s=ran_s, is_loading=is_loading, is_cancelled=is_cancelled):
            ran = "" if ran_s is None else f" It ran for {ran_s:.0f} s."
            loading = " and produced no output; it may still have been loading its model" if is_loading else ""
            ending = " The job was cancelled." if is_cancelled else ""
            return _answer(504, f"The worker did not finish within its time limit{loading}.{ran}{ending}")
        case errors.ClientDeadlineError(waited_s=waited_s):
            return _answer(504, f"The answer was not ready within the client's timeout of {waited_s:g} s.")
        case errors.UpstreamConfigError(status=status):
            message = (
                f"Runpod rejected the gateway's call (HTTP {status}). The gateway's operator must check the endpoint "
                "and its API key."
            )
            return msgspec.structs.replace(_answer(502, message), is_retry_useless=True)
        case errors.JobExpiredError():
            message = "Runpod no longer has this job: its time to live has expired."
        case errors.AnswerError(reason=reason):
            message = reason
        case errors.UnreachableError(reason=reason) if reason.startswith(UNREADABLE):
            message = f"Runpod's answer has an {reason}."
        case errors.UnreachableError(is_local=True):
            message = "The gateway lacks resources for another connection to Runpod. Retry later."
            return _answer(503, message, code="server_is_overloaded", retry_after_s=LOCAL_RETRY_S)
        case errors.UnreachableError(status=None):
            message = error.detail or "Runpod could not be reached."
        case errors.UnreachableError(status=status, detail=detail):
            message = (
                f"Runpod answered with HTTP {status}: {detail}" if detail else f"Runpod answered with HTTP {status}."
            )
        case _:
            message = "The upstream request failed."
    return _answer(502, message)
