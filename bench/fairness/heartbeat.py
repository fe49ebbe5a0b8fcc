"""What a heartbeat costs: at a real Redis, on the way there and back, and in the replica that sends it."""

import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio
import msgspec
from redis.asyncio import Redis

from bench.fairness.virtual_loop import VirtualClock, run_virtually
from gateway.admission.gate import Gate
from gateway.admission.lease_agent import LeaseAgent
from gateway.admission.lease_store import Ask, Beat, BeatAnswer, Grant
from gateway.domain import OutagePolicy, Tenant
from gateway.fairshare.cost_model import of_seats
from gateway.fairshare.lease import HOLD_S, LIVE_S, SETTLE_S, token_rate
from gateway.fairshare.remote_usage import Report, TenantUse
from gateway.state.redis_leases import RedisLeases
from tests.redis_server import redis_server

CLASSES = 8
REPLICAS = 4
BEATS = 500
WARM_UP = 50
OWN_BEATS = 30
SEATS = 400


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one heartbeat, in microseconds."""

    at_redis_us: float
    round_trip_us: float


def is_redis_here() -> bool:
    """Whether there is a server to start."""
    return shutil.which("redis-server") is not None


def report_of(incarnation: str, tenants: int) -> bytes:
    """All tenants at the gate of the work, and a part of them at that of one operation."""
    uses = {f"tenant-{number}": TenantUse(1.0, number % 3, number % 7, 100.0 + number) for number in range(tenants)}
    some = dict(list(uses.items())[: max(1, tenants // 10)])
    return msgspec.msgpack.encode(Report(incarnation=incarnation, gates={"work": uses, "run": some}))


def redis_cost(tenants: int) -> Cost:
    """The beats of four replicas, one after the other, where each reports so many tenants."""
    with tempfile.TemporaryDirectory() as directory, redis_server(Path(directory)) as server:
        return anyio.run(_redis_cost, server.url, tenants)


async def _redis_cost(url: str, tenants: int) -> Cost:
    store, stats = RedisLeases(url, prefix="bench"), Redis.from_url(url)
    reports = [report_of(str(number), tenants) for number in range(REPLICAS)]
    round_trips_s = []
    for number in range(1, WARM_UP + BEATS + 1):
        if number == WARM_UP:
            await stats.config_resetstat()
        for replica, report in enumerate(reports):
            beat = _beat(f"r{replica}", number)
            before_s = time.perf_counter()
            await store.beat(beat, report)
            round_trips_s.append(time.perf_counter() - before_s)
    told = (await stats.info("commandstats"))["cmdstat_evalsha"]
    await store.aclose()
    await stats.aclose()
    return Cost(float(told["usec_per_call"]), statistics.median(round_trips_s[WARM_UP * REPLICAS :]) * 1e6)


def _beat(replica: str, number: int) -> Beat:
    """One class of work, and seven of calls."""
    rate, burst = token_rate(2000)
    asks = [
        Ask(
            f"class-{each}",
            SEATS,
            rate if each else 0.0,
            burst if each else 0.0,
            number,
            SEATS // REPLICAS,
            50,
            SEATS // REPLICAS - number % 2,
            5,
        )
        for each in range(CLASSES)
    ]
    return Beat(
        replica=replica,
        incarnation="1",
        number=number,
        is_leaving=False,
        hold_s=HOLD_S,
        live_s=LIVE_S,
        settle_s=SETTLE_S,
        asks=asks,
    )


class _Mirror:
    """A store in which the other replicas say what this one says."""

    async def beat(self, beat: Beat, report: bytes) -> BeatAnswer:
        """At once."""
        grants = [Grant(1, 0, 0, 0) for _ in beat.asks]
        reports = {f"r{number}": report for number in range(1, REPLICAS)}
        return BeatAnswer(is_learning=False, grants=grants, reports=reports, now_s=0.0)

    async def aclose(self) -> None:
        """Nothing is open."""


def own_beat_us(tenants: int) -> float:
    """CPU of the replica for one heartbeat, while so many tenants wait at each of four replicas."""
    return run_virtually(_own_beat_us(tenants))


async def _own_beat_us(tenants: int) -> float:
    clock = VirtualClock()
    leases = LeaseAgent(
        _Mirror(), replica="r0", incarnation="1", policy=OutagePolicy.SHARE, clock=clock, watch=_unwatched
    )
    gate = Gate(leases.seats("work", SEATS), of_seats(SEATS), clock=clock)
    spent_s: list[float] = []
    async with anyio.create_task_group() as tasks:
        for number in range(tenants):
            tasks.start_soon(_wait, gate, Tenant(name=f"tenant-{number}"))
        for _ in range(OWN_BEATS):
            await anyio.sleep(0.25)
            before_s = time.process_time()
            await leases.beat()
            spent_s.append(time.process_time() - before_s)
        tasks.cancel_scope.cancel()
    return _cheap(spent_s) * 1e6


async def _wait(gate: Gate, tenant: Tenant) -> None:
    async with gate.permit(tenant, wait_s_max=1e6):
        pass


def _unwatched(*, is_up: bool, reason: str) -> None:
    """Nobody is told."""


def _cheap(spent_s: Sequence[float]) -> float:
    """The lower quarter: whatever else the machine does can only make one dearer."""
    return sorted(spent_s)[len(spent_s) // 4]
