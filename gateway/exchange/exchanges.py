"""All exchanges of this process: opened while it serves, waited for and cut when it drains."""

from collections.abc import Awaitable, Callable

import anyio

from gateway.admission.shared_hold import SharedHold, hold_in_flight
from gateway.errors import DrainingError, GatewayError, TenantLimitError
from gateway.exchange.events import Broke
from gateway.exchange.exchange import DRAIN_RETRY_S, Ending, Exchange, outcome_of
from gateway.exchange.idempotency import Idempotency, JoinedExchange, Name, Repeatable
from gateway.exchange.order import Means, Order
from gateway.exchange.record import Record
from gateway.exchange.sink import Sink
from gateway.fairshare.quota import TenantQuota
from gateway.translate.error_body import error_answer

MEASURE_S = 1.0
FLUSH_S_MAX = 10.0
"""How long a process that stops goes on cancelling jobs; their ttl ends those that are left."""

AnyExchange = Exchange | JoinedExchange


class Exchanges:
    """Opens exchanges, and knows those under way."""

    def __init__(self, means: Means) -> None:
        self.is_draining = False
        self._means = means
        self._idempotency = Idempotency(means.clock, means.observe, self.run)
        self._live: set[AnyExchange] = set()
        self._settled = anyio.Event()

    @property
    def count(self) -> int:
        """How many are under way."""
        return len(self._live)

    def record(self, request_id: str) -> Record:
        """Begin the notes of a request."""
        return Record(request_id=request_id, clock=self._means.clock)

    def enter(self, quota: TenantQuota, repeated: Name | None = None) -> SharedHold:
        """Count a request, and hold its place in flight; the exchange that is opened for it ends its first use.

        One that comes again, as its name says, while nobody waits for the answer that it asks for, takes the place
        that is held for that.

        Raises:
            TenantLimitError: The tenant has as many requests in flight, or in this minute, as it may have; or it has no
                tokens left for a request that is no repeat.
        """
        if not self._idempotency.knows(repeated):
            quota.check_debt(self._means.clock.monotonic_s())
        inherited = self._idempotency.inherit(repeated)
        if inherited is None:
            return hold_in_flight(quota, self._means.clock)
        hold = SharedHold(inherited)
        try:
            quota.count(self._means.clock.monotonic_s())
        except TenantLimitError:
            hold.release()
            raise
        return hold

    def open(self, order: Order, record: Record, asked: Repeatable | None = None) -> AnyExchange:
        """An exchange, not yet run; for a request that says so, the one it repeats.

        Raises:
            DrainingError: This process takes no new work.
            IdempotencyError: The request repeats one that it differs from, or whose answer is not kept.
        """
        if self.is_draining:
            raise DrainingError(retry_after_s=DRAIN_RETRY_S)
        if asked is None:
            return Exchange(self._means, order, record)
        joined = self._idempotency.find(asked, record, order.in_flight)
        return joined or self._idempotency.begin(asked, Exchange(self._means, order, record), order.in_flight)

    def settle_early(self, record: Record, error: GatewayError) -> None:
        """A request failed before it became an exchange."""
        answer = error_answer(error)
        self._means.observe(
            record.settle(outcome_of(error), status=answer.status, reason=answer.code, error=type(error).__name__)
        )

    def report(self, request_id: str, error: Exception) -> None:
        """An exception that nobody foresaw."""
        self._means.observe(Broke(request_id=request_id, error=error))

    async def run(self, exchange: AnyExchange, sink: Sink) -> None:
        """Run an exchange to its end."""
        self._live.add(exchange)
        try:
            await exchange.run(sink)
        finally:
            self._live.discard(exchange)
            if not self._live:
                self._settled.set()

    def background(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """Return the tasks that go on beside the exchanges, by name. Each runs until it is cancelled."""
        return {
            "review": self._review,
            "idempotency": self._idempotency.run,
            "health": self._means.health.run,
            **self._means.jobs.background(),
        }

    async def _review(self) -> None:
        while True:
            for upstream in self._means.upstreams.values():
                upstream.gates.work.measure_shares()
                upstream.review()
                upstream.gpu.advance()
            await anyio.sleep(MEASURE_S)

    async def drain(self, drain_s: float) -> None:
        """Take no new work, let what runs finish for `drain_s` seconds, then cut the rest and cancel its jobs."""
        self.is_draining = True
        with anyio.move_on_after(drain_s):
            await self._idle()
        for exchange in self._live:
            exchange.end(Ending.PROCESS)
        with anyio.move_on_after(FLUSH_S_MAX):
            await self._idle()
            await self._means.jobs.flush()

    async def _idle(self) -> None:
        while self._live:
            self._settled = anyio.Event()
            await self._settled.wait()
