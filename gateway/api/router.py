"""Build the ASGI application of clients and operators from its routes."""

from collections.abc import Callable, Sequence
from typing import Any

from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp

from gateway.api.error_response import Report, exception_handlers
from gateway.api.middleware import Middleware
from gateway.clock import Clock


def build_http(
    routes: Sequence[HTTPRouteHandler], *, lifespan: Sequence[Callable[[Litestar], Any]], report: Report, clock: Clock
) -> ASGIApp:
    """Return a Litestar application with these routes, wrapped in `Middleware`."""
    app = Litestar(
        route_handlers=list(routes),
        exception_handlers=exception_handlers(report),
        lifespan=list(lifespan),
        openapi_config=None,
        logging_config=None,
    )
    return Middleware(app, clock)
