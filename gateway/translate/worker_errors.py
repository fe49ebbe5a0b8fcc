"""Read errors as workers write them, and decide whether the client or the worker is at fault.

A worker's error comes as the text of a failed job, as an object or a list in ordinary output, or as the body of an HTTP
answer. Sources: runpod-python 1.12 and 2.0.0rc2 `rp_job.py` (repr of a yielded error, JSON of a raised one, "handler: …
traceback: …", prestart payloads), worker-vllm 2.x `handler.py` and its older `utils.py`, openai-python's exceptions
("Error code: 404 - {…}"), TGI (`error_type`), FastAPI (`detail`), runpod's input validator (a list of texts).
"""

import ast
import re
from collections.abc import Mapping, Sequence

import msgspec

from gateway.errors import JobFailedError, JobNotRunError, UpstreamError, WorkerError
from gateway.translate import context_overflow
from gateway.translate.redaction import SOURCE_LENGTH_MAX, redact
from gateway.wire.malformed import MALFORMED

_READ_LENGTH_MAX = 64 * 1024
_NESTED_MAX = 4
_TEXTS_MAX = 8
"""Of a list of validation errors."""
_STATED = (
    re.compile(r"^(?:vLLM|SGLang|TGI|\w{1,30}) returned HTTP (\d{3}):\s*(.*)$", re.DOTALL),
    re.compile(r"^(?:\w{1,40}: )?Error code: (\d{3})(?: - |:\s*)(.*)$", re.DOTALL),
    re.compile(r"(?i)^(?:\w{1,40}: )?(?:HTTP Error|HTTP|status(?: code)?:?) (\d{3})\b[ :,-]*(.*)$", re.DOTALL),
    re.compile(r"^(?:\w{1,40}: )?(\d{3}) (?:Client|Server) Error: (.*)$", re.DOTALL),
    re.compile(r"^(?:Client|Server) error '(\d{3}) (.*)$", re.DOTALL),
)
"""Texts that begin with the status of an HTTP answer that the worker got from its engine."""
_STATUS_TEXT = re.compile(r"[45][0-9]{2}")
_STATUS_BY_TYPE = {
    "BadRequestError": 400,
    "invalid_request_error": 400,
    "validation": 400,
    "validation_error": 400,
    "UnprocessableEntityError": 422,
    "NotFoundError": 404,
    "not_found_error": 404,
    "RateLimitError": 429,
    "rate_limit_error": 429,
    "ContextWindowExceededError": 400,
    "exceed_context_size_error": 400,
}
_VALIDATION_TYPE = re.compile(r"(?:^|[.'])\w*ValidationError\b")
_OVERLOADED = frozenset({"overloaded", "overloaded_error"})
_ERROR_TYPE = re.compile(r"error|exception|invalid|fail", re.IGNORECASE)
_ERROR_KEYS = frozenset({"errors", "detail", "message", "msg", "error_message", "status", "success", "type"})
_FAILED_STATUS = frozenset({"error", "failed", "failure", "fail"})
PRESTART_CANCELLED, PRESTART_FAILED = "prestart_cancelled", "prestart_failed"

Detail = Mapping[str, object]


class _Account(msgspec.Struct, frozen=True, kw_only=True):
    """What an error says of itself."""

    message: str
    status: int | None = None
    type: str = ""
    param: str | None = None
    code: str = ""


def job_error(error: str | None) -> UpstreamError:
    """Read the `error` of a job that ended FAILED."""
    text = (error or "").strip()[:_READ_LENGTH_MAX]
    detail = _parsed(text)
    if isinstance(detail, Mapping) and detail.get("event") in {PRESTART_CANCELLED, PRESTART_FAILED}:
        return _prestart_error(detail)
    return _error_of(_account(text if detail is None else detail), is_job=True)


def output_error(detail: object, *, status: int | None = None) -> UpstreamError:
    """Read an error that came as output, or as the body of an answer with an HTTP `status`, of which a 4xx is kept."""
    account = _account(detail)
    is_kept = status is not None and 400 <= status < 500
    if status is not None and (account.status is None or is_kept):
        account = msgspec.structs.replace(account, status=status)
    return _error_of(account, is_job=False, is_kept=is_kept)


