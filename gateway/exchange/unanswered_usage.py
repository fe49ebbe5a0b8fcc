"""Charge requests that ended without output: a worker may have read the prompt nevertheless."""

from gateway.domain import Usage
from gateway.endpoints.gpu_time import AttemptCost
from gateway.errors import GatewayError, UpstreamTimeoutError


def unanswered_usage(cost: AttemptCost, error: GatewayError | None, *, prompt_tokens: int) -> Usage | None:
    """Return the tokens of an attempt that ended without output; None if none are charged.

    Without this charge, a client could have its prompts read for free by disconnecting before each first chunk.

    Args:
        cost: The account of the attempt.
        error: The error that ended it. A failure of Runpod or the worker costs nothing, except a timeout while a worker
            was at work. None if the client left or ran out of time: then the prompt is charged unless the attempt was
            seen to wait for a worker, because a worker may have started with it.
        prompt_tokens: The estimate that was reserved.
    """
    time = cost.time
    if time is None:
        return None
    if error is None:
        is_charged = not time.is_seen_waiting
    else:
        is_charged = time.has_started and isinstance(error, UpstreamTimeoutError)
    return Usage(prompt_tokens=prompt_tokens, is_estimate=True) if is_charged else None
