"""Keep this replica's leases by sending one heartbeat after the other, independently of requests."""

from collections.abc import Callable, Iterable, Mapping

import anyio
import msgspec

from gateway.admission.lease_store import (
    Ask,
    Beat,
    BeatAnswer,
    Grant,
    LeaseStore,
    OvertakenError,
    RecordKind,
    StoreError,
    StoreWatcher,
)
from gateway.admission.leased_capacity import LeasedCapacity
from gateway.admission.replica_reports import ReplicaReports
from gateway.clock import Clock
from gateway.domain import Limit, OutagePolicy
from gateway.fairshare.allocator import split
from gateway.fairshare.lease import BEAT_S, HOLD_S, LIVE_S, SETTLE_S, Contact, token_rate
from gateway.fairshare.quota import TenantQuota
from gateway.fairshare.remote_usage import Report
from gateway.fairshare.replica_jobs import JobsAmongReplicas

HUNGRY_FOR_CALLS_S = 0.02
HUNGRY_FOR_SEATS_S = 0.1
"""Minimum seconds between heartbeats while tickets wait for calls, or for seats: new tokens accrue continuously, seats
become free only as other replicas release theirs."""
TURN_S = 5.0
"""Seconds after which fractional seats rotate to other replicas."""
LEAVE_S_MAX = 1.0

_pack = msgspec.msgpack.Encoder().encode


