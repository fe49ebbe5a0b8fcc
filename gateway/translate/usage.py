"""Token counts out of answers, and an estimate where a worker gives none."""

import math

from msgspec import Raw

from gateway.domain import Usage
from gateway.translate.prompt_size import BYTES_PER_TOKEN
from gateway.wire import openai
from gateway.wire.malformed import MALFORMED
from gateway.wire.openai import Fields

TOKENS_MAX = 1_000_000_000
"""Of one answer, and far beyond any: what a worker makes up must not keep its tenant's account in debt for ever."""


def read_usage(raw: Raw | None) -> Usage | None:
    """The counts of a `usage` object; None where it is missing, null, empty, or cannot be true."""
    if raw is None:
        return None
    try:
        view = openai.decode_usage(raw)
    except MALFORMED:
        return None
    if view.prompt_tokens is None and view.completion_tokens is None:
        return None
    prompt_tokens, completion_tokens = max(0, view.prompt_tokens or 0), max(0, view.completion_tokens or 0)
    if prompt_tokens + completion_tokens > TOKENS_MAX:
        return None
    return Usage(prompt_tokens=prompt_tokens, completion_tokens=completion_tokens)


def estimate_usage(*, prompt_tokens: int, completion_bytes: int, parts: int = 0) -> Usage:
    """Estimate the counts of an answer by its size: at least one token for each of the parts that it came in."""
    return Usage(
        prompt_tokens=prompt_tokens,
        completion_tokens=max(parts, math.ceil(completion_bytes / BYTES_PER_TOKEN)),
        is_estimate=True,
    )


def settle_usage(counted: Usage | None, *, prompt_tokens: int, completion_bytes: int, parts: int = 0) -> Usage:
    """Return the worker's count, or an estimate where it gave none, or counted no tokens for what it wrote.

    Args:
        counted: What the worker counted.
        prompt_tokens: An estimate of the prompt.
        completion_bytes: How much text it wrote.
        parts: In how many parts; 0 where that is not known.
    """
    if counted is not None and (counted.completion_tokens or not completion_bytes):
        return counted
    known = 0 if counted is None else counted.prompt_tokens
    return estimate_usage(prompt_tokens=known or prompt_tokens, completion_bytes=completion_bytes, parts=parts)


def usage_fields(usage: Usage) -> Fields:
    """The three counts that OpenAI's description requires."""
    return {
        "prompt_tokens": Raw(str(usage.prompt_tokens).encode()),
        "completion_tokens": Raw(str(usage.completion_tokens).encode()),
        "total_tokens": Raw(str(usage.total_tokens).encode()),
    }
