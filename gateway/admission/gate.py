"""A gate: so many seats, so many calls a while, and a bounded line before it in which tenants share by weight."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from gateway.clock import Clock
from gateway.domain import Tenant
from gateway.errors import NoTurnError
from gateway.fairshare.pacer import Pacer
from gateway.fairshare.share_order import ShareOrder

HOLD_S_FIRST_GUESS = 5.0
"""How long a seat is held, until the first one was given back."""
_HOLD_WEIGHT = 0.1


class Permit:
    """A ticket, and after its turn the permit. `wait_s` is how long it waited."""

    __slots__ = ("_turn", "granted_at_s", "tenant", "ticket_at_s")

    def __init__(self, tenant: str, now_s: float) -> None:
        self.tenant = tenant
        """By name."""
        self.ticket_at_s = now_s
        self.granted_at_s: float | None = None
        self._turn: anyio.Event | None = None

    @property
    def wait_s(self) -> float:
        """Seconds between ticket and permit."""
        return 0.0 if self.granted_at_s is None else self.granted_at_s - self.ticket_at_s

    def grant(self, now_s: float) -> None:
        """Its turn has come."""
        self.granted_at_s = now_s
        if self._turn is not None:
            self._turn.set()

    async def turn(self) -> None:
        """Wait for the turn."""
        self._turn = anyio.Event()
        await self._turn.wait()


class Gate:
    """Seats, an optional pacer, and an order of those who wait.

    Whether a permit has to be returned is decided by its state, never by how far the waiting code got: a grant and a
    cancellation can meet in one tick.
    """

    def __init__(self, *, seats: int, waiting_max: int, clock: Clock, pacer: Pacer | None = None) -> None:
        """With a pacer calls are what is scarce, and are shared by number; without one, seats by the second.

        `waiting_max` bounds each tenant's line, so that a full one is nobody else's.
        """
        self._seats = seats
        self._waiting_max = waiting_max
        self._clock = clock
        self._pacer = pacer
        self._order: ShareOrder[Permit] = (
            ShareOrder.of_seats(seats) if pacer is None else ShareOrder.of_calls(pacer.calls_per_s)
        )
        self._timer: asyncio.TimerHandle | None = None
        self._hold_s = HOLD_S_FIRST_GUESS
        self._held: Counter[str] = Counter()
        self._held_total = 0
        self._waiting: Counter[str] = Counter()

    @property
    def held(self) -> dict[str, int]:
        """Permits by tenant."""
        return dict(self._held)

    @property
    def waiting(self) -> dict[str, int]:
        """Tickets by tenant."""
        return dict(self._waiting)

    @property
    def used(self) -> float:
        """The part of its budget that is used now: of the seats, or of the last window's calls."""
        seats_used = self._held_total / self._seats
        if self._pacer is None:
            return seats_used
        return max(seats_used, self._pacer.used(self._clock.monotonic_s()))

    @property
    def has_line(self) -> bool:
        """Whether somebody waits."""
        return len(self._order) > 0

    @asynccontextmanager
    async def permit(self, tenant: Tenant, *, wait_s_max: float, is_urgent: bool = False) -> AsyncIterator[Permit]:
        """Wait for a turn, hold the permit for the body of the `async with`, give it back.

        Raises:
            NoTurnError: The tenant's line is too long, or no turn came within `wait_s_max`.
        """
        permit = Permit(tenant.name, self._clock.monotonic_s())
        if self._waiting[tenant.name] >= self._waiting_max:
            raise NoTurnError(retry_after_s=self._predicted_wait_s())
        now_s = permit.ticket_at_s
        self._order.enqueue(permit, tenant=tenant.name, weight=tenant.weight, is_urgent=is_urgent, now_s=now_s)
        self._waiting[tenant.name] += 1
        try:
            self._pump()
            if permit.granted_at_s is None:
                with anyio.move_on_after(wait_s_max):
                    await permit.turn()
            if permit.granted_at_s is None:
                raise NoTurnError(retry_after_s=self._predicted_wait_s())
            yield permit
        finally:
            self._give_back(permit)

    def _pump(self) -> None:
        """Grant as many turns as there are seats and calls now. Never awaits."""
        while len(self._order) and self._held_total < self._seats:
            now_s = self._clock.monotonic_s()
            if self._pacer is not None:
                ready_at_s = self._pacer.ready_at_s(now_s)
                if ready_at_s > now_s:
                    self._wake_in(ready_at_s - now_s)
                    return
                self._pacer.take(now_s)
            permit = self._order.grant(now_s)
            if permit is None:
                return
            _count_down(self._waiting, permit.tenant)
            self._held[permit.tenant] += 1
            self._held_total += 1
            permit.grant(now_s)

    def _wake_in(self, delay_s: float) -> None:
        """Come back when the pacer allows the next call: one timer, however many wait."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._pump()

    def _give_back(self, permit: Permit) -> None:
        if permit.granted_at_s is None:
            self._order.withdraw(permit, tenant=permit.tenant)
            _count_down(self._waiting, permit.tenant)
        else:
            now_s = self._clock.monotonic_s()
            held_s = now_s - permit.granted_at_s
            self._held_total -= 1
            self._order.release(tenant=permit.tenant, held_s=held_s, now_s=now_s)
            self._hold_s += _HOLD_WEIGHT * (held_s - self._hold_s)
            _count_down(self._held, permit.tenant)
        self._pump()
        if not len(self._order) and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _predicted_wait_s(self) -> float:
        return (len(self._order) + 1) * self._hold_s / max(1, self._seats)


def _count_down(counter: Counter[str], tenant: str) -> None:
    """One less; a tenant at zero leaves, so that the counter holds only those who are there."""
    counter[tenant] -= 1
    if counter[tenant] <= 0:
        del counter[tenant]
