"""Keeps this replica's leases: one heartbeat after the other, whatever the requests do."""

from collections import Counter
from collections.abc import Callable, Mapping

import anyio
import msgspec

from gateway.admission.capacity_leased import LeasedCapacity
from gateway.admission.lease_store import (
    RECORD_VERSION,
    Ask,
    Beat,
    BeatAnswer,
    LeaseStore,
    OvertakenError,
    RecordKind,
    StoreError,
    StoreWatcher,
)
from gateway.clock import Clock
from gateway.domain import Limit, OutagePolicy
from gateway.fairshare.allocator import split
from gateway.fairshare.elsewhere import Report
from gateway.fairshare.lease import BEAT_S, HOLD_S, LIVE_S, SETTLE_S, Contact, token_rate
from gateway.fairshare.quota import TenantQuota
from gateway.fairshare.replica_jobs import JobsAmongReplicas
from gateway.wire.malformed import MALFORMED

HUNGRY_FOR_CALLS_S = 0.02
HUNGRY_FOR_SEATS_S = 0.1
"""The shortest time between heartbeats while somebody waits: new tokens leak all the time, seats move with others'."""
TURN_S = 5.0
"""How long a seat that is nobody's whole stays where it is."""
SLOW_S = 0.8 * BEAT_S
"""An answer that takes longer brings tokens that are as good as void."""
LEAVE_S_MAX = 1.0

_pack = msgspec.msgpack.Encoder().encode
_read_report = msgspec.msgpack.Decoder(Report).decode


