"""Admit requests to capacity through a bounded queue in which tenants share by weight."""

from collections.abc import Iterable, Mapping
from functools import partial
from operator import attrgetter

from gateway.admission.capacity import Capacity
from gateway.admission.cold_start_cap import ColdStartCap
from gateway.admission.permit import Permit
from gateway.admission.permit_context import PermitContext
from gateway.admission.wake_timer import WakeTimer
from gateway.clock import Clock
from gateway.domain import Tenant
from gateway.errors import NoTurnError, OverShareError, RefusedError
from gateway.fairshare.account import Account
from gateway.fairshare.adaptive_limit import PAUSE_S
from gateway.fairshare.cost_model import CostModel
from gateway.fairshare.fair_queue import FairQueue
from gateway.fairshare.overflow import QueueLimits, Verdict
from gateway.fairshare.remote_usage import UsageReport
from gateway.fairshare.share_ratios import ShareRatios

CAPPED_LOOK_S = 1.0
"""Seconds after which a ticket whose wait is over checks again whether the gate is still narrowed."""
LATE_S = 0.05
"""Seconds after a grant beyond which the call is counted when its task wakes: a busy event loop would bunch calls."""


class Gate:
    """Grant the capacity to the tickets of a queue. The state of a permit decides whether it has to be returned."""

    def __init__(
        self,
        capacity: Capacity,
        cost_model: CostModel,
        *,
        clock: Clock,
        limits: QueueLimits | None = None,
        capped_wait_s_max: float = float("inf"),
    ) -> None:
        """Create the gate; `capped_wait_s_max` limits the wait of a ticket, including the time under the cap."""
        self._capacity = capacity
        self._cost_model = cost_model
        self._clock = clock
        self._queue: FairQueue[Permit] = FairQueue(cost_model, limits, attrgetter("size"))
        self.occupancy = self._queue.occupancy
        self._timer = WakeTimer(self.pump)
        self.cold_start_cap = ColdStartCap()
        self._capped_wait_s_max = capped_wait_s_max
        self._shares = ShareRatios()
        self._weights: Mapping[str, float] = {}
        capacity.bind(self, cost_model)

    @property
    def held(self) -> dict[str, int]:
        """Return the number of permits by tenant."""
        return self.occupancy.held_by_tenant()

    @property
    def waiting(self) -> dict[str, int]:
        """Return the number of tickets by tenant."""
        return self.occupancy.waiting_by_tenant()

    @property
    def used(self) -> float:
        """Return the part of the capacity in use: of the seats or of the last window's calls, whichever is greater."""
        return self._capacity.used(self.occupancy.held, self._clock.monotonic_s())

    @property
    def has_line(self) -> bool:
        """Return True if tickets are waiting."""
        return bool(self._queue)

    @property
    def is_capped(self) -> bool:
        """Return True if there is a ceiling on the permits of each tenant."""
        return self.cold_start_cap.seats is not None

    def cap(self, seats: int) -> None:
        """Limit each tenant to `seats` permits until `uncap`, while no worker is up; waits may be longer meanwhile."""
        self.cold_start_cap.begin(seats, self._clock.monotonic_s())

    def uncap(self) -> None:
        """Remove the ceiling."""
        if self.is_capped:
            self.cold_start_cap.end(self._clock.monotonic_s())
            self.pump()

    def reweigh(self, weights: Mapping[str, float]) -> None:
        """Set weights that override those of earlier requests and of other replicas."""
        self._weights, now_s = weights, self._clock.monotonic_s()
        for tenant, weight in weights.items():
            self._queue.reweigh(tenant, weight, now_s)

    def resize(self, seats: int, cost_model: CostModel, *, capped_wait_s_max: float) -> None:
        """Change the number of seats; permits beyond it stay valid until they are released."""
        self._capacity.resize(seats, cost_model)
        self._queue.retune(cost_model)
        self._cost_model, self._capped_wait_s_max = cost_model, capped_wait_s_max
        self.pump()

    def served(self) -> dict[str, float]:
        """Return the total service of each tenant present, in the unit of the cost model."""
        return self._queue.served(self.occupancy.weights(), self._clock.monotonic_s())

    def charge(self, permit: Permit, cost: float) -> None:
        """Charge service that the seat of the permit does not accrue by itself, in the unit of the cost model."""
        permit.charged += cost
        self._queue.charge(permit.tenant.name, cost, self._clock.monotonic_s())

    def settle(self, permit: Permit, cost: float) -> None:
        """Replace all that was charged for a permit by its actual cost, also after it was returned."""
        self.charge(permit, cost - self._cost(permit))

    def forgive(self, permit: Permit) -> None:
        """Refund a permit without a result: its tenant is charged as if it was granted only now."""
        self._queue.forgive(permit.tenant.name, self._cost(permit), self._clock.monotonic_s())
        permit.charged, permit.since_s = 0.0, self._clock.monotonic_s()

    def refused_upstream(self, permit: Permit, *, retry_after_s: float | None, is_certain: bool = True) -> None:
        """Record a 429 from Runpod: reduce the capacity, and refund the call."""
        held, now_s = self.occupancy.held, self._clock.monotonic_s()
        self.forgive(permit)
        self._capacity.refused(held, now_s, retry_after_s=retry_after_s, is_certain=is_certain)

    def accepted_upstream(self) -> None:
        """Record that Runpod accepted a call."""
        self._capacity.accepted(self.occupancy.held, self._clock.monotonic_s())
        self.pump()

    def _cost(self, permit: Permit) -> float:
        """Return what was charged for a permit so far, without the price of its grant."""
        until_s = self._clock.monotonic_s() if permit.returned_at_s is None else permit.returned_at_s
        return permit.charged + self._cost_model.per_second * (until_s - permit.since_s)

    def measure_shares(self) -> None:
        """Sample the service of the tenants; to be called about once a second."""
        present = self._queue.present_anywhere(now_s := self._clock.monotonic_s())
        served = {tenant: total for tenant, (_, total) in present.items()}
        self._shares.note(served, {tenant: weight for tenant, (weight, _) in present.items()}, now_s)

    def fair_seats(self) -> dict[str, float]:
        """Return the seats that each tenant present at any replica is entitled to by its weight."""
        present = self._queue.present_anywhere(self._clock.monotonic_s())
        weights = sum(weight for weight, _ in present.values())
        return {tenant: self._capacity.seats_max * weight / weights for tenant, (weight, _) in present.items()}

    def share_ratios(self) -> dict[str, float]:
        """Return the recent service of each tenant divided by its fair share."""
        return self._shares.ratios()

    def note_remote_usage(self, news: Iterable[UsageReport]) -> None:
        """Record what other replicas do for the tenants: it counts as if it was done here."""
        own = ((name, self._weights.get(name, weight), held, served) for name, weight, held, served in news)
        self._queue.note_remote_usage(own, self._clock.monotonic_s())

    def permit(
        self, tenant: Tenant, *, wait_s_max: float, member: str = "", size: int = 0, is_urgent: bool = False
    ) -> PermitContext:
        """Wait for a grant, hold the permit for the body of the `async with`, and return it.

        The arguments and errors are those of `request` and `conclude`.
        """
        return PermitContext(
            self, partial(self.request, tenant, wait_s_max=wait_s_max, member=member, size=size, is_urgent=is_urgent)
        )

    def hold(self, tenant: Tenant) -> Permit:
        """Hold a permit for work that already runs, regardless of the capacity; the caller releases it."""
        now_s = self._clock.monotonic_s()
        permit = Permit(tenant, size=0, now_s=now_s, give_back=self._give_back)
        self._grant_at_once(permit, self._weights.get(tenant.name, tenant.weight), now_s)
        return permit

    def _grant_at_once(self, permit: Permit, weight: float, now_s: float) -> None:
        self._queue.grant_at_once(tenant=permit.tenant.name, weight=weight, now_s=now_s)
        permit.grant(now_s)

    def request(
        self, tenant: Tenant, *, wait_s_max: float, member: str = "", size: int = 0, is_urgent: bool = False
    ) -> Permit:
        """Return a permit: granted, or waiting in the queue. Never waits.

        The caller releases it. If it waits, `conclude` it when it was granted or evicted, or when `wait_left_s` is 0.
        `member` identifies the API key or client network; `size` is the memory held while waiting, in bytes.

        Raises:
            OverShareError: The tenant uses or queues its share, and no grant is expected within `wait_s_max`.
            NoTurnError: Runpod asked for a pause that is longer.
        """
        now_s = self._clock.monotonic_s()
        permit = Permit(tenant, size=size, now_s=now_s, give_back=self._give_back, wait_s_max=wait_s_max)
        weight = self._weights.get(tenant.name, tenant.weight)
        is_at_cap = self.cold_start_cap.is_full(tenant.name, self._queue.held_by(tenant.name))
        has_seat = self.occupancy.held < self._capacity.seats(now_s) and not is_at_cap
        if has_seat and not self._queue and self._capacity.ready_at_s(now_s) <= now_s:
            self._capacity.take(now_s)
            self._grant_at_once(permit, weight, now_s)
            return permit
        if self._capacity.paused_until_s - now_s > max(wait_s_max, PAUSE_S):
            # Runpod asked for a longer pause than this request may wait: reject it now, with the time left.
            raise NoTurnError(retry_after_s=self._capacity.paused_until_s - now_s)
        permit.capped_s = self.cold_start_cap.total_s(now_s)
        if self._queue or not has_seat:
            # Otherwise it is the first ticket, and waits only until the next call may be sent.
            self._make_room(permit, weight, wait_s_max, now_s)
        self._queue.enqueue(permit, tenant=tenant.name, weight=weight, member=member, is_urgent=is_urgent, now_s=now_s)
        self.pump()
        return permit

    def wait_left_s(self, permit: Permit) -> float:
        """Return the seconds until a waiting permit has to be concluded, or this has to be called again; see `cap`."""
        now_s = self._clock.monotonic_s()
        waited_s = now_s - permit.ticket_at_s
        left_s = permit.wait_s_max - (waited_s - (self.cold_start_cap.total_s(now_s) - permit.capped_s))
        if self.is_capped:
            left_s = min(max(left_s, CAPPED_LOOK_S), self._capped_wait_s_max - waited_s)
        return left_s

    def conclude(self, permit: Permit) -> None:
        """End the wait of a permit: return if it is granted; otherwise release it, and raise its refusal.

        Raises:
            OverShareError: It was evicted, or its tenant has its share.
            NoTurnError: Its tenant holds less than its share: capacity is missing.
        """
        if permit.granted_at_s is None:
            refusal = self._refusal(permit)
            permit.release()
            raise refusal
        now_s = self._clock.monotonic_s()
        if now_s - permit.granted_at_s > LATE_S:
            # Counted again at the time of the call.
            self._capacity.take(now_s)

    def _make_room(self, permit: Permit, weight: float, wait_s_max: float, now_s: float) -> None:
        """Make room for a ticket that has to wait, by evicting others if the queue is full.

        Raises:
            OverShareError: There is no room for it.
        """
        # The lease may grow with the next heartbeat, so the prediction uses the seats of all replicas.
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
            evicted.evict(self._queue.told_wait_s(evicted.tenant.name, seats))

    def _refusal(self, permit: Permit) -> RefusedError:
        """Build the error of a ticket without a grant: its tenant has its share, or capacity is missing."""
        if permit.retry_after_s is not None:
            return OverShareError(retry_after_s=permit.retry_after_s)
        seats = self._capacity.seats(now_s := self._clock.monotonic_s())
        retry_after_s = max(self._capacity.paused_until_s - now_s, self._queue.told_wait_s(permit.tenant.name, seats))
        held = self._queue.held_anywhere(permit.tenant.name)
        is_over_share = held > 0 and held + 1 > self.fair_seats()[permit.tenant.name]
        return (OverShareError if seats and is_over_share else NoTurnError)(retry_after_s=retry_after_s)

    def pump(self) -> None:
        """Grant as many tickets as there are seats and calls now. Never awaits."""
        while self._queue:
            now_s = self._clock.monotonic_s()
            self.cold_start_cap.look(now_s)
            if self.occupancy.held >= self._capacity.seats(now_s):
                self._capacity.request_more()
                return
            ready_at_s = self._capacity.ready_at_s(now_s)
            if ready_at_s > now_s:
                if ready_at_s == float("inf"):
                    self._capacity.request_more()
                else:
                    self._timer.set(ready_at_s - now_s)
                return
            permit = self._queue.grant(now_s, self._may_enter if self.is_capped else None)
            if permit is None:
                return
            self._capacity.take(now_s)
            permit.grant(now_s)

    def _may_enter(self, account: Account[Permit]) -> bool:
        return not self.cold_start_cap.is_full(account.tenant, account.held)

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
