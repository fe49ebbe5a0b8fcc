"""Read token counts from answers, and estimate them if a worker sends none."""

import math

from msgspec import Raw

from gateway.domain import Usage
from gateway.translate.prompt_size import BYTES_PER_TOKEN
from gateway.wire import openai
from gateway.wire.malformed import MALFORMED
from gateway.wire.openai import Fields

TOKENS_MAX = 1_000_000_000
"""Maximum plausible number of tokens of one answer, far above any real one: a worker's invented count must not put its
tenant's account into permanent debt."""


def read_usage(raw: Raw | None) -> Usage | None:
    """Return the counts of a `usage` object, or None if it is missing, null, empty or implausible."""
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
    """Estimate the counts of an answer by its size: at least one token for each of the parts in which it came."""
    return Usage(
        prompt_tokens=prompt_tokens,
        completion_tokens=max(parts, math.ceil(completion_bytes / BYTES_PER_TOKEN)),
        is_estimate=True,
    )


def settle_usage(counted: Usage | None, *, prompt_tokens: int, completion_bytes: int, parts: int = 0) -> Usage:
    """Return the worker's counts, or an estimate if it sent none, or counted no tokens for the text it wrote.

    Args:
        counted: The worker's counts.
        prompt_tokens: An estimate of the prompt.
        completion_bytes: Bytes of text that it wrote.
        parts: Number of parts of the text; 0 if unknown.
    """
    if counted is not None and (counted.completion_tokens or not completion_bytes):
        return counted
    known = 0 if counted is None else counted.prompt_tokens
    return estimate_usage(prompt_tokens=known or prompt_tokens, completion_bytes=completion_bytes, parts=parts)


def usage_fields(usage: Usage) -> Fields:
    """Return the three counts that OpenAI's description requires."""
    return {
        "prompt_tokens": Raw(str(usage.prompt_tokens).encode()),
        "completion_tokens": Raw(str(usage.completion_tokens).encode()),
        "total_tokens": Raw(str(usage.total_tokens).encode()),
    }
