"""Encode errors in Anthropic's format.

Its SDKs choose the class of an exception by the status alone. Claude Code retries after 429, 503 and 529, and reads the
two numbers of a prompt that is too long to offer a shorter conversation.
"""

import re

from gateway.translate import context_overflow
from gateway.translate.error_body import ErrorAnswer
from gateway.translate.messages.events import encode_named
from gateway.wire import openai

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_NUMBER = re.compile(r"(?<![\w.-])\d[\d,_]{0,15}(?![\w.-]*\w)")
_LIMIT = re.compile(
    r"(?i)maximum input length of (\d+)"
    r"|(?:context (?:length|size|window|limit)|maximum|limit|must be <=)[^\d\n]{0,24}(\d[\d,_]{0,15})"
)
_LIMITS_MAX = 8


def error_body(answer: ErrorAnswer) -> bytes:
    """Return the error as JSON."""
    error = {"type": _type_of(answer.status), "message": _message_of(answer)}
    body = {"type": "error", "error": error}
    if answer.request_id is not None:
        body["request_id"] = answer.request_id
    return openai.encode(body)


def error_event(answer: ErrorAnswer) -> bytes:
    """Return the error as the last event of a stream. `message_stop` does not follow: it marks a complete answer."""
    return encode_named(b"error", error_body(answer))


def _type_of(status: int) -> str:
    return _TYPES.get(status) or ("api_error" if status >= 500 else "invalid_request_error")


def _message_of(answer: ErrorAnswer) -> str:
    """Return the message; a prompt that is too long is told in Anthropic's words, if the worker said both numbers."""
    message = answer.detail.message
    if answer.code != context_overflow.CODE:
        return message
    told = message.replace(f" ({context_overflow.CODE})", "")
    found = _tokens_and_limit(told)
    if found is None:
        return f"prompt is too long: {told}"
    return f"prompt is too long: {found[0]} tokens > {found[1]} maximum. {told}"


def _tokens_and_limit(message: str) -> tuple[int, int] | None:
    """Return the tokens of a prompt and the model's limit; None if the message does not hold both.

    Servers count the room for the answer in different ways: the limit is the lowest that they name, and the tokens are
    the largest number above it, or else the sum of prompt and answer.
    """
    limits = [_integer(each[1] or each[2]) for each in _LIMIT.finditer(message)][:_LIMITS_MAX]
    numbers = {_integer(each[0]) for each in _NUMBER.finditer(message)}
    if not limits and len(numbers) > 1:
        limits = [min(numbers)]
    if not limits:
        return None
    limit = min(limits)
    others = sorted(numbers - set(limits), reverse=True)
    tokens = next((each for each in others if each > limit), sum(others[:2]))
    return (tokens, limit) if tokens > limit else None


def _integer(digits: str) -> int:
    return int(digits.replace(",", "").replace("_", ""))
