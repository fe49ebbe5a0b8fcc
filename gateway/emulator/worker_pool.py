"""Track the workers of one endpoint: their conditions, and how /health counts them. Pure; takes now_s.

The counts of /health at rest are a recording of the live service by Runpod's staff (runpod-plugins-official, golden
path 15, 2026-08-06): an endpoint that is scaled to zero has `idle: 2, ready: 2, running: 0`; with one job queued and
a worker coming up `idle: 1, initializing: 1, ready: 1`; after the job's end `running: 1` beside `inProgress: 0`. The
table of worker states (Runpod docs, serverless/workers/overview) calls `idle` "scaled down, waiting for requests".
"""

from typing import Literal

import msgspec

from gateway.emulator.worker_time import NS_PER_S, WorkerTime, to_ns

KINDS = ("idle", "initializing", "ready", "running", "throttled", "unhealthy")
"""Keys of /health's `workers` in recordings of the live service; the documentation shows two of them."""
SWING_S = 1.0
"""Seconds for which a swinging worker is shown as one kind. The recording of runpod/flash issue 364 has no period."""

Condition = Literal["asleep", "starting", "up"]
IdleShown = Literal["running", "idle", "swinging"]


class Worker(msgspec.Struct, kw_only=True, eq=False):
    """Represent one worker."""

    id: str
    kind: Literal["scripted", "remote"]
    condition: Condition
    seen_s: float
    """Time of a remote worker's last call. Not used for scripted workers, which cannot fall silent."""
    sleeps: bool = False
    """True if it returns to standby after its idle timeout. Remote workers do not: their owner stops them."""


class Workforce:
    """Hold all workers of an endpoint, scripted and remote, and count its standby workers."""

    def __init__(
        self,
        worker_time: WorkerTime,
        *,
        standby_workers: int = 0,
        idle_timeout_s: float = 5.0,
        idle_shown: IdleShown = "idle",
        standby_swings: bool = False,
    ) -> None:
        self._workers: dict[str, Worker] = {}
        self._worker_time = worker_time
        self._standby_workers = standby_workers
        self._idle_timeout_ns = to_ns(idle_timeout_s)
        self._idle_shown = idle_shown
        self._standby_swings = standby_swings

    def all(self) -> list[Worker]:
        """Return the workers in the order in which they were added."""
        return list(self._workers.values())

    def add(self, worker: Worker, now_s: float) -> None:
        """Add a worker, billed by its condition."""
        self._workers[worker.id] = worker
        self.change(worker, worker.condition, now_s)

    def change(self, worker: Worker, condition: Condition, now_s: float) -> None:
        """Change a worker's condition, and bill it by that from now on."""
        worker.condition = condition
        self._worker_time.change(worker.id, "off" if condition == "asleep" else condition, now_s)

    def hear_of(self, worker_id: str, now_s: float) -> None:
        """Record a call from a remote worker; the first call adds the worker."""
        worker = self._workers.get(worker_id)
        if worker is None:
            self.add(Worker(id=worker_id, kind="remote", condition="up", seen_s=now_s), now_s)
        else:
            worker.seen_s = now_s

    def bury_silent(self, oldest_s: float, now_s: float) -> set[str]:
        """Remove the remote workers not heard of since `oldest_s` and return their ids. They are billed until now."""
        silent = {
            worker.id for worker in self._workers.values() if worker.kind == "remote" and worker.seen_s < oldest_s
        }
        for worker_id in silent:
            self.change(self._workers.pop(worker_id), "asleep", now_s)
        return silent

    def send_to_standby(self, now_s: float) -> None:
        """Put workers to sleep whose idle timeout has passed. They are billed until then, however late this runs."""
        now_ns = to_ns(now_s)
        for worker in self._workers.values():
            if worker.sleeps and worker.condition == "up":
                idle_since_ns = self._worker_time.idle_since_ns(worker.id)
                if idle_since_ns is not None and idle_since_ns + self._idle_timeout_ns <= now_ns:
                    self.change(worker, "asleep", (idle_since_ns + self._idle_timeout_ns) / NS_PER_S)

    def is_asleep(self, worker_id: str) -> bool:
        """Return True if a worker sleeps; False for an unknown worker."""
        worker = self._workers.get(worker_id)
        return worker is not None and worker.condition == "asleep"

    def is_needed(self, worker: Worker, *, queued_count: int, places: int) -> bool:
        """Return True if a sleeping worker has to start: more jobs wait than awake scripted workers have free places.

        Runpod does not publish how its scaler counts the jobs of concurrent workers; this starts as few as possible.
        """
        if worker.condition != "asleep":
            return False
        free = sum(
            max(0, places - self._worker_time.jobs_count(other.id))
            for other in self._workers.values()
            if other.kind == "scripted" and other.condition != "asleep"
        )
        return queued_count > free

    def up_count(self) -> int:
        """Return the number of workers that are up."""
        return sum(worker.condition == "up" for worker in self._workers.values())

    def counts(self, now_s: float, *, down: str) -> dict[str, int]:
        """Count the `workers` of /health, always with all six keys.

        Args:
            now_s: Seconds of a monotonic clock.
            down: State that the faults set for all workers: throttled, unhealthy, absent, or empty.
        """
        counts = dict.fromkeys(KINDS, 0)
        if down:
            return {kind: max(len(self._workers), self._standby_workers) if kind == down else 0 for kind in KINDS}
        awake = [worker for worker in self._workers.values() if worker.condition != "asleep"]
        standby = max(0, self._standby_workers - len(awake))
        if standby and self._standby_swings and _swing(to_ns(now_s)):
            standby -= 1
            counts["running"] += 1
        counts["idle"] = counts["ready"] = standby
        for worker in awake:
            for kind in self._shown_as(worker, to_ns(now_s)):
                counts[kind] += 1
        return counts

    def _shown_as(self, worker: Worker, now_ns: int) -> tuple[str, ...]:
        if worker.condition == "starting":
            return ("initializing",)
        idle_since_ns = self._worker_time.idle_since_ns(worker.id)
        if idle_since_ns is None:
            return ("running",)
        is_in_timeout = worker.sleeps and self._idle_shown != "idle"
        if is_in_timeout and (self._idle_shown == "running" or _swing(now_ns - idle_since_ns)):
            return ("running",)
        return ("idle", "ready")


def _swing(elapsed_ns: int) -> bool:
    """Return True if a swinging worker is shown as running, this many nanoseconds after the swinging began."""
    return elapsed_ns // to_ns(SWING_S) % 2 == 0
