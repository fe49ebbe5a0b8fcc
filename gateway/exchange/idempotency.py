"""Requests with an `Idempotency-Key`: the same one twice is served once, and both times told the same answer.

The exchange of such a request is no client's own: it goes on while any of them listens, and a moment longer, since an
SDK that gave up comes again. Known within one process, for a while.

Source of the rules: the IETF draft "The Idempotency-Key HTTP Header Field": a key with another body is 422.
"""

from collections.abc import Awaitable, Callable

import anyio
import msgspec
from anyio.abc import TaskGroup

from gateway.admission.shared_hold import Release, SharedHold
from gateway.clock import Clock
from gateway.errors import DrainingError, GatewayError, IdempotencyError, OutputLostError
from gateway.exchange.events import Observer, Outcome
from gateway.exchange.exchange import CLIENT_LEFT_STATUS, DRAIN_RETRY_S, Ending, Exchange, outcome_of
from gateway.exchange.record import Record
from gateway.exchange.recording import Recording
from gateway.exchange.sink import Sink
from gateway.fairshare.room import Place, Room
from gateway.translate.error_body import error_answer

LIFETIME_S = 600.0
"""How long an answer is kept."""
GRACE_S = 10.0
"""How long an exchange goes on that nobody listens to: SDKs wait up to 8 s before they come again."""
KEPT_BYTES_MAX = 128 * 1024 * 1024
"""Of all tenants' answers. One alone has half of it, as of any room."""
ANSWER_BYTES = 6 * 1024
"""What an answer costs beyond its bytes: 3.5 KB by tracemalloc, and the account of its attempt."""


Name = tuple[str, str, str]
"""Repeater, path and key."""


class Repeatable(msgspec.Struct, frozen=True, kw_only=True):
    """What makes two requests one."""

    repeater: str
    """Who may ask for its answer again."""
    path: str
    key: str
    fingerprint: bytes
    """Of the body: the same key with another one is a mistake."""

    @property
    def name(self) -> Name:
        """What it is looked up by."""
        return self.repeater, self.path, self.key


class _Shared(msgspec.Struct, eq=False):
    """One exchange and its answer."""

    asked: Repeatable
    record: Record
    is_stream: bool
    exchange: Exchange | None
    """None when it is over: only its answer is kept, and not what was asked."""
    recording: Recording
    scope: anyio.CancelScope
    place: Place
    """What its answer takes of the room."""
    ended_at_s: float | None = None
    departures: int = 0
    """How often a listener left."""
    inherited: int = 0
    """After how many of them its place in flight was taken over; 0 while nobody has it."""


class JoinedExchange:
    """One client's part in an exchange that it may share: to be run in the place of it."""

    def __init__(
        self,
        shared: _Shared,
        record: Record,
        observe: Observer,
        *,
        leave: Callable[[_Shared], None],
        release: Release,
    ) -> None:
        """`release` gives back the request's place in flight, which it holds for as long as it is told the answer."""
        self.record = record
        self.is_stream = shared.is_stream
        self._shared = shared
        self._observe = observe
        self._leave = leave
        self._release = release
        self._scope = anyio.CancelScope()
        self._ended_by: Ending | None = None

    @property
    def is_replay(self) -> bool:
        """Whether another request began it."""
        return self.record is not self._shared.record

    @property
    def served_as(self) -> Record:
        """The notes of the exchange itself: its endpoint and its job."""
        return self._shared.record

    def idle_chunk(self) -> bytes:
        """An event that says nothing but that the answer is still coming."""
        return self._shared.exchange.idle_chunk() if self._shared.exchange else b""

    def end(self, by: Ending) -> None:
        """End it now. Where the process shuts down, the client is told."""
        if self._ended_by is None:
            self._ended_by = by
            self._scope.cancel()

    async def run(self, sink: Sink) -> None:
        """Tell the client the answer; return as well when it has left.

        Raises:
            GatewayError: What the exchange failed with.
        """
        outcome, status, code = Outcome.BROKEN, 500, None
        try:
            with self._scope:
                await self._shared.recording.tell(sink)
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
            self._release()
            self._leave(self._shared)
            if self.is_replay:
                self._observe(self.record.settle(outcome, status=status, reason=code))


