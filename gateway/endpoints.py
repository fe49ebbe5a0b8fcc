"""The endpoints of one process: what each calls, waits for and tells, and what those at one address share."""

from collections.abc import Iterable, Iterator, Mapping

import httpx

from gateway.admission.capacity import Capacities
from gateway.admission.gates import CallBudgets, EndpointGates
from gateway.clock import Clock
from gateway.domain import Endpoint
from gateway.exchange.events import Observer
from gateway.exchange.gpu_time import GpuTime
from gateway.exchange.upstream import Upstream
from gateway.observability.readings import Reading
from gateway.upstream.client import EndpointClient


class Endpoints:
    """All endpoints of this process."""

    def __init__(
        self,
        endpoints: Iterable[Endpoint],
        *,
        transport: httpx.AsyncBaseTransport,
        capacities: Capacities,
        clock: Clock,
        observe: Observer,
    ) -> None:
        self._transport = transport
        self._capacities = capacities
        self._clock = clock
        self._observe = observe
        self._budgets: dict[str, CallBudgets] = {}
        self._gpu_times: dict[str, GpuTime] = {}
        self.upstreams: Mapping[str, Upstream] = {each.name: self._upstream(each) for each in endpoints}
        """By the endpoint's name."""

    def _upstream(self, endpoint: Endpoint) -> Upstream:
        client = EndpointClient(endpoint, self._transport)
        budgets = self._budgets.get(endpoint.address)
        if budgets is None:
            budgets = CallBudgets(endpoint, self._clock, self._capacities)
            self._budgets[endpoint.address] = budgets
        gates = EndpointGates(endpoint, self._clock, budgets=budgets, capacities=self._capacities)
        # By the address at Runpod, as two entries for one endpoint use the same workers.
        gpu = self._gpu_times.get(endpoint.address)
        if gpu is None:
            gpu = self._gpu_times[endpoint.address] = GpuTime(self._clock, self._observe)
        return Upstream(endpoint, gates=gates, client=client, clock=self._clock, observe=self._observe, gpu=gpu)

    def reweigh(self, weights: Mapping[str, float]) -> None:
        """Share every endpoint's seats by these weights, by tenant, from now on."""
        for upstream in self.upstreams.values():
            upstream.gates.reweigh(weights)

    def running_attempts(self) -> dict[str, int]:
        """Return how many attempts run here, by the endpoint's address; those with none are left out."""
        return {address: gpu.running for address, gpu in self._gpu_times.items() if gpu.running}

    def note_running_elsewhere(self, running: Mapping[str, int]) -> None:
        """Take how many attempts run at other replicas, by the endpoint's address."""
        for address, gpu in self._gpu_times.items():
            gpu.read_others(running.get(address, 0))

    def read(self, cancels_pending: Mapping[str, int], *, counts_idle: bool) -> Iterator[Reading]:
        """Yield what the metrics show of each endpoint; its idle GPU time only where this replica `counts_idle`."""
        # Entries for one endpoint share its workers: the first of them tells.
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
