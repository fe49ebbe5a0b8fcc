"""Serve repeated requests with the same `Idempotency-Key` once, and send all of them the same answer.

The exchange of such a request does not belong to one client: it continues while any client listens, and a short time
longer, because an SDK that timed out retries. Keys are known within one process, for LIFETIME_S. The rules are those of
the IETF draft "The Idempotency-Key HTTP Header Field": a key with another body is 422.
"""

from collections.abc import Awaitable, Callable

import anyio
import msgspec
from anyio.abc import TaskGroup

from gateway.admission.ref_counted_hold import RefCountedHold, Release
from gateway.clock import Clock
from gateway.errors import DrainingError, GatewayError, IdempotencyError, OutputLostError
from gateway.events import Observer, Outcome
from gateway.exchange.asyncio_driver import AsyncioDriver
from gateway.exchange.outcomes import CLIENT_LEFT_STATUS, DRAIN_RETRY_S, Ending, outcome_of
from gateway.exchange.record import Record
from gateway.exchange.replay_buffer import ReplayBuffer
from gateway.exchange.sink import Sink
from gateway.fairshare.memory_shares import MemoryReservation, MemoryShares
from gateway.translate.error_body import ErrorAnswer, error_answer

LIFETIME_S = 600.0
"""Seconds for which an answer is kept."""
GRACE_S = 10.0
"""Seconds for which an exchange continues without a listener: SDKs wait up to 8 s before they retry."""
KEPT_BYTES_MAX = 128 * 1024 * 1024
"""Maximum bytes of all tenants' answers. A single tenant may use half of it, as in any `MemoryShares`."""
ANSWER_BYTES = 6 * 1024
"""Memory of an answer beyond its own bytes: 3.5 KB by tracemalloc, and the account of its attempt."""

Name = tuple[str, str, str]
"""Repeater, path and key."""


class Repeatable(msgspec.Struct, frozen=True, kw_only=True):
    """Identify a request by its idempotency key: two requests that are equal in this are one."""

    repeater: str
    """The client that may request the answer again."""
    path: str
    key: str
    fingerprint: bytes
    """Fingerprint of the body: the same key with another body is an error."""

    @property
    def name(self) -> Name:
        """Return the name by which it is looked up."""
        return self.repeater, self.path, self.key


class _Shared(msgspec.Struct, eq=False):
    """Hold one exchange and its answer."""

    asked: Repeatable
    record: Record
    is_stream: bool
    exchange: AsyncioDriver | None
    """None after its success: only its answer is kept, and not the request."""
    buffer: ReplayBuffer
    scope: anyio.CancelScope
    reservation: MemoryReservation
    """Memory that its answer holds in the room."""
    ended_at_s: float | None = None
    disconnects: int = 0
    """Number of times that it was left without listeners, including at its start."""
    inherited: int = 0
    """Value of `disconnects` at which its place in flight was taken over; 0 if it is not taken over."""