class LeaseAgent:
    """Hold all leases of one replica. Gates get their capacities from it before it runs."""

    def __init__(
        self,
        store: LeaseStore,
        *,
        replica: str,
        incarnation: str,
        policy: OutagePolicy,
        clock: Clock,
        watch: StoreWatcher,
    ) -> None:
        """Create the agent; `replica` survives a restart of the process, `incarnation` is a greater text each time."""
        self.contact = Contact()
        self.is_up: bool | None = None
        """True if the last heartbeat was answered; None before the first."""
        self._store = store
        self._replica = replica
        self._incarnation = incarnation
        self._policy = policy
        self._clock = clock
        self._watch = watch
        self._capacities: dict[str, LeasedCapacity] = {}
        self._quotas: Mapping[str, TenantQuota] = {}
        self._running: Callable[[], dict[str, int]] = dict
        self._note_running_elsewhere: Callable[[Mapping[str, int]], None] = lambda _running: None
        self.jobs = JobsAmongReplicas()
        self._note_unreadable: Callable[[RecordKind, int], None] = lambda _kind, _count: None
        self._note_overtaken: Callable[[str], None] = lambda _replica: None
        self._is_overtaken = False
        self._reports = ReplicaReports()
        self._turn = 0
        self._is_learning = True
        self._silent: dict[str, int] = {}
        self._beats = 0
        self._sent_at_s = float("-inf")
        self._pause_s = BEAT_S
        self._demand = anyio.Event()

    def seats(self, name: str, seats: int) -> LeasedCapacity:
        """Return a capacity for this many permits at a time, at all replicas together."""
        return self._capacity(name, seats, calls_per_10s=None)

    def calls(self, name: str, limit: Limit) -> LeasedCapacity:
        """Return a capacity for the limits that Runpod sets for an operation, at all replicas together."""
        return self._capacity(name, limit.concurrent, calls_per_10s=limit.per_10s)

    def _capacity(self, name: str, seats: int, *, calls_per_10s: float | None) -> LeasedCapacity:
        capacity = self._capacities[name] = LeasedCapacity(
            name,
            seats,
            calls_per_10s=calls_per_10s,
            policy=self._policy,
            contact=self.contact,
            on_demand=self._note_demand,
        )
        return capacity

    def watch_quotas(self, quotas: Mapping[str, TenantQuota]) -> None:
        """Set the tenants' quotas, which apply to all replicas together."""
        self._quotas = quotas

    def watch_running(
        self, running: Callable[[], dict[str, int]], note_remote_usage: Callable[[Mapping[str, int]], None]
    ) -> None:
        """Set the source of the number of attempts that run here, by endpoint, for reports to other replicas.

        `note_remote_usage` receives their sums at the other replicas.
        """
        self._running, self._note_running_elsewhere = running, note_remote_usage

    def watch_unreadable(self, note: Callable[[RecordKind, int], None]) -> None:
        """Call `note` with the kind and number of records that were skipped as unreadable."""
        self._note_unreadable = note

    def watch_overtaken(self, note: Callable[[str], None]) -> None:
        """Call `note` with the name of this replica when another process of that name gets its leases."""
        self._note_overtaken = note

    @property
    def is_ready(self) -> bool:
        """Return True if requests can be served: a process without a lease does not know the others' use."""
        match self._policy:
            case OutagePolicy.OPEN:
                return True
            case OutagePolicy.SHARE:
                return self.contact.heard_at_s is not None and self._has_seats
            case _:
                return self.contact.is_valid(self._clock.monotonic_s()) and self._has_seats

    @property
    def _has_seats(self) -> bool:
        """Return True if this replica has seats, or lacks them only because other replicas hold them all."""
        return not self._is_learning or any(each.lease.limit for each in self._capacities.values())

    async def run(self) -> None:
        """Send heartbeats until cancelled."""
        while True:
            await self.beat()
            with anyio.move_on_after(BEAT_S):
                await self._demand.wait()
                # Not at once: the same tickets still wait after the answer, and would cause heartbeats without a pause.
                await anyio.sleep(max(0.0, self._sent_at_s + self._pause_s - self._clock.monotonic_s()))

    async def beat(self) -> None:
        """Send one heartbeat, and apply its answer."""
        self._demand, self._pause_s = anyio.Event(), BEAT_S
        sent_at_s = self._sent_at_s = self._clock.monotonic_s()
        beat, report = self._beat(is_leaving=False), self._report()
        try:
            answer = await self._store.beat(beat, _pack(report))
        except StoreError as error:
            self.contact.is_refused = error.is_refused
            # Also for OvertakenError: leases expire as in an outage, since the other process ignores their use.
            self._note_store(is_up=False, reason=error.reason)
            if isinstance(error, OvertakenError) and not self._is_overtaken:
                self._is_overtaken = True
                self._note_overtaken(self._replica)
            if not self.contact.is_valid(self._clock.monotonic_s()):
                self._forget_others()
        else:
            self.contact.is_refused = self._is_overtaken = False
            self._note_store(is_up=True, reason="")
            if answer is not None:
                self._apply(answer, sent_at_s)
        for capacity in self._capacities.values():
            capacity.demand.pump()

    async def leave(self) -> None:
        """Send a final heartbeat, so that other replicas get the seats at once, but for those still held.

        Best effort: without it, the store releases them later.
        """
        with anyio.move_on_after(LEAVE_S_MAX, shield=True):
            try:
                await self._store.beat(self._beat(is_leaving=True), b"")
            except StoreError:
                pass
            finally:
                await self._store.aclose()

    def _note_demand(self, is_for_calls: bool) -> None:  # noqa: FBT001 - a callback's one argument.
        if self.is_up is False:
            return
        self._pause_s = min(self._pause_s, HUNGRY_FOR_CALLS_S if is_for_calls else HUNGRY_FOR_SEATS_S)
        self._demand.set()

    def _note_store(self, *, is_up: bool, reason: str) -> None:
        if is_up is not self.is_up:
            self.is_up = is_up
            self._watch(is_up=is_up, reason=reason)

    def _beat(self, *, is_leaving: bool) -> Beat:
        self._beats += 1
        return Beat(
            replica=self._replica,
            incarnation=self._incarnation,
            number=self._beats,
            is_leaving=is_leaving,
            hold_s=HOLD_S,
            live_s=LIVE_S,
            settle_s=SETTLE_S,
            asks=[self._ask(capacity) for capacity in self._capacities.values()],
        )

    def _ask(self, capacity: LeasedCapacity) -> Ask:
        rate, burst = token_rate(capacity.calls_per_10s) if capacity.calls_per_10s else (0.0, 0.0)
        return Ask(
            name=capacity.name,
            seats=capacity.seats_max,
            rate=rate,
            burst=burst,
            epoch=capacity.lease.epoch,
            # The limit in effect, which in an outage is not the last granted one.
            limit=capacity.lease.seats(self._clock.monotonic_s()),
            held=capacity.demand.occupancy.held,
            target=self._target(capacity),
            want=capacity.wanted_tokens(),
        )

    def _target(self, capacity: LeasedCapacity) -> int:
        """Return this replica's part of the seats: every replica computes the same split from the same reports."""
        weights: dict[str, float] = {}
        demands: dict[str, dict[str, float]] = {}
        uses = self._reports.gate_uses(capacity.name)
        for replica, tenants in {**uses, self._replica: capacity.uses()}.items():
            demands[replica] = {tenant: float(use.held + use.waiting) for tenant, use in tenants.items()}
            weights |= {tenant: use.weight for tenant, use in tenants.items()}
        seats = max(0, capacity.seats_max - self._silent.get(capacity.name, 0))
        return split(seats, demands, weights, turn=self._turn)[self._replica]

    def _report(self) -> Report:
        gates = {name: uses for name, capacity in self._capacities.items() if (uses := capacity.uses())}
        now_s = self._clock.monotonic_s()
        quotas = {name: quota.use() for name, quota in self._quotas.items() if quota.is_in_use(now_s)}
        return Report(
            incarnation=self._incarnation,
            gates=gates,
            quotas=quotas,
            running=self._running(),
            jobs=self.jobs.report(now_s),
        )

    def _forget_others(self) -> None:
        """Drop the last reports of other replicas: they must not count as if they were still current."""
        self._reports.expire()
        self._note_running_elsewhere({})
        self.jobs.disconnected()
        for capacity in self._capacities.values():
            capacity.demand.note_remote_usage(capacity.remote.silence())
        for quota in self._quotas.values():
            quota.forget_in_flight_elsewhere()

    def _apply(self, answer: BeatAnswer, sent_at_s: float) -> None:
        """Apply the answer to the heartbeat sent at `sent_at_s`. The contact comes first: leases are valid by it."""
        now_s = self._clock.monotonic_s()
        self._turn, self._is_learning = int(answer.now_s / TURN_S), answer.is_learning
        skipped = {RecordKind.LEASE: answer.unreadable, RecordKind.REPORT: self._reports.receive(answer.reports)}
        for kind, count in skipped.items():
            if count:
                self._note_unreadable(kind, count)
        self.contact.hear(self._replica, self._reports.names, sent_at_s=sent_at_s, now_s=now_s)
        self._note_running_elsewhere(self._reports.running())
        self.jobs.receive(self._reports.jobs(), store_s=answer.now_s, sent_at_s=sent_at_s, received_at_s=now_s)
        self._renew_leases(answer.grants, sent_at_s)
        self._note_remote_usage(now_s)

    def _renew_leases(self, grants: Iterable[Grant], sent_at_s: float) -> None:
        for capacity, grant in zip(self._capacities.values(), grants, strict=True):
            capacity.lease.renew(epoch=grant.epoch, limit=grant.limit, tokens=grant.tokens, sent_at_s=sent_at_s)
            self._silent[capacity.name] = grant.silent

    def _note_remote_usage(self, now_s: float) -> None:
        """Pass on what other replicas use of the gates and of the tenants' quotas."""
        for capacity in self._capacities.values():
            uses = self._reports.gate_uses_by_incarnation(capacity.name)
            capacity.demand.note_remote_usage(capacity.remote.news(uses, now_s))
        for tenant, quota_uses in self._reports.quota_uses():
            if (quota := self._quotas.get(tenant)) is not None:
                quota.note_remote_usage(quota_uses, self._reports.known, now_s)
