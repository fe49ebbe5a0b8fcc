"""Track all exchanges of this process: open them while it serves, and wait for or cut them when it drains."""

from collections import Counter
from collections.abc import Awaitable, Callable

import anyio
import msgspec

from gateway.admission.ref_counted_hold import RefCountedHold, hold_in_flight
from gateway.clock import Clock
from gateway.domain import Operation
from gateway.errors import DrainingError, GatewayError, TenantLimitError
from gateway.events import Broke, Outcome
from gateway.exchange.asyncio_driver import AsyncioDriver
from gateway.exchange.connection_driver import ConnectionDriver
from gateway.exchange.drain_plan import FLUSH_S, cuts_due, flush_s_max
from gateway.exchange.driver import ExchangeDriver
from gateway.exchange.idempotency import KEPT_BYTES_MAX, Idempotency, JoinedExchange, Name, Repeatable
from gateway.exchange.outcomes import DRAIN_RETRY_S, Ending, outcome_of
from gateway.exchange.record import Record
from gateway.exchange.resolved_request import ResolvedRequest, Services
from gateway.exchange.sink import CallbackSink, Sink
from gateway.fairshare.pacer import WINDOW_S
from gateway.fairshare.quota import TenantQuota
from gateway.translate.error_body import error_answer

MEASURE_S = 1.0
DEADLINES_S = 0.05
"""Seconds between two checks of all exchanges: a timeout is noticed at most this late."""
CUT_S = 0.5
"""Seconds between checks of a draining process whether it has to cut answers early."""

AnyExchange = AsyncioDriver | ConnectionDriver | JoinedExchange


class LeftRunning(msgspec.Struct, frozen=True, kw_only=True):
    """Report what may still run at Runpod after a process has drained, by endpoint."""

    jobs: dict[str, int]
    """Number of jobs whose cancels are not confirmed."""
    abandoned: dict[str, int]
    """Number of attempts that have no id by which they could be cancelled."""