class LeaseAgent:
    """All leases of one replica. Gates get their capacity here, before it runs."""

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
        """`replica` is the same after a restart of this process; `incarnation` is a later text each time."""
        self.contact = Contact()
        self.is_up: bool | None = None
        """Whether the last heartbeat was answered; None before the first."""
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
        self._reports: dict[str, Report] = {}
        self._told: set[str] = set()
        """Tenants whose caps others used when they last told."""
        self._known: set[str] = set()
        self._turn = 0
        self._is_learning = True
        self._silent: dict[str, int] = {}
        self._beats = 0
        self._sent_at_s = float("-inf")
        self._pause_s = BEAT_S
        self._hungry = anyio.Event()

    def seats(self, name: str, seats: int) -> LeasedCapacity:
        """So many permits at a time, at all replicas together."""
        return self._capacity(name, seats, calls_per_10s=None)

    def calls(self, name: str, limit: Limit) -> LeasedCapacity:
        """What Runpod allows of an operation, at all replicas together."""
        return self._capacity(name, limit.concurrent, calls_per_10s=limit.per_10s)

    def _capacity(self, name: str, seats: int, *, calls_per_10s: float | None) -> LeasedCapacity:
        capacity = self._capacities[name] = LeasedCapacity(
            name,
            seats,
            calls_per_10s=calls_per_10s,
            policy=self._policy,
            contact=self.contact,
            on_hunger=self._note_hunger,
        )
        return capacity

    def watch_quotas(self, quotas: Mapping[str, TenantQuota]) -> None:
        """The tenants' own caps, which hold over all replicas as well."""
        self._quotas = quotas

    def watch_running(
        self, running: Callable[[], dict[str, int]], note_elsewhere: Callable[[Mapping[str, int]], None]
    ) -> None:
        """Tell other replicas how many attempts run here, and `note_elsewhere` how many run there, by endpoint."""
        self._running, self._note_running_elsewhere = running, note_elsewhere

    def watch_unreadable(self, note: Callable[[RecordKind, int], None]) -> None:
        """Tell `note` how many records of a kind could not be read, and were skipped."""
        self._note_unreadable = note

    def watch_overtaken(self, note: Callable[[str], None]) -> None:
        """Tell `note` the name of this replica when another process has it too, and gets its leases."""
        self._note_overtaken = note

    @property
    def is_ready(self) -> bool:
        """Whether anything can be served: a process that never had a lease does not know what others use."""
        match self._policy:
            case OutagePolicy.OPEN:
                return True
            case OutagePolicy.SHARE:
                return self.contact.heard_at_s is not None and self._has_seats
            case _:
                return self.contact.is_valid(self._clock.monotonic_s()) and self._has_seats

    @property
    def _has_seats(self) -> bool:
        """Whether there are any, or none only because others have them all."""
        return not self._is_learning or any(each.lease.limit for each in self._capacities.values())

    async def run(self) -> None:
        """Send heartbeats until cancelled."""
        while True:
            await self.beat()
            with anyio.move_on_after(BEAT_S):
                await self._hungry.wait()
                # Not at once: whoever is hungry now is so until the next one is answered, and long after.
                await anyio.sleep(max(0.0, self._sent_at_s + self._pause_s - self._clock.monotonic_s()))

    async def beat(self) -> None:
        """Send one heartbeat, and act on its answer."""
        self._hungry, self._pause_s = anyio.Event(), BEAT_S
        sent_at_s = self._sent_at_s = self._clock.monotonic_s()
        beat, report = self._beat(is_leaving=False), self._report()
        try:
            answer = await self._store.beat(beat, _pack(report))
        except StoreError as error:
            self.contact.is_refused = error.is_refused
            # Its leases run out as without a store: the other process knows nothing of what this one does.
            self._note_store(is_up=False, reason=error.reason)
            if isinstance(error, OvertakenError) and not self._is_overtaken:
                self._is_overtaken = True
                self._note_overtaken(self._replica)
            if self._reports and not self.contact.is_valid(self._clock.monotonic_s()):
                self._forget_others()
        else:
            self.contact.is_refused = self._is_overtaken = False
            self._note_store(is_up=True, reason="")
            if answer is not None:
                self._apply(answer, sent_at_s)
        for capacity in self._capacities.values():
            capacity.demand.pump()

    async def leave(self) -> None:
        """Say goodbye, so that others have the seats at once. Best effort: silence says it too, later."""
        with anyio.move_on_after(LEAVE_S_MAX, shield=True):
            try:
                await self._store.beat(self._beat(is_leaving=True), b"")
            except StoreError:
                pass
            finally:
                await self._store.aclose()

    def _note_hunger(self, is_for_calls: bool) -> None:  # noqa: FBT001 - a callback's one argument.
        if self.is_up is False:
            return
        self._pause_s = min(self._pause_s, HUNGRY_FOR_CALLS_S if is_for_calls else HUNGRY_FOR_SEATS_S)
        self._hungry.set()

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
            asks=[] if is_leaving else [self._ask(capacity) for capacity in self._capacities.values()],
        )

    def _ask(self, capacity: LeasedCapacity) -> Ask:
        rate, burst = token_rate(capacity.calls_per_10s) if capacity.calls_per_10s else (0.0, 0.0)
        return Ask(
            name=capacity.name,
            seats=capacity.seats_max,
            rate=rate,
            burst=burst,
            epoch=capacity.lease.epoch,
            # What it acts on, which after a long silence is not what it was told last.
            limit=capacity.lease.seats(self._clock.monotonic_s()),
            held=capacity.demand.occupancy.held,
            target=self._target(capacity),
            want=capacity.wanted_tokens(),
        )

    def _target(self, capacity: LeasedCapacity) -> int:
        """This replica's part of the seats: every replica computes the same split from the same reports."""
        weights: dict[str, float] = {}
        demands: dict[str, dict[str, float]] = {}
        uses = {name: report.gates.get(capacity.name, {}) for name, report in self._reports.items()}
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
            jobs=self.jobs.told(now_s),
        )

    def _forget_others(self) -> None:
        """Nobody tells any more what others do: what they did last must not count as if they did it ever since."""
        self._reports = {}
        self._note_running_elsewhere({})
        self.jobs.lost()
        for capacity in self._capacities.values():
            capacity.demand.note_elsewhere(capacity.elsewhere.silence())
        for quota in self._quotas.values():
            quota.forget_in_flight_elsewhere()

    def _apply(self, answer: BeatAnswer, sent_at_s: float) -> None:
        now_s = self._clock.monotonic_s()
        self._turn, self._is_learning = int(answer.now_s / TURN_S), answer.is_learning
        self.contact.is_slow = now_s - sent_at_s > SLOW_S
        self._reports = {name: report for name, blob in answer.reports.items() if (report := _read(blob)) is not None}
        unreadable = {RecordKind.LEASE: answer.unreadable, RecordKind.REPORT: len(answer.reports) - len(self._reports)}
        for kind, count in unreadable.items():
            if count:
                self._note_unreadable(kind, count)
        self.contact.heard_at_s = sent_at_s
        names = sorted([*self._reports, self._replica])
        self.contact.replicas, self.contact.rank = len(names), names.index(self._replica)
        running = Counter[str]()
        for report in self._reports.values():
            running.update(report.running)
        self._note_running_elsewhere(running)
        jobs = [report.jobs for report in self._reports.values()]
        self.jobs.heard(jobs, store_s=answer.now_s, sent_at_s=sent_at_s, heard_at_s=now_s)
        named = {f"{name} {report.incarnation}": report for name, report in self._reports.items()}
        for capacity, grant in zip(self._capacities.values(), answer.grants, strict=True):
            capacity.lease.renew(epoch=grant.epoch, limit=grant.limit, tokens=grant.tokens, sent_at_s=sent_at_s)
            self._silent[capacity.name] = grant.silent
            uses = {name: report.gates.get(capacity.name, {}) for name, report in named.items()}
            capacity.demand.note_elsewhere(capacity.elsewhere.news(uses, now_s))
        tenants = {tenant for report in named.values() for tenant in report.quotas}
        for tenant in tenants | self._told:
            if (quota := self._quotas.get(tenant)) is not None:
                quota_uses = {name: report.quotas[tenant] for name, report in named.items() if tenant in report.quotas}
                quota.note_elsewhere(quota_uses, self._known, now_s)
        self._told, self._known = tenants, set(named)


def _read(blob: bytes) -> Report | None:
    """Another replica's report; None where it is of a version that this one cannot read."""
    try:
        report = _read_report(blob)
    except MALFORMED:
        return None
    return report if report.version <= RECORD_VERSION else None
