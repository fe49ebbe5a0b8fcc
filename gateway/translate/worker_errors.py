"""Parse errors as workers write them, and decide whether the client or the worker is at fault.

A worker's error arrives as the text of a failed job, as an object or a list in ordinary output, or as the body of an
HTTP answer. Sources: runpod-python 1.12 and 2.0.0rc2 `rp_job.py` (repr of a yielded error, JSON of a raised one,
"handler: … traceback: …", prestart payloads), worker-vllm 2.x `handler.py` and its older `utils.py`, TGI
(`error_type`), FastAPI (`detail`), runpod's input validator (a list of texts), RFC 9457 (`title`), NestJS
(`statusCode`, and "Bad Request" as `error`), Gemini (a list of one `error`). Their texts are parsed by
`error_statements`.
"""

import re
from collections.abc import Mapping

import msgspec
from msgspec import Raw

from gateway.errors import JobFailedError, JobNotRunError, UpstreamError, WorkerError
from gateway.translate import context_overflow
from gateway.translate.error_shapes import (
    CODE_KEYS,
    ERROR_KEYS,
    READ_LENGTH_MAX,
    TEXT_KEYS,
    TEXTS_MAX,
    StatedError,
    is_blank,
    is_good_code,
    read_account,
    status_in,
)
from gateway.translate.error_texts import Detail, parsed
from gateway.translate.redaction import SOURCE_LENGTH_MAX, redact
from gateway.wire.lenient import is_empty, is_null
from gateway.wire.malformed import MALFORMED
from gateway.wire.openai import Fields, size_of

_ERROR_TYPE = re.compile(r"error|exception|invalid|fail", re.IGNORECASE)
_NAMES = frozenset({*ERROR_KEYS, *TEXT_KEYS, "status", "success", "type", "output", "statusCode"})
_PROGRESS = frozenset(
    {"processing", "queued", "in_queue", "loading", "pending", "starting", "running", "in_progress", "started", "ok"}
)
_FAILED_STATUS = frozenset({"error", "failed", "failure", "fail"})
FAILED_JOB_STATUS = 500
"""HTTP status of every failed job on the OpenAI route, whatever the cause: it carries no information."""
PRESTART_CANCELLED, PRESTART_FAILED = "prestart_cancelled", "prestart_failed"


def job_error(error: str | None, *, status: int | None = None) -> UpstreamError:
    """Convert the `error` of a job that ended FAILED, received in an answer with this HTTP `status`."""
    text = (error or "").strip()[:READ_LENGTH_MAX]
    detail = parsed(text)
    if isinstance(detail, Mapping) and detail.get("event") in {PRESTART_CANCELLED, PRESTART_FAILED}:
        return _prestart_error(detail)
    account = read_account(text if detail is None else detail)
    if account.status is not None and account.is_aside and status not in {None, FAILED_JOB_STATUS}:
        account = msgspec.structs.replace(account, status=status)
    return _error_of(account, is_job=True)


def output_error(detail: object, *, status: int | None = None) -> UpstreamError:
    """Convert an error that arrived as output, or as the body of an answer with an HTTP `status`.

    A 4xx status is kept; a 5xx takes precedence over a status that the body only mentions in passing.
    """
    account = read_account(detail)
    is_kept = status is not None and 400 <= status < 500
    if status is not None and (account.status is None or is_kept or account.is_aside):
        account = msgspec.structs.replace(account, status=status)
    return _error_of(account, is_job=False, is_kept=is_kept)


def error_text(detail: object) -> str:
    """Return the message of an error in any shape, not yet redacted; empty if it has none."""
    return read_account(detail).message[:SOURCE_LENGTH_MAX]


def has_worker_form(text: str) -> bool:
    """Return True if a job's error has the worker SDK's form of a handler's failure, not the platform's form."""
    text = text.strip()[:READ_LENGTH_MAX]
    return text.startswith("handler: ") or "traceback:" in text or isinstance(parsed(text), Mapping)


def is_from_handler(text: str) -> bool:
    """Return True if a job's error comes from its handler, not from the platform or from before the handler ran."""
    detail = parsed(text.strip()[:READ_LENGTH_MAX])
    is_before = isinstance(detail, Mapping) and detail.get("event") in {PRESTART_CANCELLED, PRESTART_FAILED}
    return not is_before and (has_worker_form(text) or isinstance(job_error(text), WorkerError))


