"""Assign request ids, add headers to every answer, and answer CORS preflights, before any routing.

This is an ASGI layer outside Litestar because a request with an unknown path never reaches Litestar's own middleware,
and its error needs a request id too.
"""

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from gateway.api.request_context import Headers, RequestContext, attach_request_context
from gateway.clock import Clock

_EXPOSED = (
    "x-request-id, retry-after, retry-after-ms, x-fairpod-job-id, x-fairpod-endpoint, x-fairpod-queue-ms, request-id, "
    "x-fairpod-dropped-tools, "
    "x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests, "
    "x-ratelimit-limit-tokens, x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens"
)
CORS: Headers = [
    # Keys are sent in a header and never in a cookie, so every origin can be allowed.
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", _EXPOSED.encode()),
]
_PREFLIGHT_AGE_S = 86400


class Middleware:
    """Wrap the application: add request id, quota and CORS headers to its responses, and answer preflights."""

    def __init__(self, app: ASGIApp, clock: Clock) -> None:
        self._app = app
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        context = RequestContext()
        attach_request_context(scope, context)
        if _header(scope, b"origin"):
            context.cors = CORS

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *context.headers(self._clock.monotonic_s())]
            await send(message)

        if scope.get("method") == "OPTIONS":
            await _preflight(scope, send_with_headers)
        else:
            await self._app(scope, receive, send_with_headers)


def _header(scope: Scope, name: bytes) -> bytes | None:
    return next((value for key, value in scope["headers"] if key == name), None)


async def _preflight(scope: Scope, send: Send) -> None:
    """Allow the headers that the preflight asks for: a fixed list would lack some of those that SDKs add."""
    headers = [
        (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
        (b"access-control-allow-headers", _header(scope, b"access-control-request-headers") or b"*"),
        (b"access-control-max-age", str(_PREFLIGHT_AGE_S).encode()),
    ]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