def error_text(detail: object) -> str:
    """Return the message of an error in any shape, not yet redacted; empty if it has none."""
    return _account(detail).message[:SOURCE_LENGTH_MAX]


def has_worker_form(text: str) -> bool:
    """Report whether a job's error is written as the worker SDK writes a handler's failure, and not by the platform."""
    text = text.strip()[:_READ_LENGTH_MAX]
    return text.startswith("handler: ") or "traceback:" in text or isinstance(_parsed(text), Mapping)


def error_in(value: object) -> object | None:
    """Find the error in a value that may be a chunk or an answer; None if it holds none.

    An answer's own content wins over words such as `message` or `detail`, but not over a filled `error`.
    """
    if not isinstance(value, Mapping):
        return None
    if error := value.get("error"):
        return value if error is True else {**value, "error": error}
    if value.get("object") == "error" or value.get("type") == "error":
        return value
    if value.get("choices") or value.get("data"):
        return None
    if value.get("detail") or (isinstance(value.get("errors"), list) and value["errors"]):
        return value
    message = value.get("message") or value.get("msg") or value.get("error_message")
    if not isinstance(message, str | Mapping | list):
        return None
    is_failed = value.get("success") is False or str(value.get("status")).lower() in _FAILED_STATUS
    is_typed = _ERROR_TYPE.search(str(value.get("type") or value.get("error_type") or "")) is not None
    has_code = value.get("code") not in {None, 0, 200, "", "0", "200", "ok", "success"}
    return value if is_failed or is_typed or _status_in(value) is not None or has_code else None


def may_be_error(fields: Mapping[str, object]) -> bool:
    """Tell by the names alone whether an object is worth a search for an error."""
    return "error" in fields or (
        bytes(fields.get("choices") or b"") in {b"", b"[]", b"null"}  # type: ignore[call-overload]  # Raw is a buffer.
        and ("object" in fields or bool(_ERROR_KEYS & fields.keys()))
        and "data" not in fields
    )


def _prestart_error(detail: Detail) -> UpstreamError:
    """Read the payload of a worker that never ran the job (SDK 2.0, `rp_prestart.py`)."""
    if detail["event"] == PRESTART_CANCELLED:
        return JobNotRunError("The worker was shut down before it ran the job.")
    reason = redact(str(detail.get("error_message") or ""))
    return JobFailedError(f"The worker could not start: {reason}" if reason else "The worker could not start.")


def _parsed(text: str) -> Detail | Sequence[object] | None:
    """Parse an object or a list: JSON, or the Python repr that the SDK makes of a yielded error."""
    if not text.startswith(("{", "[")):
        return None
    try:
        value = msgspec.json.decode(text)
    except MALFORMED:
        try:
            value = ast.literal_eval(text)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            return None
    return value if isinstance(value, dict | list) and value else None


def _account(detail: object, *, nested: int = 0) -> _Account:
    """Read an error in any of its shapes."""
    if isinstance(detail, Mapping) and nested < _NESTED_MAX:
        return _account_of_object(detail, nested)
    if isinstance(detail, list | tuple):
        return _account_of_list(detail, nested)
    return _account_of_text(str(detail or "").strip()[:_READ_LENGTH_MAX], nested)


def _account_of_object(detail: Detail, nested: int) -> _Account:
    own = _own_account(detail)
    for name in ("error", "errors", "detail", "message", "msg", "error_message"):
        inner = detail.get(name)
        if not inner or inner is True or isinstance(inner, int | float):
            continue
        found = _account(inner, nested=nested + 1)
        is_from_inside = isinstance(inner, Mapping | list | tuple) or found.status is not None
        return _Account(
            message=found.message,
            # An engine's status inside a worker's error is nearer to the cause.
            status=found.status if is_from_inside and found.status is not None else own.status,
            type=found.type or own.type,
            param=own.param if found.param is None else found.param,
            code=found.code or own.code,
        )
    return own


