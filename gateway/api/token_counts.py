"""Answer POST /v1/messages/count_tokens from the gateway's own estimate.

Claude Code counts the parts of its prompt to show how full the context is. A worker is not asked: a sleeping endpoint
would be woken, and billed, for a number on a screen. Without this path, Claude Code sends a real message for each part.
"""

from litestar import MediaType, Response, post
from litestar.handlers import HTTPRouteHandler

from gateway.api.auth import KeyRing
from gateway.api.body import BodyBudget, decompressor_of, read_body
from gateway.api.paths import endpoint_of, paths_of
from gateway.api.request_context import AnyRequest, request_context_of
from gateway.errors import FailedKeysError, GatewayError
from gateway.exchange.catalogue import Catalogue
from gateway.exchange.record import Record
from gateway.exchange.registry import ExchangeRegistry
from gateway.translate.messages.errors import error_body
from gateway.translate.messages.request import read_count_request
from gateway.wire.openai import encode

COUNT_PATH = "/v1/messages/count_tokens"


class TokenCounts:
    """Count the tokens of prompts. A count is a request to its tenant's quota, and costs no tokens."""

    def __init__(self, *, keys: KeyRing, catalogue: Catalogue, exchanges: ExchangeRegistry, room: BodyBudget) -> None:
        self._keys = keys
        self._catalogue = catalogue
        self._exchanges = exchanges
        self._room = room

    def route(self) -> HTTPRouteHandler:
        """Return the route."""

        @post(paths_of(COUNT_PATH), status_code=200)
        async def count_tokens(request: AnyRequest) -> Response[bytes]:
            context = request_context_of(request.scope)
            context.record = record = self._exchanges.record(context.request_id)
            context.error_body = error_body
            try:
                tokens = await self._count(request, record)
            except FailedKeysError:
                # Reported already, as for other requests.
                raise
            except GatewayError as error:
                self._exchanges.settle_early(record, error)
                raise
            self._exchanges.settle_local(record)
            return Response(encode({"input_tokens": tokens}), media_type=MediaType.JSON)

        return count_tokens

    async def _count(self, request: AnyRequest, record: Record) -> int:
        caller = self._keys.authenticate(request.scope, request_context_of(request.scope))
        tenant, endpoint = caller.tenant, endpoint_of(request.scope)
        record.tenant = tenant.name
        in_flight = self._exchanges.enter(caller.quota)
        try:
            if endpoint is not None:
                self._catalogue.check_endpoint(endpoint)
            decompressor = decompressor_of(request.scope)
            with self._room.reserve(tenant.name) as reservation:
                bytes_max = self._room.body_bytes_max
                body = await read_body(request.receive, reservation, bytes_max=bytes_max, decompressor=decompressor)
                asked = read_count_request(body)
            model = self._catalogue.find_for(asked.api, asked.model, tenant, endpoint=endpoint)
            record.model = model.label
            return asked.prompt_tokens
        finally:
            in_flight.release()
