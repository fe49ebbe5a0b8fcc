"""The workers of one endpoint: which there are, in what condition, which have fallen silent. Pure; takes now_s."""

from collections.abc import Collection
from typing import Literal

import msgspec

KINDS = ("idle", "initializing", "ready", "running", "throttled", "unhealthy")
"""The keys of /health's `workers` in recordings of the live service; the documentation shows two of them."""


class Worker(msgspec.Struct, kw_only=True, eq=False):
    """What is known of one worker."""

    id: str
    kind: Literal["scripted", "remote"]
    condition: Literal["cold", "starting", "up"]
    seen_s: float
    """When a remote worker was last heard of. A scripted one cannot fall silent."""


class Workforce:
    """Every worker, scripted and remote."""

    def __init__(self) -> None:
        self._workers: dict[str, Worker] = {}

    def add(self, worker: Worker) -> None:
        """Employ a worker."""
        self._workers[worker.id] = worker

    def hear_of(self, worker_id: str, now_s: float) -> None:
        """A remote worker called: the first call is how it shows up."""
        worker = self._workers.get(worker_id)
        if worker is None:
            self.add(Worker(id=worker_id, kind="remote", condition="up", seen_s=now_s))
        else:
            worker.seen_s = now_s

    def bury_silent(self, oldest_s: float) -> set[str]:
        """Forget the remote workers that were last heard of before `oldest_s`; their ids."""
        silent = {
            worker.id for worker in self._workers.values() if worker.kind == "remote" and worker.seen_s < oldest_s
        }
        for worker_id in silent:
            del self._workers[worker_id]
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
