"""Encode errors in OpenAI's format."""

from gateway.translate.error_body import ErrorAnswer
from gateway.wire import openai
from gateway.wire.sse import encode_event


def error_body(answer: ErrorAnswer) -> bytes:
    """Return the error as JSON."""
    return openai.encode(openai.ErrorBody(error=answer.detail))


def error_event(answer: ErrorAnswer) -> bytes:
    """Return the error as the last event of a stream. `[DONE]` does not follow: it marks a complete answer."""
    return encode_event(error_body(answer))
