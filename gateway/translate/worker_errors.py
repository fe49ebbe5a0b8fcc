"""Errors as workers write them: four dialects in a job's `error`, more inside ordinary output.

Sources: runpod-python 1.12 `rp_job.py` (repr of a yielded error, JSON of a raised one, "handler: … traceback: …"),
worker-vllm 2.x `handler.py` and its older `utils.py` ("vLLM returned HTTP NNN: {…}", flat and nested error objects).
Tracebacks and file paths stay here: they are the operator's, not the tenant's.
"""

import ast
import re
from collections.abc import Mapping

import msgspec

from gateway.errors import JobFailedError, UpstreamError, WorkerError
from gateway.wire.malformed import MALFORMED

TEXT_LENGTH_MAX = 600
_SOURCE_LENGTH_MAX = 64 * 1024
_SHOWN_LENGTH_MAX = 4 * 1024
"""How much of a message is looked at for what must not be shown: the expressions that look must stay cheap."""
_EMBEDDED = re.compile(r"^vLLM returned HTTP (\d{3}):\s*(.*)$", re.DOTALL)
_TRACEBACK = re.compile(r"(?:traceback:|Traceback \(most recent call last\)).*", re.DOTALL)
_PATH = re.compile(r"(?<![\w/.:])(?:/[\w.@+-]+){2,}/?|[A-Za-z]:\\[^\s'\"]+")
_STATUS_TEXT = re.compile(r"[45][0-9]{2}")
_STATUS_BY_TYPE = {"BadRequestError": 400, "NotFoundError": 404, "invalid_request_error": 400}
_CONTEXT_TOO_LONG = re.compile(r"maximum context length|context_length_exceeded|prompt is too long", re.IGNORECASE)

Detail = Mapping[str, object]


def job_error(error: str | None) -> UpstreamError:
    """Read the `error` of a job that ended FAILED, in any of its dialects."""
    text = (error or "").strip()[:_SOURCE_LENGTH_MAX]
    detail = _as_mapping(text)
    if detail is None:
        return _from_text(text)
    if "error_message" in detail:
        return JobFailedError(_safe(str(detail["error_message"])) or "The worker raised an error.")
    return output_error(detail)


def output_error(detail: object) -> UpstreamError:
    """Read an error object that came as ordinary output: OpenAI's nested form, vLLM's old flat form, or a bare text."""
    if isinstance(detail, Mapping) and isinstance(detail.get("error"), str | Mapping):
        detail = detail["error"]
    if not isinstance(detail, Mapping):
        return _from_text(str(detail))
    message = str(detail.get("message") or "")[:_SOURCE_LENGTH_MAX]
    if (embedded := _EMBEDDED.match(message)) is not None:
        return _from_embedded(int(embedded[1]), embedded[2])
    return _worker_error(_status(detail), message, detail)


def _as_mapping(text: str) -> Detail | None:
    """The object in the text: JSON, or the Python repr that the SDK makes of a yielded error."""
    if not text.startswith("{"):
        return None
    try:
        value = msgspec.json.decode(text)
    except MALFORMED:
        try:
            value = ast.literal_eval(text)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            return None
    return value if isinstance(value, dict) else None


def _from_text(text: str) -> UpstreamError:
    if (embedded := _EMBEDDED.match(text)) is not None:
        return _from_embedded(int(embedded[1]), embedded[2])
    reason = _safe(text.removeprefix("handler: "))
    return JobFailedError(f"The worker failed: {reason}" if reason else "The worker failed without saying why.")


def _from_embedded(status: int, text: str) -> UpstreamError:
    detail = _as_mapping(text.strip()) or {}
    inner = detail.get("error", detail)
    if not isinstance(inner, Mapping):
        inner = {}
    return _worker_error(status, str(inner.get("message") or "") or text, inner)


def _status(detail: Detail) -> int:
    """The HTTP status that the error carries: in `code`, or by its type."""
    code = detail.get("code")
    if isinstance(code, int) and 400 <= code < 600:
        return code
    if isinstance(code, str) and _STATUS_TEXT.fullmatch(code):
        return int(code)
    return _STATUS_BY_TYPE.get(str(detail.get("type")), 502)


def _worker_error(status: int, message: str, detail: Detail) -> WorkerError:
    """A worker's 4xx is the client's; its 401, 403 and 5xx are ours to answer for: the client's key is not at fault."""
    param = detail.get("param")
    text = _safe(message) or "The worker answered with an error."
    if status in {401, 403} or not 400 <= status < 500:
        return WorkerError(status=502, message=text, type_="server_error", code="worker_error")
    status = 400 if status == 422 else status
    code = {404: "model_not_found", 413: "request_too_large", 429: "rate_limit_exceeded"}.get(status)
    if status == 400 and _CONTEXT_TOO_LONG.search(message):
        # LangChain knows this error by the literal word in the message alone.
        code = "context_length_exceeded"
        text = text if code in text else f"{text} ({code})"
    carried = detail.get("code")
    if code is None and isinstance(carried, str) and not carried.isdigit():
        code = _safe(carried)
    type_ = "rate_limit_error" if status == 429 else "invalid_request_error"
    return WorkerError(
        status=status, message=text, type_=type_, param=param if isinstance(param, str) else None, code=code
    )


def _safe(text: str) -> str:
    """The text without traceback and file paths, bounded."""
    text = _PATH.sub("…", _TRACEBACK.sub("", text[:_SHOWN_LENGTH_MAX])).strip()
    return text if len(text) <= TEXT_LENGTH_MAX else text[:TEXT_LENGTH_MAX] + "…"
