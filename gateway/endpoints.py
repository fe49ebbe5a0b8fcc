"""Build the endpoints of one process, and what those of them share that have one address at Runpod."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial

import httpx

from gateway.admission.capacity import Capacities
from gateway.admission.gates import CallBudgets, EndpointGates
from gateway.admission.lease_agent import LeaseAgent
from gateway.clock import Clock
from gateway.domain import Endpoint
from gateway.exchange.abandoned import AbandonedAttempts
from gateway.exchange.at_address import AtAddress
from gateway.exchange.events import Observer
from gateway.exchange.gpu_time import GpuTime
from gateway.exchange.under_way import UnderWay
from gateway.exchange.upstream import Upstream
from gateway.fairshare.room import Room
from gateway.observability.readings import Reading
from gateway.upstream.client import EndpointClient

SETTLE_S = 0.1
"""How long the end of an answer at Runpod may be on its way here: then a reading of /health is compared with it."""
SETTLE_SHARED_S = 0.8
"""The same for what another replica learns: two of its heartbeats, and a little more."""


class Endpoints:
    """Hold all endpoints of this process."""

    def __init__(
        self,
        endpoints: Iterable[Endpoint],
        *,
        transport: httpx.AsyncBaseTransport,
        answers: Room,
        capacities: Capacities,
        clock: Clock,
        observe: Observer,
    ) -> None:
        self._transport = transport
        self.answers = answers
        self._capacities = capacities
        self._clock = clock
        self._observe = observe
        self._budgets: dict[str, CallBudgets] = {}
        self._at_addresses: dict[str, AtAddress] = {}
        self._has_others: Callable[[], bool] = lambda: False
        """Tells whether other replicas serve the same endpoints."""
        self._live_elsewhere: Mapping[str, int] = {}
        self._live_elsewhere_before: Mapping[str, int] = {}
        self.upstreams: Mapping[str, Upstream] = {each.name: self._upstream(each) for each in endpoints}
        """The upstreams by the name of their endpoint."""

    def _upstream(self, endpoint: Endpoint) -> Upstream:
        client = EndpointClient(endpoint, self._transport, self.answers)
        budgets = self._budgets.get(endpoint.address)
        if budgets is None:
            budgets = CallBudgets(endpoint, self._clock, self._capacities)
            self._budgets[endpoint.address] = budgets
        gates = EndpointGates(endpoint, self._clock, budgets=budgets, capacities=self._capacities)
        # Keyed by the address at Runpod, because two entries for one endpoint use the same workers.
        at_address = self._at_addresses.get(endpoint.address)
        if at_address is None:
            at_address = self._at_addresses[endpoint.address] = AtAddress(
                gpu=GpuTime(self._clock, self._observe),
                abandoned=AbandonedAttempts(),
                under_way=partial(self._under_way, endpoint.address),
                settle_s=self._settle_s,
            )
        return Upstream(
            endpoint,
            gates=gates,
            client=client,
            clock=self._clock,
            observe=self._observe,
            at_address=at_address,
        )

    def _under_way(self, address: str, at_s: float) -> UnderWay:
        """Return how many requests were under way at this time, of all entries and replicas.

        Other replicas have reported at most twice since then, and the smaller of both numbers held in between.
        """
        own = [
            upstream.workers.under_way.count(at_s)
            for upstream in self.upstreams.values()
            if upstream.endpoint.address == address
        ]
        last, before = (told.get(address, 0) for told in (self._live_elsewhere, self._live_elsewhere_before))
        sure, every = sum(each.sure for each in own), sum(each.all for each in own)
        return UnderWay(sure=min(last, before) + sure, all=max(last, before) + every)

    def _settle_s(self) -> float:
        """Return how long it takes until all that happened before now is known here."""
        return SETTLE_SHARED_S if self._has_others() else SETTLE_S

    def live_attempts(self) -> dict[str, int]:
        """Return how many requests under way Runpod surely has now, by the endpoint's address; none are left out."""
        counts, now_s = Counter[str](), self._clock.monotonic_s()
        for upstream in self.upstreams.values():
            counts[upstream.endpoint.address] += upstream.workers.under_way.count(now_s).sure
        return {address: count for address, count in counts.items() if count}

    def note_live_elsewhere(self, live: Mapping[str, int]) -> None:
        """Note the numbers of requests under way that other replicas have at Runpod, by the endpoint's address."""
        self._live_elsewhere_before, self._live_elsewhere = self._live_elsewhere, live

    def reweigh(self, weights: Mapping[str, float]) -> None:
        """Share every endpoint's seats by these weights, by tenant, from now on."""
        for upstream in self.upstreams.values():
            upstream.gates.reweigh(weights)

    def tell(self, agent: LeaseAgent) -> None:
        """Let other replicas know of the attempts here, and learn of theirs."""
        self._has_others = lambda: agent.contact.replicas > 1
        agent.watch_running(self.running_attempts, self.note_running_elsewhere)
        agent.watch_live(self.live_attempts, self.note_live_elsewhere)

    def running_attempts(self) -> dict[str, int]:
        """Return how many attempts run here, by the endpoint's address; those with none are left out."""
        return {address: at.gpu.running for address, at in self._at_addresses.items() if at.gpu.running}

    def note_running_elsewhere(self, running: Mapping[str, int]) -> None:
        """Note the numbers of attempts that run at other replicas, by the endpoint's address."""
        for address, at in self._at_addresses.items():
            at.gpu.read_others(running.get(address, 0))

    def read(self, cancels_pending: Mapping[str, int], *, counts_idle: bool) -> Iterator[Reading]:
        """Yield the figures of each endpoint for the metrics; its idle GPU time only if this replica `counts_idle`."""
        # Entries for one endpoint share its workers, so only the first of them reports these.
        told: set[str] = set()
        for name, upstream in self.upstreams.items():
            gate = upstream.gates.work
            yield Reading(
                endpoint=name,
                tickets=gate.waiting,
                permits=gate.held,
                fair_seats=gate.fair_seats(),
                share_ratios=gate.share_ratios(),
                budget_used={operation.value: gate.used for operation, gate in upstream.gates.calls.items()},
                cancels_pending=cancels_pending.get(name, 0),
                is_down=upstream.is_down,
                workers={} if upstream.workers.health is None else upstream.workers.health.workers,
                idle_gpu_s=upstream.gpu.idle_s if counts_idle and upstream.endpoint.address not in told else None,
            )
            told.add(upstream.endpoint.address)
