"""Encode the Response object, with every key that OpenAI's clients and the Open Responses schema expect."""

import msgspec
from msgspec import Raw

from gateway.domain import Usage
from gateway.translate.error_body import ErrorAnswer
from gateway.translate.responses.request import ResponsesRequest
from gateway.wire import openai
from gateway.wire.lenient import integer_of, is_null, is_object
from gateway.wire.malformed import MALFORMED
from gateway.wire.openai import NULL, Fields
from gateway.wire.sse import encode_event

_DEFAULTS: dict[str, object] = {
    "background": False,
    "completed_at": None,
    "frequency_penalty": 0.0,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "presence_penalty": 0.0,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": "default",
    "store": False,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
"""Values where the client sent none. Nothing is stored, whatever it sent, and no time is known at the end."""
_CODES = frozenset({"rate_limit_exceeded", "context_length_exceeded"})
"""Codes of errors that clients of the Responses API know, besides `server_error`."""
TOO_MANY = 429


class ObjectEncoder:
    """Encode the object of one response in each of its states."""

    def __init__(self, request: ResponsesRequest, *, answer_id: str, created_s: int) -> None:
        reasoning = _merged(_DEFAULTS["reasoning"], request.echo.get("reasoning"))
        text = _merged(_DEFAULTS["text"], request.echo.get("text"))
        constant = {
            "id": answer_id,
            "object": "response",
            "created_at": created_s,
            "model": request.model,
            **_DEFAULTS,
            **request.echo,
            "reasoning": reasoning,
            "text": text,
        }
        self._constant = openai.encode(constant)[:-1]

    def open(self) -> bytes:
        """Return the object of a response in progress."""
        return self._encode("in_progress", b"[]", NULL, {})

    def ended(self, items: list[bytes], usage: Raw, *, incomplete_reason: str | None) -> bytes:
        """Return the object of a response that has ended: completed, or incomplete for a reason."""
        output = b"[%b]" % b",".join(items)
        if incomplete_reason is None:
            return self._encode("completed", output, usage, {})
        return self._encode("incomplete", output, usage, {"incomplete_details": {"reason": incomplete_reason}})

    def failed(self, items: list[bytes], usage: Raw, answer: ErrorAnswer) -> bytes:
        """Return the object of a response that has failed."""
        return self._encode("failed", b"[%b]" % b",".join(items), usage, {"error": _error_of(answer)})

    def _encode(self, status: str, output: bytes, usage: Raw, told: dict[str, object]) -> bytes:
        own = {"status": status, "error": None, "incomplete_details": None, **told, "output": Raw(output)}
        return self._constant + b"," + openai.encode({**own, "usage": usage})[1:]


def failed_event(answer: ErrorAnswer) -> bytes:
    """Return `response.failed` for a stream of which nothing else is known."""
    unknown = {"id": "resp_unknown", "object": "response", "created_at": 0, "model": "", "output": [], "usage": None}
    told = {**unknown, **_DEFAULTS, "tools": [], "status": "failed", "error": _error_of(answer)}
    event = {"type": "response.failed", "sequence_number": 0, "response": {**told, "incomplete_details": None}}
    return b"event: response.failed\n" + encode_event(openai.encode(event))


def response_usage(usage: Usage, given: Fields) -> Raw:
    """Return the token counts under the names of the Responses API; `given` are the worker's own fields."""
    prompt = _details(given.get("prompt_tokens_details"))
    completion = _details(given.get("completion_tokens_details"))
    counts = {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": _count(prompt, "cached_tokens"), "cache_write_tokens": 0},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": _count(completion, "reasoning_tokens")},
        "total_tokens": usage.total_tokens,
    }
    return Raw(openai.encode(counts))


def _error_of(answer: ErrorAnswer) -> dict[str, str]:
    code = answer.code if answer.code in _CODES else "server_error"
    if answer.status == TOO_MANY:
        code = "rate_limit_exceeded"
    return {"code": code or "server_error", "message": answer.detail.message}


def _details(raw: Raw | None) -> Fields:
    try:
        return openai.decode_fields(raw or b"{}") if is_object(raw) else {}
    except MALFORMED:
        return {}


def _count(fields: Fields, name: str) -> int:
    return max(0, integer_of(fields.get(name)) or 0)


def _merged(default: object, given: Raw | None) -> dict[str, object]:
    """Return an object of the client with its missing keys added."""
    known: dict[str, object] = msgspec.convert(default, dict[str, object])
    if given is not None:
        known |= {name: value for name, value in openai.decode_fields(given).items() if not is_null(value)}
    return known
