"""Answer unknown paths under /v1 with an error, after the key was checked as for every other path there."""

from litestar import route
from litestar.handlers import HTTPRouteHandler

from gateway.api.auth import KeyRing
from gateway.api.request_context import AnyRequest, request_context_of
from gateway.errors import UnknownUrlError


def unknown_route(keys: KeyRing) -> HTTPRouteHandler:
    """Return the route of all paths under /v1 that no other route matches."""

    @route("/v1/{rest:path}", http_method=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
    async def unknown(request: AnyRequest) -> None:
        keys.authenticate(request.scope, request_context_of(request.scope))
        raise UnknownUrlError(request.scope["path"])

    return unknown