class JoinedExchange:
    """Represent one client's part in an exchange that it may share; it is run in place of that exchange."""

    def __init__(
        self,
        shared: _Shared,
        record: Record,
        observe: Observer,
        *,
        leave: Callable[[_Shared], None],
        release: Release,
    ) -> None:
        """Create it; `release` returns the request's place in flight, which it holds until `run` ends."""
        self.record = record
        self.is_stream = shared.is_stream
        self._shared = shared
        self._observe = observe
        self._leave = leave
        self._release = release
        self.on_over: Callable[[JoinedExchange], None] = lambda _joined: None
        self._scope = anyio.CancelScope()
        self._ended_by: Ending | None = None

    @property
    def is_replay(self) -> bool:
        """Return True if another request started the exchange."""
        return self.record is not self._shared.record

    @property
    def served_as(self) -> Record:
        """Return the record of the exchange itself, with its endpoint and its job."""
        return self._shared.record

    def idle_chunk(self) -> bytes:
        """Return an event without content, which shows that the answer is in progress; empty for a whole answer."""
        return self._shared.exchange.idle_chunk(is_shared=True) if self._shared.exchange else b""

    def failure(self, answer: ErrorAnswer) -> bytes:
        """Return a failure as the last events of a stream that has begun; empty for a whole answer."""
        return self._shared.exchange.failure(answer) if self._shared.exchange else b""

    def end(self, by: Ending) -> None:
        """End it now. If the process shuts down, the client receives an error."""
        if self._ended_by is None:
            self._ended_by = by
            self._scope.cancel()

    async def run(self, sink: Sink) -> None:
        """Send the answer to the client; return normally if the client disconnects.

        Raises:
            GatewayError: The error that the exchange failed with.
        """
        outcome, status, code = Outcome.BROKEN, 500, None
        try:
            with self._scope:
                await self._shared.buffer.tell(sink)
            if not self._scope.cancelled_caught:
                outcome, status = Outcome.COMPLETED, 200
            elif self._ended_by is Ending.CLIENT:
                outcome, status = Outcome.CLIENT_LEFT, CLIENT_LEFT_STATUS
            else:
                raise DrainingError(retry_after_s=DRAIN_RETRY_S)
        except GatewayError as error:
            answer = error_answer(error)
            outcome, status, code = outcome_of(error), answer.status, answer.code
            raise
        except anyio.get_cancelled_exc_class():
            outcome, status = Outcome.CLIENT_LEFT, CLIENT_LEFT_STATUS
            raise
        finally:
            self.on_over(self)
            self._release()
            self._leave(self._shared)
            if self.is_replay:
                self._observe(self.record.settle(outcome, status=status, reason=code))


