"""Collect facts about one HTTP request while it is handled, for the headers of its response."""

import secrets
from collections.abc import Callable
from typing import Any

from litestar import Request
from litestar.types import Scope

from gateway.domain import Tenant
from gateway.exchange.record import Record
from gateway.fairshare.quota import BucketReading, TenantQuota
from gateway.translate.client_formats.openai_errors import error_body
from gateway.translate.error_body import ErrorAnswer

_KEY = "fairpod.request_context"
Headers = list[tuple[bytes, bytes]]
_NO_STORE = (b"cache-control", b"no-store")
"""Answers depend on the key, and a shared cache does not know all headers that can hold one."""
AnyRequest = Request[Any, Any, Any]


class RequestContext:
    """Hold the id of one HTTP request, and its tenant and exchange record once they are known."""

    def __init__(self) -> None:
        self.request_id = secrets.token_hex(16)
        self.tenant: Tenant | None = None
        self.quota: TenantQuota | None = None
        self.record: Record | None = None
        self.error_body: Callable[[ErrorAnswer], bytes] = error_body
        """Encodes an error for the client; OpenAI's format until the route is known."""
        self.is_replay = False
        """True if the answer was made for another request with the same Idempotency-Key."""
        self.dropped_tools: tuple[str, ...] = ()
        """Types of tools that the client declared and that no worker can run."""
        self.cors: Headers = []
        """Headers for a browser; none if the request has no Origin."""

    def headers(self, now_s: float) -> Headers:
        """Return the headers for the response, with the quota at `now_s`, in monotonic seconds."""
        request_id = self.request_id.encode()
        # Anthropic's clients read the second name.
        headers = [(b"x-request-id", request_id), (b"request-id", request_id), _NO_STORE]
        if self.quota is not None:
            headers += _rate_limit_headers(b"requests", self.quota.requests_reading(now_s))
            headers += _rate_limit_headers(b"tokens", self.quota.tokens_reading(now_s))
        if self.record is not None and self.record.endpoint:
            headers.append((b"x-fairpod-endpoint", self.record.endpoint.encode()))
            if self.record.job_id is not None:
                headers.append((b"x-fairpod-job-id", self.record.job_id.encode()))
            if self.record.queue_s is not None:
                headers.append((b"x-fairpod-queue-ms", str(round(self.record.queue_s * 1000)).encode()))
        if self.is_replay:
            headers.append((b"idempotent-replayed", b"true"))
        if self.dropped_tools:
            headers.append((b"x-fairpod-dropped-tools", ", ".join(self.dropped_tools).encode()))
        return [*headers, *self.cors]


def attach_request_context(scope: Any, context: RequestContext) -> None:
    """Store notes in the ASGI scope for the handlers of this request."""
    scope[_KEY] = context


def request_context_of(scope: Scope) -> RequestContext:
    """Return the notes of a request from its ASGI scope."""
    context: RequestContext = scope[_KEY]  # type: ignore[literal-required]
    return context


def _rate_limit_headers(name: bytes, reading: BucketReading | None) -> Headers:
    if reading is None:
        return []
    return [
        (b"x-ratelimit-limit-" + name, str(reading.limit).encode()),
        (b"x-ratelimit-remaining-" + name, str(reading.remaining).encode()),
        (b"x-ratelimit-reset-" + name, _go_duration(reading.reset_s).encode()),
    ]


def _go_duration(seconds: float) -> str:
    """Format a duration as OpenAI does: 12ms, 1.5s, 6m0s."""
    if seconds < 1:
        return f"{round(seconds * 1000)}ms"
    minutes, rest = divmod(round(seconds, 1), 60)
    return f"{int(minutes)}m{rest:g}s" if minutes else f"{rest:g}s"
