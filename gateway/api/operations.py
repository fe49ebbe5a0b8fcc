"""For operators: is the process alive, may it have work, and what has it counted."""

from collections.abc import Awaitable, Callable

import msgspec
from litestar import HttpMethod, MediaType, Response, route
from litestar.handlers import HTTPRouteHandler

from gateway.api.notes import AnyRequest

PROBES = frozenset({b"/livez", b"/readyz"})
"""What an orchestrator asks: unanswered, it would restart a process that is only busy."""
LIVE_PATHS = ["/", "/health", "/livez"]
READ = (HttpMethod.GET, HttpMethod.HEAD)
"""The methods of everything that can be read (RFC 9110, 9.1): monitors ask with HEAD."""
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Where OpenMetrics is not asked for."""
RenderMetrics = Callable[[str], Awaitable[tuple[bytes, str]]]
"""Takes the `Accept` header; returns the body and its media type."""


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """Whether this process may be sent work, and what it rests on."""

    ready: bool
    draining: bool
    state_store: str
    exchanges: int


def operation_routes(
    *,
    readiness: Callable[[], Readiness],
    failed_task: Callable[[], str | None],
    render_metrics: RenderMetrics | None,
) -> list[HTTPRouteHandler]:
    """Return the routes that need no key, without the metrics where those have a port of their own.

    `failed_task` names the background task that the process cannot run any more: it should be started again.
    """

    @route(LIVE_PATHS, http_method=READ)
    async def live() -> Response[bytes]:
        if (task := failed_task()) is not None:
            body = msgspec.json.encode({"status": "failed", "task": task})
            return Response(body, media_type=MediaType.JSON, status_code=503)
        return Response(b'{"status":"ok"}', media_type=MediaType.JSON)

    @route("/readyz", http_method=READ)
    async def ready() -> Response[bytes]:
        state = readiness()
        return Response(msgspec.json.encode(state), media_type=MediaType.JSON, status_code=200 if state.ready else 503)

    return [live, ready, *([metrics_route(render_metrics)] if render_metrics else [])]


def metrics_route(render_metrics: RenderMetrics) -> HTTPRouteHandler:
    """GET /metrics."""

    @route("/metrics", http_method=READ)
    async def metrics(request: AnyRequest) -> Response[bytes]:
        body, media_type = await render_metrics(request.headers.get("accept", ""))
        return Response(body, headers={"content-type": media_type})

    return metrics
