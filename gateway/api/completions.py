"""POST chat completions, completions and embeddings: key, caps, body, model; then the response owns the rest."""

from collections.abc import Awaitable, Callable

import anyio.lowlevel
from litestar import post
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp

from gateway.admission.shared_hold import SharedHold
from gateway.api.answer_response import AnswerResponse
from gateway.api.auth import Caller, KeyRing
from gateway.api.body import BodyRoom, decompressor_of, read_body
from gateway.api.notes import AnyRequest, RequestNotes, notes_of
from gateway.api.paths import endpoint_of, paths_of
from gateway.api.patience import patience_s
from gateway.api.repeats import name_of, repeatable_of
from gateway.api.signs_of_life import Rhythm, SignsOfLife
from gateway.domain import Api
from gateway.errors import FailedKeysError, GatewayError
from gateway.exchange.catalogue import Catalogue
from gateway.exchange.events import BeginTrace
from gateway.exchange.exchanges import Exchanges
from gateway.exchange.idempotency import JoinedExchange, Name
from gateway.exchange.order import Order
from gateway.exchange.record import Record
from gateway.translate.request import LARGE_BYTES, read_request

Handler = Callable[[AnyRequest], Awaitable[ASGIApp]]


class Completions:
    """Opens an exchange for each request that can be served."""

    def __init__(
        self,
        *,
        keys: KeyRing,
        catalogue: Catalogue,
        exchanges: Exchanges,
        room: BodyRoom,
        rhythm: Rhythm,
        begin_trace: BeginTrace | None = None,
    ) -> None:
        """With `begin_trace`, every request that comes with a key of ours is traced."""
        self._keys = keys
        self._catalogue = catalogue
        self._exchanges = exchanges
        self._room = room
        self._rhythm = rhythm
        self._begin_trace = begin_trace
        self.signs = SignsOfLife(exchanges.report)

    @property
    def body_bytes_max(self) -> int:
        """The size of the largest body that is accepted; in little memory it is less than the file says."""
        return self._room.body_bytes_max

    def limit_bodies(self, bytes_max: int) -> None:
        """Bodies may be so large from now on."""
        self._room.admit(body_bytes_max=bytes_max)

    def routes(self) -> list[HTTPRouteHandler]:
        """One route for each API."""
        return [post(paths_of(api), status_code=200)(self._handler(api)) for api in Api]

    def _handler(self, api: Api) -> Handler:
        async def handle(request: AnyRequest) -> ASGIApp:
            notes = notes_of(request.scope)
            notes.record = record = self._exchanges.record(notes.request_id)
            try:
                return await self._open(api, request, notes, record)
            except FailedKeysError:
                # Told of where it was refused: a line for each is what the limit is there to prevent.
                raise
            except GatewayError as error:
                self._exchanges.settle_early(record, error)
                raise

        handle.__name__ = api.name.lower()
        return handle

    async def _open(self, api: Api, request: AnyRequest, notes: RequestNotes, record: Record) -> ASGIApp:
        caller = self._keys.authenticate(request.scope, notes)
        record.tenant = caller.tenant.name
        if self._begin_trace is not None:
            # Only now: a stranger without a key leaves no spans, and chooses no trace to be recorded.
            record.trace_context = self._begin_trace(api, request.scope["headers"], record.elapsed_s())
        # Before the body is read: a request beyond a cap costs neither memory nor the reading of its JSON. The server
        # drops what still comes of it.
        repeated = name_of(request.scope, api, repeater=caller.repeater)
        in_flight = self._exchanges.enter(caller.quota, repeated)
        try:
            return await self._open_entered(api, request, record, caller, in_flight, repeated)
        except BaseException:
            # No exchange came of it that would.
            in_flight.release()
            raise

    async def _open_entered(
        self,
        api: Api,
        request: AnyRequest,
        record: Record,
        caller: Caller,
        in_flight: SharedHold,
        repeated: Name | None,
    ) -> ASGIApp:
        notes, tenant = notes_of(request.scope), caller.tenant
        endpoint = endpoint_of(request.scope)
        if endpoint is not None:
            self._catalogue.check_endpoint(endpoint)
        decompressor = decompressor_of(request.scope)
        with self._room.place(tenant.name) as place:
            bytes_max = self._room.body_bytes_max
            body = await read_body(request.receive, place, bytes_max=bytes_max, decompressor=decompressor)
            asked = read_request(api, body)
            place.fit(len(body), fields=len(asked.fields))
            if len(body) > LARGE_BYTES:
                # Reading it took a while, and writing it anew will: others have their turn in between.
                await anyio.lowlevel.checkpoint()
            model = self._catalogue.find_for(api, asked.model, tenant, endpoint=endpoint)
            record.model, record.is_stream = model.label, asked.stream
            # Who may come again with the same key waits no longer than it likes, and the answer is made all the same.
            repeatable = None if repeated is None else repeatable_of(repeated, body)
            order = Order(
                request=asked,
                tenant=tenant,
                member=caller.member,
                quota=caller.quota,
                in_flight=in_flight,
                model=model,
                deadline_s=None if asked.stream or repeatable else patience_s(request.scope),
                release=place.leave,
            )
            exchange = self._exchanges.open(order, record, repeatable)
            if isinstance(exchange, JoinedExchange):
                notes.record, notes.is_replay = exchange.served_as, exchange.is_replay
            if not notes.is_replay:
                # From here on it is the exchange's to leave; of a replay nothing is kept.
                place.keep()
        return AnswerResponse(self._exchanges, exchange, self._rhythm, self.signs)