def _own_account(detail: Detail) -> _Account:
    type_ = detail.get("type") or detail.get("error_type")
    param, code = detail.get("param"), detail.get("code")
    return _Account(
        message="",
        status=_status_in(detail),
        type=type_ if isinstance(type_, str) else "",
        param=param if isinstance(param, str) else None,
        code=code if isinstance(code, str) and not code.isdigit() else "",
    )


def _account_of_list(details: Sequence[object], nested: int) -> _Account:
    """Read a list of validation errors: FastAPI's objects, or the texts of runpod's validator."""
    texts = [_validation_text(each, nested) for each in details[:_TEXTS_MAX]]
    more = len(details) - _TEXTS_MAX
    message = "; ".join(text for text in texts if text) + (f"; and {more} more" if more > 0 else "")
    accounts = [_account(each, nested=nested + 1) for each in details[:1] if isinstance(each, Mapping)]
    status = next((account.status for account in accounts), None)
    return _Account(message=message, status=400 if status is None else status, type="validation_error")


def _validation_text(item: object, nested: int) -> str:
    if not isinstance(item, Mapping):
        return str(item or "").strip()
    text = _account(item, nested=nested + 1).message
    where = item.get("loc")
    place = ".".join(str(each) for each in where if each != "body") if isinstance(where, list | tuple) else ""
    return f"{place}: {text}" if place else text


def _account_of_text(text: str, nested: int) -> _Account:
    text = text.removeprefix("handler: ")
    for pattern in _STATED:
        if (found := pattern.match(text)) is None:
            continue
        status, rest = int(found[1]), found[2].strip()
        inner = _parsed(rest) if nested < _NESTED_MAX else None
        account = _Account(message=rest or text) if inner is None else _account(inner, nested=nested + 1)
        return msgspec.structs.replace(account, message=account.message or text, status=status)
    inner = _parsed(text) if nested < _NESTED_MAX else None
    return _Account(message=text) if inner is None else _account(inner, nested=nested + 1)


def _status_in(detail: Detail) -> int | None:
    """Find the HTTP status that an error carries: in a field, or by its type."""
    for name in ("status_code", "status", "http_status", "code"):
        value = detail.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and 400 <= value < 600:
            return value
        if isinstance(value, str) and _STATUS_TEXT.fullmatch(value):
            return int(value)
    type_ = str(detail.get("type") or detail.get("error_type") or "")
    if _VALIDATION_TYPE.search(type_):
        return 400
    return 503 if type_ in _OVERLOADED else _STATUS_BY_TYPE.get(type_)


def _error_of(account: _Account, *, is_job: bool, is_kept: bool = False) -> UpstreamError:
    """Decide whose fault it is.

    A worker's 4xx is the client's; its 401, 403 and 5xx are ours to answer for: the client's key is not at fault. But
    where the worker's answer itself has such a status (`is_kept`), it is about the request, such as a filter's 403. A
    text without a status is a failure of the worker.
    """
    message, status = account.message[:SOURCE_LENGTH_MAX], account.status
    text = redact(message)
    is_overflow = context_overflow.is_context_overflow(message, code=account.code, type_=account.type, status=status)
    if is_overflow and status not in {401, 403}:
        # LangChain knows this error by the literal word in the message alone.
        text = text if context_overflow.CODE in text else f"{text} ({context_overflow.CODE})"
        return _bad_request(400, text, account, code=context_overflow.CODE)
    if status is None and is_job:
        return JobFailedError(f"The worker failed: {text}" if text else "The worker failed without saying why.")
    text = text or "The worker answered with an error."
    if status is None or (status in {401, 403} and not is_kept) or not 400 <= status < 500:
        return WorkerError(status=502, message=text, type_="server_error", code="worker_error")
    status = 400 if status == 422 else status
    code = {404: "model_not_found", 413: "request_too_large", 429: "rate_limit_exceeded"}.get(status)
    return _bad_request(status, text, account, code=code or redact(account.code) or None)


def _bad_request(status: int, text: str, account: _Account, *, code: str | None) -> WorkerError:
    type_ = "rate_limit_error" if status == 429 else "invalid_request_error"
    return WorkerError(status=status, message=text, type_=type_, param=account.param, code=code)