def error_in(value: object) -> Detail | None:
    """Return the error in a value that may be a chunk or an answer, or None if it contains none.

    An answer's content takes precedence over words such as `message` or `detail`, but not over a filled `error`.
    """
    if not isinstance(value, Mapping):
        return None
    if not is_blank(value.get("error")) or value.get("object") == "error" or value.get("type") == "error":
        return value
    if value.get("choices") or value.get("data"):
        return None
    if (wrapped := value.get("output")) and (inner := _error_in_output(wrapped)) is not None:
        return inner
    if not all(is_blank(value.get(name)) for name in ERROR_KEYS):
        return None if _is_progress(value) else value
    text = next((value[name] for name in TEXT_KEYS if value.get(name)), None)
    if not isinstance(text, str | Mapping | list):
        return None
    is_failed = value.get("success") is False or str(value.get("status")).lower() in _FAILED_STATUS
    is_typed = _ERROR_TYPE.search(str(value.get("type") or value.get("error_type") or "")) is not None
    codes = [value[name] for name in CODE_KEYS if name in value]
    has_code = not all(map(is_good_code, codes))
    is_named = not codes and any(value.get(name) for name in ("error_message", "error_msg", "errorMessage"))
    return value if is_failed or is_typed or is_named or has_code or status_in(value) is not None else None


def _is_progress(value: Detail) -> bool:
    """Return True if an object reports progress: a `detail` beside a status such as `processing`."""
    status = value.get("status")
    if not all(is_blank(value.get(name)) for name in ERROR_KEYS if name != "detail"):
        return False
    return isinstance(status, str) and status.strip().lower().replace("-", "_") in _PROGRESS


def _error_in_output(output: object) -> Detail | None:
    """Return the error in the wrapped output of Runpod's job API: an object, or a list of a worker's yields."""
    items = output[:TEXTS_MAX] if isinstance(output, list) else [output]
    return next((each for each in items if isinstance(each, Mapping) and not is_blank(each.get("error"))), None)


def raise_error_in(output: bytes | Raw) -> None:
    """Check whether an output without content is an error, or a list that holds one.

    Raises:
        UpstreamError: The worker failed, or rejected the request.
    """
    try:
        value = msgspec.json.decode(output)
    except MALFORMED:
        return
    for each in value if isinstance(value, list) else [value]:
        if (detail := error_in(each)) is not None:
            raise output_error(detail)


def may_be_error(fields: Fields) -> bool:
    """Return True if an object's field names suggest that it contains an error, so that a search is worthwhile."""
    if "error" in fields:
        return True
    if bytes(fields.get("choices") or b"") not in {b"", b"[]", b"null"}:
        return False
    data = fields.get("data")
    is_without = data is None or (size_of(data) <= len(b"null") and is_empty(data))
    return is_without and (not _NAMES.isdisjoint(fields) or ("object" in fields and is_null(data)))


def _prestart_error(detail: Detail) -> UpstreamError:
    """Convert the payload of a worker that never ran the job (SDK 2.0, `rp_prestart.py`)."""
    if detail["event"] == PRESTART_CANCELLED:
        return JobNotRunError("The worker was shut down before it ran the job.")
    reason = redact(str(detail.get("error_message") or ""))
    return JobFailedError(f"The worker could not start: {reason}" if reason else "The worker could not start.")


def _error_of(account: StatedError, *, is_job: bool, is_kept: bool = False) -> UpstreamError:
    """Convert an account to an error, and decide who is at fault.

    A worker's 4xx is the client's fault; its 401, 403 and 5xx are the gateway's or the worker's, because the client's
    key is not involved. If the worker's answer itself has such a 4xx status (`is_kept`), it is about the request, such
    as a filter's 403. A text without a status is a failure of the worker.
    """
    message, status = account.message[:SOURCE_LENGTH_MAX], account.status
    text = redact(message)
    is_overflow = context_overflow.is_context_overflow(message, code=account.code, type_=account.type, status=status)
    if is_overflow and status not in {401, 403}:
        # LangChain recognizes this error only by the literal code in the message.
        text = text if context_overflow.CODE in text else f"{text} ({context_overflow.CODE})"
        return _bad_request(400, text, account, code=context_overflow.CODE)
    if status is None and is_job:
        return JobFailedError(f"The worker failed: {text}" if text else "The worker failed without an error message.")
    text = text or "The worker answered with an error."
    if status is None or (status in {401, 403} and not is_kept) or not 400 <= status < 500:
        return WorkerError(status=502, message=text, type_="server_error", code="worker_error")
    status = 400 if status == 422 else status
    code = {404: "model_not_found", 413: "request_too_large", 429: "rate_limit_exceeded"}.get(status)
    return _bad_request(status, text, account, code=code or redact(account.code) or None)


def _bad_request(status: int, text: str, account: StatedError, *, code: str | None) -> WorkerError:
    type_ = "rate_limit_error" if status == 429 else "invalid_request_error"
    param = None if account.param is None else redact(account.param)
    return WorkerError(status=status, message=text, type_=type_, param=param, code=code)
