"""The workers of one endpoint: which there are, in what condition, which have fallen silent. Pure; takes now_s."""

from collections.abc import Collection
from typing import Literal

import msgspec

from gateway.emulator.worker_time import WorkerTime

KINDS = ("idle", "initializing", "ready", "running", "throttled", "unhealthy")
"""The keys of /health's `workers` in recordings of the live service; the documentation shows two of them."""


Condition = Literal["cold", "starting", "up"]


class Worker(msgspec.Struct, kw_only=True, eq=False):
    """What is known of one worker."""

    id: str
    kind: Literal["scripted", "remote"]
    condition: Condition
    seen_s: float
    """When a remote worker was last heard of. A scripted one cannot fall silent."""


class Workforce:
    """Every worker, scripted and remote."""

    def __init__(self, worker_time: WorkerTime) -> None:
        self._workers: dict[str, Worker] = {}
        self._worker_time = worker_time

    def all(self) -> list[Worker]:
        """Every worker there is, in the order in which they came."""
        return list(self._workers.values())

    def add(self, worker: Worker, now_s: float) -> None:
        """Employ a worker."""
        self._workers[worker.id] = worker
        self.change(worker, worker.condition, now_s)

    def change(self, worker: Worker, condition: Condition, now_s: float) -> None:
        """Put a worker into another condition, and bill it from now on by that."""
        worker.condition = condition
        self._worker_time.change(worker.id, "off" if condition == "cold" else condition, now_s)

    def hear_of(self, worker_id: str, now_s: float) -> None:
        """A remote worker called: the first call is how it shows up."""
        worker = self._workers.get(worker_id)
        if worker is None:
            self.add(Worker(id=worker_id, kind="remote", condition="up", seen_s=now_s), now_s)
        else:
            worker.seen_s = now_s

    def bury_silent(self, oldest_s: float, now_s: float) -> set[str]:
        """Forget the remote workers that were last heard of before `oldest_s`; their ids. They are billed until now."""
        silent = {
            worker.id for worker in self._workers.values() if worker.kind == "remote" and worker.seen_s < oldest_s
        }
        for worker_id in silent:
            self.change(self._workers.pop(worker_id), "cold", now_s)
        return silent

    def up_count(self) -> int:
        """How many workers run."""
        return sum(worker.condition == "up" for worker in self._workers.values())

    def counts(self, busy: Collection[str], *, down: str) -> dict[str, int]:
        """The `workers` of /health. A cold worker does not exist for Runpod.

        Args:
            busy: The ids of the workers that run a job.
            down: What the faults say of all workers: throttled, unhealthy, absent, or empty.
        """
        counts = dict.fromkeys(KINDS, 0)
        if down:
            return {kind: len(self._workers) if kind == down else 0 for kind in KINDS}
        for worker in self._workers.values():
            if worker.condition == "starting":
                counts["initializing"] += 1
            elif worker.condition == "up" and worker.id in busy:
                counts["running"] += 1
            elif worker.condition == "up":
                counts["idle"] += 1
                counts["ready"] += 1
        return counts