class ExchangeRegistry:
    """Open exchanges, and track those in progress."""

    def __init__(self, services: Services, *, kept_bytes_max: int = KEPT_BYTES_MAX) -> None:
        """Create it; `kept_bytes_max` bounds the memory of answers that are kept for an `Idempotency-Key`."""
        self.is_draining = False
        self._services = services
        self._idempotency = Idempotency(services.clock, services.observe, self.run, bytes_max=kept_bytes_max)
        self._live: set[AnyExchange] = set()
        self._settled = anyio.Event()

    @property
    def count(self) -> int:
        """Return the number of exchanges in progress."""
        return len(self._live)

    def record(self, request_id: str) -> Record:
        """Create the record of a request."""
        return Record(request_id=request_id, clock=self._services.clock)

    def enter(self, quota: TenantQuota, repeated: Name | None = None) -> RefCountedHold:
        """Count a request, and hold its place in flight; the exchange that is opened for it ends its first use.

        A request that repeats another by its name, while no client waits for the answer, takes over the place that is
        held for that answer.

        Raises:
            TenantLimitError: The tenant is at its limit of requests in flight, or in this minute; or it has no tokens
                left for a request that is not a repeat, and that is counted nevertheless.
        """
        inherited = None
        if repeated is None or not self._idempotency.knows(repeated):
            now_s = self._services.clock.monotonic_s()
            try:
                quota.check_debt(now_s)
            except TenantLimitError:
                quota.count(now_s)
                raise
        else:
            inherited = self._idempotency.inherit(repeated)
        if inherited is None:
            return hold_in_flight(quota, self._services.clock)
        hold = RefCountedHold(inherited)
        try:
            quota.count(self._services.clock.monotonic_s())
        except TenantLimitError:
            hold.release()
            raise
        return hold

    def open(
        self,
        resolved: ResolvedRequest,
        record: Record,
        asked: Repeatable | None = None,
        *,
        has_connection: bool = False,
    ) -> AnyExchange:
        """Return an exchange to be run: a new one, or for a request with an idempotency key the one that it repeats.

        `has_connection` is True if its client can be sent data without waiting (`CallbackSink`).

        Raises:
            DrainingError: This process accepts no new requests.
            IdempotencyError: The request repeats one that it differs from, or whose answer is not kept.
        """
        if self.is_draining:
            raise DrainingError(retry_after_s=DRAIN_RETRY_S)
        if asked is None:
            kind = ConnectionDriver if has_connection else AsyncioDriver
            return kind(self._services, resolved, record)
        joined = self._idempotency.find(asked, record, resolved.in_flight)
        if joined is not None:
            return joined
        driver = AsyncioDriver(self._services, resolved, record)
        return self._idempotency.begin(asked, driver, resolved.in_flight)

    def settle_early(self, record: Record, error: GatewayError) -> None:
        """Settle a request that failed before it became an exchange."""
        answer = error_answer(error)
        self._services.observe(
            record.settle(outcome_of(error), status=answer.status, reason=answer.code, error=type(error).__name__)
        )

    def settle_local(self, record: Record) -> None:
        """Settle a request that the gateway answered itself, without an exchange."""
        self._services.observe(record.settle(Outcome.COMPLETED, status=200))

    def report(self, request_id: str, error: Exception) -> None:
        """Report an unexpected exception."""
        self._services.observe(Broke(request_id=request_id, error=error))

    @property
    def clock(self) -> Clock:
        """Return the clock of all exchanges."""
        return self._services.clock

    def run(self, exchange: AnyExchange, sink: Sink | CallbackSink) -> Awaitable[None]:
        """Run an exchange to its end, and track it until then. Its driver decides which kind of sink it needs."""
        self._live.add(exchange)
        exchange.on_over = self._over
        # Returned and not awaited here: every function that waits costs time with each piece of an answer.
        return exchange.run(sink)  # type: ignore[arg-type]  # `open` chose the driver by the kind of sink.

    def _over(self, exchange: AnyExchange) -> None:
        self._live.discard(exchange)
        if not self._live:
            self._settled.set()
            self._settled = anyio.Event()

    def background(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """Return the background tasks by name. Each runs until it is cancelled."""
        return {
            "review": self._review,
            "deadlines": self._check_deadlines,
            "idempotency": self._idempotency.run,
            "health": self._services.health.run,
            **self._services.jobs.background(),
        }

    async def _review(self) -> None:
        while True:
            for upstream in self._services.upstreams.values():
                upstream.gates.work.measure_shares()
                upstream.review()
                upstream.gpu.advance()
            await anyio.sleep(MEASURE_S)

    async def _check_deadlines(self) -> None:
        """Report timeouts to the exchanges: one loop for all of them costs less than a timer for each."""
        while True:
            self._check_all(self._services.clock.monotonic_s())
            await anyio.sleep(DEADLINES_S)

    def _check_all(self, now_s: float) -> None:
        # A function of its own: the loop's variable would hold the last exchange, with its request, until the next one.
        for exchange in [each for each in self._live if isinstance(each, ExchangeDriver)]:
            try:
                exchange.check(now_s)
            except Exception as error:  # noqa: BLE001 - one broken exchange must not stop the others' timeouts.
                self.report(exchange.record.request_id, error)

    async def drain(self, drain_s: float, *, is_hurried: bool = False) -> "LeftRunning":
        """Accept no new requests, let the others finish for `drain_s` seconds, then cut the rest and cancel their jobs.

        If there are more jobs than can be cancelled after that, answers are cut earlier; `is_hurried` limits the time
        for cancels to `FLUSH_S`.

        Returns:
            What may still run at Runpod.
        """
        self.is_draining = True
        with anyio.move_on_after(drain_s) as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._cut_early, scope.deadline)
                await self._idle()
                tasks.cancel_scope.cancel()
        for exchange in list(self._live):
            exchange.end(Ending.PROCESS)
        with anyio.move_on_after(FLUSH_S):
            await self._idle()
        needed_s = [flush_s_max(count, cancels_per_s=self._rates[at]) for at, count in self._pending().items()]
        with anyio.move_on_after(FLUSH_S if is_hurried else max(needed_s, default=FLUSH_S)):
            await self._services.jobs.flush()
        upstreams = self._services.upstreams
        return LeftRunning(
            jobs={name: count for name, count in self._services.jobs.cancels_pending().items() if count},
            abandoned={name: len(each.abandoned) for name, each in upstreams.items() if each.abandoned},
        )

    async def _cut_early(self, until_s: float) -> None:
        """Cut answers before the end of the drain, if their jobs could not all be cancelled after it."""
        while True:
            pending = self._pending()
            for address, exchanges in self._cuttable().items():
                count = cuts_due(
                    len(exchanges),
                    pending.get(address, 0),
                    cancels_per_s=self._rates[address],
                    left_s=until_s - anyio.current_time(),
                )
                for exchange in exchanges[:count]:
                    exchange.end(Ending.PROCESS)
            await anyio.sleep(CUT_S)

    def _cuttable(self) -> dict[str, list[ExchangeDriver]]:
        """Return the exchanges whose jobs would have to be cancelled, by the endpoint's address, the newest first."""
        found: dict[str, list[ExchangeDriver]] = {}
        own = [each for each in self._live if isinstance(each, ExchangeDriver)]
        for each in sorted(own, key=lambda each: each.record.elapsed_s()):
            if each.record.job_id is not None and each.may_be_cut:
                found.setdefault(self._address_of(each.record.endpoint), []).append(each)
        return found

    def _pending(self) -> dict[str, int]:
        """Return the number of unconfirmed cancels by address: all entries for one Runpod endpoint share its budget."""
        found = Counter[str]()
        for name, count in self._services.jobs.cancels_pending().items():
            found[self._address_of(name)] += count
        return found

    def _address_of(self, endpoint: str) -> str:
        return self._services.upstreams[endpoint].endpoint.address

    @property
    def _rates(self) -> dict[str, float]:
        """Return the cancels per second by address, as limited by the first entry with that address."""
        rates: dict[str, float] = {}
        for upstream in self._services.upstreams.values():
            rates.setdefault(upstream.endpoint.address, upstream.endpoint.limit(Operation.CANCEL).per_10s / WINDOW_S)
        return rates

    async def _idle(self) -> None:
        while self._live:
            await self._settled.wait()