class Idempotency:
    """Hold the exchanges that may be joined. `run` owns their tasks, and `serve` runs one of them to its end."""

    def __init__(
        self,
        clock: Clock,
        observe: Observer,
        serve: Callable[[AsyncioDriver, Sink], Awaitable[None]],
        *,
        bytes_max: int = KEPT_BYTES_MAX,
    ) -> None:
        """Create it; `bytes_max` bounds the memory of all answers, both in progress and kept."""
        self._clock = clock
        self._observe = observe
        self._serve = serve
        self._shared: dict[Name, _Shared] = {}
        self._kept: dict[_Shared, None] = {}
        """Those that completed successfully, the oldest first; then the same by tenant."""
        self._kept_of: dict[str, dict[_Shared, None]] = {}
        self._room = MemoryShares(bytes_max)
        self._tasks: TaskGroup | None = None

    def knows(self, name: Name | None) -> bool:
        """Return True if there is an answer of this name, or one in progress."""
        return name in self._shared

    def inherit(self, name: Name | None) -> Release | None:
        """Take over the place in flight of an exchange whose client has left; return the function that releases it.

        Otherwise a client that disconnects and retries would be rejected for lack of a second place, until the first
        exchange is given up together with its answer. Only one request at a time can take the place over; if it is
        rejected, the next one can. Return None if there is no such place.
        """
        shared = None if name is None else self._shared.get(name)
        if shared is None or shared.exchange is None or shared.buffer.has_listeners:
            return None
        if shared.inherited == shared.disconnects:
            return None
        disconnect = shared.inherited = shared.disconnects
        end_use = shared.exchange.in_flight.share()

        def release() -> None:
            end_use()
            if shared.inherited == disconnect:
                shared.inherited = 0

        return release

    def find(self, asked: Repeatable, record: Record, in_flight: RefCountedHold) -> JoinedExchange | None:
        """Return the exchange of this key, to be joined; None if there is none.

        The joined exchange is the first user of `in_flight`, because the request has no exchange of its own.

        Raises:
            IdempotencyError: The key belongs to a different request, or its answer was too long to be kept.
        """
        self._forget_old()
        if (shared := self._shared.get(asked.name)) is None:
            return None
        if shared.asked.fingerprint != asked.fingerprint:
            raise IdempotencyError("This Idempotency-Key was already used with another body. Use a new key.")
        if not shared.buffer.is_repeatable:
            raise IdempotencyError("The answer to this Idempotency-Key was too large to be stored. Use a new key.")
        return JoinedExchange(shared, record, self._observe, leave=self._left, release=in_flight.release)

    def begin(self, asked: Repeatable, exchange: AsyncioDriver, in_flight: RefCountedHold) -> JoinedExchange:
        """Start an exchange that may be joined, and join it.

        Raises:
            DrainingError: The process is about to end.
        """
        if self._tasks is None:
            raise DrainingError(retry_after_s=DRAIN_RETRY_S)
        record, reservation = exchange.record, MemoryReservation(self._room, exchange.record.tenant)
        buffer = ReplayBuffer(lambda size: self._make_room(reservation, record.tenant, size + ANSWER_BYTES))
        shared = _Shared(asked, record, exchange.is_stream, exchange, buffer, anyio.CancelScope(), reservation)
        self._shared[asked.name] = shared
        self._tasks.start_soon(self._make, shared, exchange)
        self._left(shared)
        return JoinedExchange(shared, record, self._observe, leave=self._left, release=in_flight.share())

    async def run(self) -> None:
        """Run the exchanges until cancelled; if this run fails, they end, and their clients receive an error."""
        try:
            async with anyio.create_task_group() as self._tasks:
                await anyio.sleep_forever()
        finally:
            self._tasks = None
            for shared in [each for each in self._shared.values() if each.ended_at_s is None]:
                shared.buffer.fail(OutputLostError("An internal gateway error interrupted this answer. Retry."))
                self._forget(shared)

    async def _make(self, shared: _Shared, exchange: AsyncioDriver) -> None:
        try:
            with shared.scope:
                await self._serve(exchange, shared.buffer)
        except Exception as error:  # noqa: BLE001 - sent to every client that waits; it must not end the others' tasks.
            shared.buffer.fail(error)
        if shared.scope.cancelled_caught:
            # A client may have joined at the last moment, and would wait forever.
            shared.buffer.fail(OutputLostError("This answer was abandoned because no client waited for it. Retry."))
        shared.ended_at_s = self._clock.monotonic_s()
        self._forget_old()
        if shared.buffer.is_finished and shared.buffer.is_repeatable:
            # A listener of a failed one asks for the events of its failure.
            self._kept[shared] = shared.exchange = None
            self._kept_of.setdefault(shared.record.tenant, {})[shared] = None
        else:
            # The next request with this key is a new attempt.
            self._forget(shared)

    def _left(self, shared: _Shared) -> None:
        if self._tasks is not None and shared.ended_at_s is None and not shared.buffer.has_listeners:
            shared.disconnects += 1
            self._tasks.start_soon(self._give_up, shared, shared.disconnects)

    async def _give_up(self, shared: _Shared, disconnect: int) -> None:
        """End an exchange that no client has joined again since this disconnect."""
        await anyio.sleep(GRACE_S)
        if disconnect == shared.disconnects and not (shared.buffer.has_listeners or shared.buffer.is_finished):
            # Its end takes a while during a submission: no client may join any more.
            self._forget(shared)
            shared.scope.cancel()

    def _forget_old(self) -> None:
        until_s = self._clock.monotonic_s() - LIFETIME_S
        while (oldest := next(iter(self._kept), None)) is not None and (oldest.ended_at_s or 0.0) <= until_s:
            self._drop(oldest)

    def _make_room(self, reservation: MemoryReservation, tenant: str, size: int) -> bool:
        """Let an answer hold `size` bytes, if necessary by dropping its tenant's oldest; return False if it cannot."""
        while not reservation.hold(size):
            oldest = next(iter(self._kept_of.get(tenant, ())), None)
            if oldest is None:
                return False
            self._drop(oldest)
        return True

    def _drop(self, kept: _Shared) -> None:
        tenant = kept.record.tenant
        del self._kept[kept], self._kept_of[tenant][kept]
        if not self._kept_of[tenant]:
            del self._kept_of[tenant]
        self._forget(kept)

    def _forget(self, shared: _Shared) -> None:
        shared.reservation.leave()
        if self._shared.get(shared.asked.name) is shared:
            del self._shared[shared.asked.name]
