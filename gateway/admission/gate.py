"""Admit requests to capacity through a bounded queue in which tenants share by weight."""

from collections.abc import Iterable, Mapping
from operator import attrgetter

import anyio

from gateway.admission.capacity import Capacity
from gateway.admission.narrowing import Narrowing
from gateway.admission.permit import Permit, Turn
from gateway.admission.wake_timer import WakeTimer
from gateway.clock import Clock
from gateway.domain import Tenant
from gateway.errors import NoTurnError, OverShareError, RefusedError
from gateway.fairshare.account import Account
from gateway.fairshare.elsewhere import News
from gateway.fairshare.fair_queue import FairQueue
from gateway.fairshare.overflow import QueueLimits, Verdict
from gateway.fairshare.share_meter import ShareMeter
from gateway.fairshare.tariff import Tariff
from gateway.fairshare.throttle import PAUSE_S

NARROW_LOOK_S = 1.0
"""How often a ticket whose time is up looks whether the gate is still narrowed."""
LATE_S = 0.05
"""A permit that its owner learns of so much later counts as a call sent then, or a busy loop would bunch the calls."""


class Gate:
    """Grant what a capacity has to the tickets of a queue.

    Whether a permit has to be returned is decided by its state, never by how far the waiting code got: a grant and a
    cancellation can meet in one tick.
    """

    def __init__(
        self,
        capacity: Capacity,
        tariff: Tariff,
        *,
        clock: Clock,
        limits: QueueLimits | None = None,
        narrow_wait_s_max: float = float("inf"),
    ) -> None:
        """`narrow_wait_s_max` is the longest wait of a ticket, the time that the gate is narrowed included."""
        self._capacity = capacity
        self._tariff = tariff
        self._clock = clock
        self._queue: FairQueue[Permit] = FairQueue(tariff, limits, attrgetter("size"))
        self.occupancy = self._queue.occupancy
        self._timer = WakeTimer(self.pump)
        self.narrowing = Narrowing()
        self._narrow_wait_s_max = narrow_wait_s_max
        self._shares = ShareMeter()
        self._weights: Mapping[str, float] = {}
        capacity.bind(self, tariff)

    @property
    def held(self) -> dict[str, int]:
        """Permits by tenant."""
        return self.occupancy.held_by_tenant()

    @property
    def waiting(self) -> dict[str, int]:
        """Tickets by tenant."""
        return self.occupancy.waiting_by_tenant()

    @property
    def used(self) -> float:
        """The part of its budget that is used now: of the seats, or of the last window's calls."""
        return self._capacity.used(self.occupancy.held, self._clock.monotonic_s())

    @property
    def has_line(self) -> bool:
        """Whether somebody waits."""
        return bool(self._queue)

    @property
    def is_narrowed(self) -> bool:
        """Whether less is let through than there is capacity for."""
        return self.narrowing.seats is not None

    def narrow(self, seats: int) -> None:
        """Let only so many of a tenant through until `widen`: what they are for is not there, and waits are longer."""
        self.narrowing.begin(seats, self._clock.monotonic_s())

    def widen(self) -> None:
        """Let through again whatever there is capacity for."""
        if self.is_narrowed:
            self.narrowing.end(self._clock.monotonic_s())
            self.pump()

    def reweigh(self, weights: Mapping[str, float]) -> None:
        """Weigh these tenants so from now on, whatever requests that came before and other replicas say."""
        self._weights, now_s = weights, self._clock.monotonic_s()
        for tenant, weight in weights.items():
            self._queue.reweigh(tenant, weight, now_s)

    def resize(self, seats: int, tariff: Tariff, *, narrow_wait_s_max: float) -> None:
        """Grant so many seats from now on; whoever holds one beyond them keeps it to its end."""
        self._capacity.resize(seats, tariff)
        self._queue.retune(tariff)
        self._tariff, self._narrow_wait_s_max = tariff, narrow_wait_s_max
        self.pump()

    def served(self) -> dict[str, float]:
        """All service of the tenants present, in the unit of the tariff."""
        return self._queue.served(self.occupancy.weights(), self._clock.monotonic_s())

    def charge(self, permit: Permit, cost: float) -> None:
        """Service that the permit's seat does not show by itself, in the unit of the tariff."""
        permit.charged += cost
        self._queue.charge(permit.tenant.name, cost, self._clock.monotonic_s())

    def settle(self, permit: Permit, cost: float) -> None:
        """All that was charged for a permit gives way to what it came to. Also after it was given back."""
        self.charge(permit, cost - self._cost(permit))

    def forgive(self, permit: Permit) -> None:
        """Nothing came of the permit so far: its tenant is charged as if it had been granted only now."""
        self._queue.forgive(permit.tenant.name, self._cost(permit), self._clock.monotonic_s())
        permit.charged, permit.since_s = 0.0, self._clock.monotonic_s()

    def refused_upstream(self, permit: Permit, *, retry_after_s: float | None, is_certain: bool = True) -> None:
        """Runpod answered 429: less is used from now on, and nobody is charged for the call."""
        held, now_s = self.occupancy.held, self._clock.monotonic_s()
        self.forgive(permit)
        self._capacity.refused(held, now_s, retry_after_s=retry_after_s, is_certain=is_certain)

    def accepted_upstream(self) -> None:
        """Runpod took a call."""
        self._capacity.accepted(self.occupancy.held, self._clock.monotonic_s())
        self.pump()

    def _cost(self, permit: Permit) -> float:
        """What a permit was charged so far, the price of its grant not counted."""
        until_s = self._clock.monotonic_s() if permit.returned_at_s is None else permit.returned_at_s
        return permit.charged + self._tariff.per_second * (until_s - permit.since_s)

    def measure_shares(self) -> None:
        """Take note of what tenants had; to be called every second or so."""
        present = self._queue.present_anywhere(now_s := self._clock.monotonic_s())
        served = {tenant: total for tenant, (_, total) in present.items()}
        self._shares.note(served, {tenant: weight for tenant, (weight, _) in present.items()}, now_s)

    def fair_seats(self) -> dict[str, float]:
        """The seats that the weights of those present entitle them to, wherever they are."""
        present = self._queue.present_anywhere(self._clock.monotonic_s())
        weights = sum(weight for weight, _ in present.values())
        return {tenant: self._capacity.seats_max * weight / weights for tenant, (weight, _) in present.items()}

    def share_ratios(self) -> dict[str, float]:
        """What tenants had of late, by what their weights entitle them to."""
        return self._shares.ratios()

    def note_elsewhere(self, news: Iterable[News]) -> None:
        """What other replicas do for the tenants: it counts as if it were done here."""
        own = ((name, self._weights.get(name, weight), held, served) for name, weight, held, served in news)
        self._queue.note_elsewhere(own, self._clock.monotonic_s())

    def permit(
        self, tenant: Tenant, *, wait_s_max: float, member: str = "", size: int = 0, is_urgent: bool = False
    ) -> Turn:
        """Wait for a turn, hold the permit for the body of the `async with`, give it back.

        `member` is who of the tenant asks, `size` what its waiting keeps in memory, in bytes.

        Raises:
            OverShareError: The tenant has its share in use or in line, and no turn will come within `wait_s_max`.
            NoTurnError: It has not, and none came: capacity is missing.
        """
        return Turn(self._admit(tenant, wait_s_max=wait_s_max, member=member, size=size, is_urgent=is_urgent))

    def hold(self, tenant: Tenant) -> Permit:
        """Hold a permit for work that runs already, whether or not there is capacity for it; its owner releases it."""
        now_s = self._clock.monotonic_s()
        permit = Permit(tenant, size=0, now_s=now_s, give_back=self._give_back)
        self._grant_at_once(permit, self._weights.get(tenant.name, tenant.weight), now_s)
        return permit

    def _grant_at_once(self, permit: Permit, weight: float, now_s: float) -> None:
        self._queue.grant_at_once(tenant=permit.tenant.name, weight=weight, now_s=now_s)
        permit.grant(now_s)

    async def _admit(self, tenant: Tenant, *, wait_s_max: float, member: str, size: int, is_urgent: bool) -> Permit:
        now_s = self._clock.monotonic_s()
        permit = Permit(tenant, size=size, now_s=now_s, give_back=self._give_back)
        has_seat = self.occupancy.held < self._capacity.seats(now_s)
        has_seat &= not self.narrowing.is_full(tenant.name, self._queue.held_by(tenant.name))
        weight = self._weights.get(tenant.name, tenant.weight)
        if has_seat and not self._queue and self._capacity.ready_at_s(now_s) <= now_s:
            self._capacity.take(now_s)
            self._grant_at_once(permit, weight, now_s)
            return permit
        if self._capacity.paused_until_s - now_s > max(wait_s_max, PAUSE_S):
            # Runpod asked for a longer pause than this request may wait: say so now, and for how long.
            raise NoTurnError(retry_after_s=self._capacity.paused_until_s - now_s)
        permit.narrowed_s = self.narrowing.total_s(now_s)
        if self.has_line or not has_seat:
            self._make_room(permit, weight, wait_s_max, now_s)
        self._queue.enqueue(permit, tenant=tenant.name, weight=weight, member=member, is_urgent=is_urgent, now_s=now_s)
        try:
            self.pump()
            if permit.is_waiting:
                await self._wait(permit, wait_s_max)
                self._note_late(permit)
        except BaseException:
            self._give_back(permit)
            raise
        if permit.granted_at_s is None:
            refusal = permit.refusal or self._refusal(permit)
            self._give_back(permit)
            raise refusal
        return permit

    async def _wait(self, permit: Permit, wait_s_max: float) -> None:
        """Wait for the turn. The time that the gate is narrowed does not count, but the whole has a limit too."""
        while permit.is_waiting:
            now_s = self._clock.monotonic_s()
            waited_s = now_s - permit.ticket_at_s
            left_s = wait_s_max - (waited_s - (self.narrowing.total_s(now_s) - permit.narrowed_s))
            if self.is_narrowed:
                left_s = min(max(left_s, NARROW_LOOK_S), self._narrow_wait_s_max - waited_s)
            if left_s <= 0:
                return
            with anyio.move_on_after(left_s):
                await permit.turn()

    def _make_room(self, permit: Permit, weight: float, wait_s_max: float, now_s: float) -> None:
        """Let a ticket in that has to wait, at another's cost where the line is full.

        Raises:
            OverShareError: There is no room for it.
        """
        # What is leased may grow with the next heartbeat: a wait is without hope only by all that there is.
        tenant, seats = permit.tenant, self._capacity.seats_max if self._capacity.seats(now_s) else 0
        while True:
            verdict = self._queue.verdict(
                tenant=tenant.name, weight=weight, size=permit.size, seats=seats, wait_s_max=wait_s_max, now_s=now_s
            )
            if verdict is Verdict.WAIT:
                return
            if verdict is Verdict.REFUSE:
                raise OverShareError(retry_after_s=self._queue.told_wait_s(tenant.name, seats))
            evicted = self._queue.evict()
            evicted.refuse(OverShareError(retry_after_s=self._queue.told_wait_s(evicted.tenant.name, seats)))

    def _refusal(self, permit: Permit) -> RefusedError:
        """Why no turn came: its tenant has its share already, or there is not enough for everybody's."""
        seats = self._capacity.seats(now_s := self._clock.monotonic_s())
        retry_after_s = max(self._capacity.paused_until_s - now_s, self._queue.told_wait_s(permit.tenant.name, seats))
        held = self._queue.held_anywhere(permit.tenant.name)
        is_over_share = held > 0 and held + 1 > self.fair_seats()[permit.tenant.name]
        return (OverShareError if seats and is_over_share else NoTurnError)(retry_after_s=retry_after_s)

    def _note_late(self, permit: Permit) -> None:
        now_s = self._clock.monotonic_s()
        if permit.granted_at_s is not None and now_s - permit.granted_at_s > LATE_S:
            self._capacity.take(now_s)

    def pump(self) -> None:
        """Grant as many turns as there are seats and calls now. Never awaits."""
        while self._queue:
            now_s = self._clock.monotonic_s()
            self.narrowing.look(now_s)
            if self.occupancy.held >= self._capacity.seats(now_s):
                self._capacity.starve()
                return
            ready_at_s = self._capacity.ready_at_s(now_s)
            if ready_at_s > now_s:
                if ready_at_s == float("inf"):
                    self._capacity.starve()
                else:
                    self._timer.set(ready_at_s - now_s)
                return
            permit = self._queue.grant(now_s, self._may_enter if self.is_narrowed else None)
            if permit is None:
                return
            self._capacity.take(now_s)
            permit.grant(now_s)

    def _may_enter(self, account: Account[Permit]) -> bool:
        return not self.narrowing.is_full(account.tenant, account.held)

    def _give_back(self, permit: Permit) -> None:
        if permit.is_waiting:
            self._queue.withdraw(permit, tenant=permit.tenant.name)
        elif permit.granted_at_s is not None:
            now_s = permit.returned_at_s = self._clock.monotonic_s()
            held_s = now_s - permit.granted_at_s
            self._queue.release(tenant=permit.tenant.name, cost=self._cost(permit), held_s=held_s, now_s=now_s)
        self.pump()
        if self._timer.is_set and not self.has_line:
            self._timer.cancel()
