"""Serve liveness, readiness and metrics to operators."""

from collections.abc import Awaitable, Callable

import msgspec
from litestar import HttpMethod, MediaType, Response, route
from litestar.handlers import HTTPRouteHandler

from gateway.api.request_context import AnyRequest

PROBES = frozenset({b"/livez", b"/readyz"})
"""Paths of an orchestrator's probes: without an answer it would restart a process that is only busy."""
LIVE_PATHS = ["/", "/health", "/livez"]
READ = (HttpMethod.GET, HttpMethod.HEAD)
"""Methods of every route that is read (RFC 9110, 9.1): monitors send HEAD."""
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Media type of the metrics if the client does not accept OpenMetrics."""
RenderMetrics = Callable[[str], Awaitable[tuple[bytes, str]]]
"""Function that takes the `Accept` header and returns the body and its media type."""


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """Describe whether this process accepts requests, and why; the body of /readyz."""

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
    """Return the routes that need no key; without `render_metrics`, /metrics is not among them.

    `failed_task` returns the name of a background task that was given up, or None. With one, the liveness routes
    answer 503, so that an orchestrator restarts the process.
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
    """Return the route of /metrics."""

    @route("/metrics", http_method=READ)
    async def metrics(request: AnyRequest) -> Response[bytes]:
        body, media_type = await render_metrics(request.headers.get("accept", ""))
        return Response(body, headers={"content-type": media_type})

    return metrics