class Idempotency:
    """The exchanges that may be joined. `run` owns their tasks, and `serve` runs one of them to its end."""

    def __init__(
        self,
        clock: Clock,
        observe: Observer,
        serve: Callable[[Exchange, Sink], Awaitable[None]],
        *,
        bytes_max: int = KEPT_BYTES_MAX,
    ) -> None:
        """`bytes_max` is what all answers may take of memory: those that are made, and those that are kept."""
        self._clock = clock
        self._observe = observe
        self._serve = serve
        self._shared: dict[Name, _Shared] = {}
        self._kept: dict[_Shared, None] = {}
        """Those that ended well, the oldest first."""
        self._kept_of: dict[str, dict[_Shared, None]] = {}
        """The same by tenant."""
        self._room = Room(bytes_max)
        self._tasks: TaskGroup | None = None

    def knows(self, name: Name | None) -> bool:
        """Tell whether there is an answer of this name, or will be."""
        return name in self._shared

    def inherit(self, name: Name | None) -> Release | None:
        """Take over the place in flight of an exchange that its client has left; return what ends that.

        Whose client left and comes again would otherwise be refused for want of a second place, until the first one is
        given up and its answer with it. Only one request at a time takes it over, and after one that was refused the
        next one may; None where there is no place to be had so.
        """
        shared = None if name is None else self._shared.get(name)
        if shared is None or shared.exchange is None or shared.recording.has_listeners:
            return None
        if shared.inherited == shared.departures:
            return None
        departure = shared.inherited = shared.departures
        end_use = shared.exchange.in_flight.share()

        def release() -> None:
            end_use()
            if shared.inherited == departure:
                shared.inherited = 0

        return release

    def find(self, asked: Repeatable, record: Record, in_flight: SharedHold) -> JoinedExchange | None:
        """The exchange of this key, to be joined; None where there is none.

        A joined one is the first user of `in_flight`, since no exchange of its own is.

        Raises:
            IdempotencyError: The key is that of another request, or its answer was too long to be kept.
        """
        self._forget_old()
        shared = self._shared.get(asked.name)
        if shared is None:
            return None
        if shared.asked.fingerprint != asked.fingerprint:
            raise IdempotencyError("This Idempotency-Key came with another body before. A new request needs a new key.")
        if not shared.recording.is_repeatable:
            raise IdempotencyError("The answer to this Idempotency-Key was too long to be kept. Use a new key.")
        return JoinedExchange(shared, record, self._observe, leave=self._left, release=in_flight.release)

    def begin(self, asked: Repeatable, exchange: Exchange, in_flight: SharedHold) -> JoinedExchange:
        """Begin an exchange that may be joined, and join it.

        Raises:
            DrainingError: The process is about to end.
        """
        if self._tasks is None:
            raise DrainingError(retry_after_s=DRAIN_RETRY_S)
        record = exchange.record
        place = Place(self._room, record.tenant)
        recording = Recording(lambda size: self._make_room(place, record.tenant, size + ANSWER_BYTES))
        shared = _Shared(asked, record, exchange.is_stream, exchange, recording, anyio.CancelScope(), place)
        self._shared[asked.name] = shared
        self._tasks.start_soon(self._make, shared, exchange)
        self._left(shared)
        return JoinedExchange(shared, record, self._observe, leave=self._left, release=in_flight.share())

    async def run(self) -> None:
        """Keep the exchanges going, until cancelled; those of a run that failed end, and their clients are told."""
        try:
            async with anyio.create_task_group() as self._tasks:
                await anyio.sleep_forever()
        finally:
            self._tasks = None
            for shared in [each for each in self._shared.values() if each.ended_at_s is None]:
                shared.recording.fail(OutputLostError("A fault of the gateway broke this answer off. Ask again."))
                self._forget(shared)

    async def _make(self, shared: _Shared, exchange: Exchange) -> None:
        try:
            with shared.scope:
                await self._serve(exchange, shared.recording)
        except Exception as error:  # noqa: BLE001 - told to every client that waits; it must not end the others' tasks.
            shared.recording.fail(error)
        if shared.scope.cancelled_caught:
            # Somebody may have joined in the last moment, who would wait for ever.
            shared.recording.fail(OutputLostError("This answer was given up, as nobody waited for it. Ask again."))
        shared.exchange, shared.ended_at_s = None, self._clock.monotonic_s()
        self._forget_old()
        if shared.recording.is_finished and shared.recording.is_repeatable:
            self._kept[shared] = None
            self._kept_of.setdefault(shared.record.tenant, {})[shared] = None
        else:
            # The next one with this key is a new attempt.
            self._forget(shared)

    def _left(self, shared: _Shared) -> None:
        if self._tasks is not None and shared.ended_at_s is None and not shared.recording.has_listeners:
            shared.departures += 1
            self._tasks.start_soon(self._give_up, shared, shared.departures)

    async def _give_up(self, shared: _Shared, departure: int) -> None:
        """End an exchange that nobody came back for since this departure."""
        await anyio.sleep(GRACE_S)
        recording = shared.recording
        if departure == shared.departures and not recording.has_listeners and not recording.is_finished:
            # Its end takes a while where a submission is under way: nobody may join any more.
            self._forget(shared)
            shared.scope.cancel()

    def _forget_old(self) -> None:
        until_s = self._clock.monotonic_s() - LIFETIME_S
        while (oldest := next(iter(self._kept), None)) is not None and (oldest.ended_at_s or 0.0) <= until_s:
            self._drop(oldest)

    def _make_room(self, place: Place, tenant: str, size: int) -> bool:
        """Let an answer hold so many bytes, at the cost of its own tenant's oldest; return whether it may."""
        while not place.hold(size):
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
        shared.place.leave()
        if self._shared.get(shared.asked.name) is shared:
            del self._shared[shared.asked.name]
