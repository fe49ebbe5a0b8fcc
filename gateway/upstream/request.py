"""Describe a request to Runpod."""

import msgspec

from gateway.wire.openai import Parts


class UpstreamRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Describe a request to an endpoint: its path begins after the endpoint's address."""

    method: str = "POST"
    path: str
    body: Parts = ()
    """Body in parts, which are sent without being copied."""
    read_timeout_s: float
    """Maximum seconds without data: until the head of the response, then between two pieces."""
    total_s_max: float | None = None
    """Maximum seconds of the whole call; None if its caller limits it."""
    traceparent: str | None = None
