"""Say in Anthropic's terms why an answer ended, and what it used."""

from collections.abc import Container
from typing import Any

import msgspec
from msgspec import Raw

from gateway.domain import Usage
from gateway.translate import finish_reasons
from gateway.wire.lenient import integer_of, is_object

JsonObject = dict[str, Any]
_decode_usage = msgspec.json.Decoder(dict[str, Raw]).decode


def stop_fields(reason: str, stopped_at: Raw | None, *, has_tools: bool, sequences: Container[str]) -> JsonObject:
    """Return the fields `stop_reason` and `stop_sequence` of a message.

    A worker that was told which tool to call says `stop`, and some say `tool_calls` without a call. Clients decide by
    the reason whether to run tools, so it follows the content.

    Args:
        reason: OpenAI's finish reason.
        stopped_at: What the worker says it stopped at: a text, a token, or null.
        has_tools: Whether the message calls a tool.
        sequences: The texts at which the client wanted the answer to end.
    """
    sequence = None
    match reason:
        case finish_reasons.LENGTH:
            stop = "max_tokens"
        case finish_reasons.CONTENT_FILTER:
            stop = "refusal"
        case _ if has_tools:
            stop = "tool_use"
        case _:
            sequence = _text(stopped_at)
            if sequence not in sequences:
                sequence = None
            stop = "end_turn" if sequence is None else "stop_sequence"
    return {"stop_reason": stop, "stop_sequence": sequence}


def usage_fields(usage: Usage, counted: Raw | None) -> JsonObject:
    """Return the counts of a message; Anthropic's count of the input excludes what was read from a cache.

    Args:
        usage: Tokens of the prompt and of the answer.
        counted: The worker's own `usage`, for the tokens that were cached.
    """
    cached = min(_cached_tokens(counted), usage.prompt_tokens)
    return {
        "input_tokens": usage.prompt_tokens - cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached,
        "output_tokens": usage.completion_tokens,
    }


def _cached_tokens(counted: Raw | None) -> int:
    if counted is None or not is_object(counted):
        return 0
    details = _decode_usage(counted).get("prompt_tokens_details")
    if details is None or not is_object(details):
        return 0
    return max(0, integer_of(_decode_usage(details).get("cached_tokens")) or 0)


def _text(value: Raw | None) -> str | None:
    return msgspec.json.decode(value, type=str) if value is not None and bytes(value)[:1] == b'"' else None
