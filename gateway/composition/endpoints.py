"""Build the endpoints of one process, and the state shared by entries with the same address at Runpod."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import anyio
import httpx

from gateway.admission.capacity import Capacities
from gateway.admission.endpoint_gates import CallBudgets, EndpointGates
from gateway.admission.lease_agent import LeaseAgent
from gateway.clock import Clock
from gateway.domain import Endpoint
from gateway.endpoints.abandoned_attempts import AbandonedAttempts
from gateway.endpoints.address_state import ENDS_SEEN_S, AddressState
from gateway.endpoints.gpu_time import GpuTime
from gateway.endpoints.jobs_in_flight import InFlightCounts, JobsInFlight
from gateway.endpoints.remote_jobs import RemoteJobs
from gateway.endpoints.upstream import Upstream
from gateway.events import Observer
from gateway.fairshare.memory_shares import MemoryShares
from gateway.fairshare.replica_jobs import AbandonedElsewhere, ReplicaJobs, TimedJobs
from gateway.observability.gauges import EndpointGauges
from gateway.upstream.client import EndpointClient

SETTLE_S_MAX = 1.0
"""Maximum number of seconds to wait for reports of other replicas: four heartbeats."""


class _JobsAtAddress:
    """Report the jobs at one address, from all entries and replicas."""

    def __init__(self, endpoints: "Endpoints", address: str) -> None:
        self._endpoints = endpoints
        self._address = address

    async def settle(self, at_s: float) -> bool:
        return await self._endpoints.wait_for_reports(at_s + ENDS_SEEN_S)

    def jobs_in_flight(self, at_s: float) -> InFlightCounts:
        return self._endpoints.jobs_in_flight(self._address, at_s)

    def abandoned_elsewhere(self) -> list[AbandonedElsewhere]:
        return self._endpoints.jobs_elsewhere.abandoned(self._address)

    def abandoned_until_s(self) -> float:
        return self._endpoints.jobs_elsewhere.abandoned_until_s(self._address)


class Endpoints:
    """Hold all endpoints of this process."""

    def __init__(
        self,
        endpoints: Iterable[Endpoint],
        *,
        transport: httpx.AsyncBaseTransport,
        answers: MemoryShares,
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
        self._at_addresses: dict[str, AddressState] = {}
        self.jobs_elsewhere = RemoteJobs()
        self._reports_received = anyio.Event()
        self.upstreams: Mapping[str, Upstream] = {each.name: self._upstream(each) for each in endpoints}
        """Upstreams by the name of their endpoint."""

    def _upstream(self, endpoint: Endpoint) -> Upstream:
        client = EndpointClient(endpoint, self._transport, self.answers)
        budgets = self._budgets.get(endpoint.address)
        if budgets is None:
            budgets = CallBudgets(endpoint, self._clock, self._capacities)
            self._budgets[endpoint.address] = budgets
        gates = EndpointGates(endpoint, self._clock, budgets=budgets, capacities=self._capacities)
        # By address, because two entries with the same address use the same workers.
        address_state = self._at_addresses.get(endpoint.address)
        if address_state is None:
            address_state = self._at_addresses[endpoint.address] = AddressState(
                gpu=GpuTime(self._clock, self._observe),
                abandoned=AbandonedAttempts(self._clock.unix_s() - self._clock.monotonic_s()),
                jobs=_JobsAtAddress(self, endpoint.address),
            )
        return Upstream(
            endpoint,
            gates=gates,
            client=client,
            clock=self._clock,
            observe=self._observe,
            address_state=address_state,
        )

    def jobs_in_flight(self, address: str, at_s: float) -> InFlightCounts:
        """Return the number of requests under way at `at_s`, from all entries and replicas."""
        counts = [each.count(at_s) for each in self._requests(address)]
        counts.append(self.jobs_elsewhere.jobs_in_flight(address, at_s, settled_at_s=at_s + ENDS_SEEN_S))
        return InFlightCounts(sure=sum(each.sure for each in counts), all=sum(each.all for each in counts))

    def _requests(self, address: str) -> Iterator[JobsInFlight]:
        for upstream in self.upstreams.values():
            if upstream.endpoint.address == address:
                yield upstream.workers.jobs_in_flight

    def jobs(self) -> dict[str, ReplicaJobs]:
        """Return this replica's report of its jobs to other replicas, by address; those without jobs are omitted."""
        now_s, reports = self._clock.monotonic_s(), {}
        for address, at in self._at_addresses.items():
            recent = list(zip(*(each.recent(now_s) for each in self._requests(address)), strict=True))
            sure = [sum(each.sure for each in counts) for counts in recent]
            every = [sum(each.all for each in counts) for counts in recent]
            until_s = at.abandoned.until_s(now_s)
            if any(every) or until_s is not None:
                reports[address] = ReplicaJobs(sure, every, at.abandoned.report(), until_s)
        return reports

    def note_jobs_elsewhere(self, reports: Sequence[TimedJobs], silent: int) -> None:
        """Store the reports of other replicas; `silent` is the number of replicas that have not reported yet."""
        self.jobs_elsewhere.note(reports, silent=silent, now_s=self._clock.monotonic_s())
        self._reports_received.set()
        self._reports_received = anyio.Event()

    async def wait_for_reports(self, at_s: float) -> bool:
        """Wait up to SETTLE_S_MAX until all other replicas have reported since `at_s`; return True if they have."""
        with anyio.move_on_after(SETTLE_S_MAX):
            while not self.jobs_elsewhere.is_known(at_s):
                await self._reports_received.wait()
        return self.jobs_elsewhere.is_known(at_s)

    def reweigh(self, weights: Mapping[str, float]) -> None:
        """Set the tenants' weights by which the seats of every endpoint are shared."""
        for upstream in self.upstreams.values():
            upstream.gates.reweigh(weights)

    def tell(self, agent: LeaseAgent) -> None:
        """Connect to the lease agent, which exchanges reports of attempts and jobs with other replicas."""
        agent.watch_running(self.running_attempts, self.note_running_elsewhere)
        agent.jobs.watch(self.jobs, self.note_jobs_elsewhere)

    def running_attempts(self) -> dict[str, int]:
        """Return the number of attempts that run in this process, by address; addresses with none are omitted."""
        return {address: at.gpu.running for address, at in self._at_addresses.items() if at.gpu.running}

    def note_running_elsewhere(self, running: Mapping[str, int]) -> None:
        """Store the number of attempts that run at other replicas, by address."""
        for address, at in self._at_addresses.items():
            at.gpu.read_others(running.get(address, 0))

    def read(self, cancels_pending: Mapping[str, int], *, counts_idle: bool) -> Iterator[EndpointGauges]:
        """Yield the state of each endpoint for the metrics; idle GPU time only with `counts_idle`."""
        # Entries with the same address share its workers, so only the first one reports their idle time.
        seen: set[str] = set()
        for name, upstream in self.upstreams.items():
            gate = upstream.gates.work
            yield EndpointGauges(
                endpoint=name,
                tickets=gate.waiting,
                permits=gate.held,
                fair_seats=gate.fair_seats(),
                share_ratios=gate.share_ratios(),
                budget_used={operation.value: gate.used for operation, gate in upstream.gates.calls.items()},
                cancels_pending=cancels_pending.get(name, 0),
                is_down=upstream.is_down,
                workers={} if upstream.workers.health is None else upstream.workers.health.workers,
                idle_gpu_s=upstream.gpu.idle_s if counts_idle and upstream.endpoint.address not in seen else None,
            )
            seen.add(upstream.endpoint.address)
