"""Handle POST of each client format: check key, quota, body and model, then open an exchange.

The exchange is run by the returned response.
"""

from collections.abc import Awaitable, Callable

import anyio.lowlevel
from litestar import post
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp

from gateway.admission.ref_counted_hold import RefCountedHold
from gateway.api.answer_response import AnswerResponse
from gateway.api.auth import Caller, KeyRing
from gateway.api.body import BodyBudget, decompressor_of, read_body
from gateway.api.client_connection import client_connection_of
from gateway.api.client_timeout import client_timeout_s
from gateway.api.idempotency_key import name_of, repeatable_of
from gateway.api.keepalive_scheduler import KeepAliveScheduler
from gateway.api.paths import endpoint_of, paths_of
from gateway.api.request_context import AnyRequest, RequestContext, request_context_of
from gateway.errors import FailedKeysError, GatewayError
from gateway.events import BeginTrace
from gateway.exchange.catalogue import Catalogue
from gateway.exchange.client_response import KeepAliveIntervals
from gateway.exchange.idempotency import JoinedExchange, Name
from gateway.exchange.record import Record
from gateway.exchange.registry import ExchangeRegistry
from gateway.exchange.resolved_request import ResolvedRequest
from gateway.translate.client_formats.contract import ClientFormat
from gateway.translate.client_formats.registry import CLIENT_FORMATS
from gateway.translate.request import LARGE_BYTES

Handler = Callable[[AnyRequest], Awaitable[ASGIApp]]


class Completions:
    """Open an exchange for each request that can be served."""

    def __init__(
        self,
        *,
        keys: KeyRing,
        catalogue: Catalogue,
        exchanges: ExchangeRegistry,
        room: BodyBudget,
        intervals: KeepAliveIntervals,
        begin_trace: BeginTrace | None = None,
    ) -> None:
        """Create the handlers; with `begin_trace`, every request with an accepted key is traced."""
        self._keys = keys
        self._catalogue = catalogue
        self._exchanges = exchanges
        self.room = room
        self._intervals = intervals
        self._begin_trace = begin_trace
        self.keepalives = KeepAliveScheduler(exchanges.report)

    @property
    def body_bytes_max(self) -> int:
        """Return the maximum size in bytes of a body; less than the configured one if there is little memory."""
        return self.room.body_bytes_max

    def limit_bodies(self, bytes_max: int) -> None:
        """Set the maximum size in bytes of a body."""
        self.room.admit(body_bytes_max=bytes_max)

    def routes(self) -> list[HTTPRouteHandler]:
        """Return one route handler for each client format."""
        return [post(paths_of(each.path), status_code=200)(self._handler(each)) for each in CLIENT_FORMATS]

    def _handler(self, client_format: ClientFormat) -> Handler:
        async def handle(request: AnyRequest) -> ASGIApp:
            context = request_context_of(request.scope)
            context.record = record = self._exchanges.record(context.request_id)
            context.error_body = client_format.error_body
            try:
                return await self._open(client_format, request, context, record)
            except FailedKeysError:
                # The key ring reported it already; to log each one here is what the limit has to prevent.
                raise
            except GatewayError as error:
                self._exchanges.settle_early(record, error)
                raise

        handle.__name__ = client_format.name
        return handle

    async def _open(
        self, client_format: ClientFormat, request: AnyRequest, context: RequestContext, record: Record
    ) -> ASGIApp:
        caller = self._keys.authenticate(request.scope, context)
        record.tenant = caller.tenant.name
        if self._begin_trace is not None:
            # Only after authentication: a client without a key must neither create spans nor have a trace recorded.
            record.trace_context = self._begin_trace(client_format, request.scope["headers"], record.elapsed_s())
        # Before the body is read: a request over its quota costs neither memory nor JSON parsing. The server discards
        # the rest of its body.
        repeated = name_of(request.scope, client_format.path, repeater=caller.repeater)
        in_flight = self._exchanges.enter(caller.quota, repeated)
        try:
            return await self._open_entered(client_format, request, record, caller, in_flight, repeated)
        except BaseException:
            # No exchange was opened that would release it.
            in_flight.release()
            raise

    async def _open_entered(
        self,
        client_format: ClientFormat,
        request: AnyRequest,
        record: Record,
        caller: Caller,
        in_flight: RefCountedHold,
        repeated: Name | None,
    ) -> ASGIApp:
        context, tenant = request_context_of(request.scope), caller.tenant
        endpoint = endpoint_of(request.scope)
        if endpoint is not None:
            self._catalogue.check_endpoint(endpoint)
        decompressor = decompressor_of(request.scope)
        with self.room.reserve(tenant.name) as reservation:
            bytes_max = self.room.body_bytes_max
            body = await read_body(request.receive, reservation, bytes_max=bytes_max, decompressor=decompressor)
            asked = client_format.read(body)
            context.dropped_tools = asked.dropped_tools
            reservation.fit(asked.body_bytes, fields=len(asked.fields))
            if len(body) > LARGE_BYTES:
                # To parse it took milliseconds, and to encode it again will: let other tasks run in between.
                await anyio.lowlevel.checkpoint()
            model = self._catalogue.find_for(client_format.api, asked.model, tenant, endpoint=endpoint)
            record.model, record.is_stream = model.label, asked.stream
            # A request with an Idempotency-Key gets no deadline: the client can fetch the answer with a retry later.
            repeatable = None if repeated is None else repeatable_of(repeated, body)
            resolved = ResolvedRequest(
                request=asked,
                client_format=client_format,
                tenant=tenant,
                member=caller.member,
                quota=caller.quota,
                in_flight=in_flight,
                model=model,
                deadline_s=None if asked.stream or repeatable else client_timeout_s(request.scope),
                release=reservation.leave,
            )
            has_connection = client_connection_of(request.scope) is not None
            exchange = self._exchanges.open(resolved, record, repeatable, has_connection=has_connection)
            if isinstance(exchange, JoinedExchange):
                context.record, context.is_replay = exchange.served_as, exchange.is_replay
            if not context.is_replay:
                # From here on the exchange releases the reservation; a replay does not need it.
                reservation.keep()
        return AnswerResponse(self._exchanges, exchange, client_format, self._intervals, self.keepalives)
