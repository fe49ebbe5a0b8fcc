"""Provide capacity shared by all replicas: the last granted lease, or a part of the limit during an outage."""

import math
from collections.abc import Callable

from gateway.admission.capacity import Demand
from gateway.domain import OutagePolicy
from gateway.fairshare.adaptive_limit import AdaptiveLimit
from gateway.fairshare.cost_model import CostModel
from gateway.fairshare.lease import Contact, Lease
from gateway.fairshare.pacer import Pacer
from gateway.fairshare.remote_usage import GateElsewhere, TenantUse

CALLS_EACH_MIN = 10
"""Minimum calls per 10 s of a replica where a rate is divided among replicas: a smaller part cannot be paced evenly."""
RATE_MEMORY = 0.7
"""Weight of the previous mean when the number of calls per heartbeat is averaged."""
FORESIGHT = 1.25
"""Factor by which more tokens are asked for than were used recently: too few cost a round trip, too many take a part of
the rate from other replicas."""


class LeasedCapacity:
    """Represent the capacity of one class of calls at this replica."""

    def __init__(
        self,
        name: str,
        seats: int,
        *,
        calls_per_10s: float | None,
        policy: OutagePolicy,
        contact: Contact,
        on_demand: Callable[[bool], None],
    ) -> None:
        """Create the capacity; `on_demand` is called when seats (False) or calls (True) are missing here."""
        self.name = name
        self.seats_max = seats
        self.calls_per_10s = calls_per_10s
        self.lease = Lease(seats_max=seats, policy=policy, contact=contact)
        self.adaptive_limit = AdaptiveLimit()
        self._contact = contact
        self._on_hunger = on_demand
        self._pacer = Pacer(calls_per_10s) if calls_per_10s else None
        self._parts: int | None = None
        self._calls = 0
        self._calls_per_beat = 0.0
        self._demand: Demand | None = None
        self._remote: GateElsewhere | None = None

    def bind(self, demand: Demand, cost_model: CostModel) -> None:
        """Set the gate that uses this capacity."""
        self._demand = demand
        self._remote = GateElsewhere(cost_model.capacity_per_s)

    def resize(self, seats: int, cost_model: CostModel) -> None:
        """Set the number of seats that the next heartbeat asks for."""
        self.seats_max = self.lease.seats_max = seats
        self.remote.capacity_per_s = cost_model.capacity_per_s

    @property
    def demand(self) -> Demand:
        """Return the gate."""
        assert self._demand is not None  # noqa: S101 - a gate binds its capacity when it is made.
        return self._demand

    @property
    def remote(self) -> GateElsewhere:
        """Return the other replicas' use of the gate."""
        assert self._remote is not None  # noqa: S101 - see above.
        return self._remote

    def request_more(self) -> None:
        """Ask the lease agent for more, which may send the next heartbeat earlier: a ticket is waiting."""
        now_is_calls = self._pacer is not None and self.demand.occupancy.held < self.lease.limit
        self._on_hunger(now_is_calls)

    def seats(self, now_s: float) -> int:
        """Return the leased seats, reduced after 429s."""
        leased = self.lease.seats(now_s)
        return (
            leased
            if self.adaptive_limit.concurrency >= 1
            else min(leased, max(1, int(leased * self.adaptive_limit.concurrency)))
        )

    @property
    def paused_until_s(self) -> float:
        """Return the end of the pause after the last 429 at this replica."""
        return self.adaptive_limit.paused_until_s

    def ready_at_s(self, now_s: float) -> float:
        """Return when the next call may be sent; infinity if only the next answer of the store can tell.

        With a token a call may be sent now, or, while 429s reduce the rate, when the pacer allows it. In an outage the
        pacer decides as well.
        """
        paused_until_s = self.adaptive_limit.paused_until_s
        if self._pacer is None or paused_until_s > now_s:
            return paused_until_s
        if self.lease.has_token(now_s):
            return paused_until_s if self.adaptive_limit.rate >= 1 else self._pace(self._contact.replicas, now_s)
        parts = self.lease.parts(now_s)
        return float("inf") if parts is None else self._pace(parts, now_s)

    def _pace(self, parts: int, now_s: float) -> float:
        """Return when this replica's own part of the rate allows a call.

        If the rate is too low to be divided among all replicas, only those of the lowest ranks send.
        """
        assert self._pacer is not None and self.calls_per_10s is not None  # noqa: S101, PT018 - only asked of calls.
        senders = max(1, min(parts, int(self.calls_per_10s / CALLS_EACH_MIN)))
        if parts > senders:
            if self._contact.rank >= senders:
                return float("inf")
            parts = senders
        self._pacer.limit(self.calls_per_10s * self.adaptive_limit.rate / parts)
        if parts != self._parts:
            self._parts = parts
            self._pacer.spend_burst(now_s)
        return self._pacer.ready_at_s(now_s)

    def take(self, now_s: float) -> None:
        """Use a token if there is one, and record the call at the pacer, which counts all calls."""
        if self._pacer is None:
            return
        self._calls += 1
        if self.lease.has_token(now_s):
            self.lease.tokens -= 1
            if self.adaptive_limit.rate >= 1 and self._parts is not None:
                self._parts = None
                self._pacer.limit(self.calls_per_10s or 1)
        self._pacer.take(now_s)

    def used(self, held: int, now_s: float) -> float:
        """Return the part of the published limits that this replica uses."""
        return max(held / self.seats_max, self._calls_used(now_s))

    def _calls_used(self, now_s: float) -> float:
        if self._pacer is None or self.calls_per_10s is None:
            return 0.0
        return self._pacer.sent(now_s) / self.calls_per_10s

    def refused(self, held: int, now_s: float, *, retry_after_s: float | None, is_certain: bool = True) -> None:
        """Reduce the used part of the lease, and pause."""
        seats_used = held / max(1, self.seats(now_s))
        self.adaptive_limit.refused(
            seats_used=seats_used, retry_after_s=retry_after_s, now_s=now_s, is_certain=is_certain
        )

    def accepted(self, held: int, now_s: float) -> None:
        """Increase the used part again if it was reduced."""
        if not self.adaptive_limit.is_open:
            calls_used = self._calls_used(now_s) * self._contact.replicas / self.adaptive_limit.rate
            self.adaptive_limit.accepted(
                seats_used=held / max(1, self.seats(now_s)), calls_used=calls_used, now_s=now_s
            )

    def wanted_tokens(self) -> int:
        """Return how many calls to ask for, and start the next period of counting calls.

        These are the calls of waiting tickets, and somewhat more than were sent per heartbeat recently.
        """
        if self._pacer is None:
            return 0
        self._calls_per_beat = RATE_MEMORY * self._calls_per_beat + (1 - RATE_MEMORY) * self._calls
        self._calls = 0
        occupancy, recent = self.demand.occupancy, math.ceil(self._calls_per_beat * FORESIGHT - 0.5)
        # Tokens without a free seat could not be used, and would be lost to the other replicas.
        return min(occupancy.waiting, max(0, self.lease.limit - occupancy.held)) + recent

    def uses(self) -> dict[str, TenantUse]:
        """Return the use by the tenants at this replica, for reports to other replicas."""
        occupancy, served = self.demand.occupancy, self.demand.served()
        permits, tickets = occupancy.held_by_tenant(), occupancy.waiting_by_tenant()
        return {
            tenant: TenantUse(weight, permits.get(tenant, 0), tickets.get(tenant, 0), served.get(tenant, 0.0))
            for tenant, weight in occupancy.weights().items()
        }
