"""Every job of this process, from the moment Runpod took it until it is over or confirmed to be cancelled."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial

import anyio

from gateway.clock import Clock
from gateway.domain import Attempt, Route, Tenant
from gateway.exchange.cancel_queue import CancelQueue, LeftJob
from gateway.exchange.events import Observer
from gateway.exchange.gpu_time import AttemptCost
from gateway.exchange.journal import Journal, JournalStore, OpenJob
from gateway.exchange.mean_times import MeanTimes
from gateway.exchange.queue_job import QueueJob
from gateway.exchange.upstream import Upstream


class OpenJobs:
    """Owns the journal of open jobs and the queue of their cancels. `run` keeps both."""

    def __init__(
        self, upstreams: Mapping[str, Upstream], *, clock: Clock, observe: Observer, store: JournalStore | None = None
    ) -> None:
        """`store` is where replicas keep their journals; without one, what a killed process leaves ends by its ttl."""
        self._upstreams = {upstream.endpoint.address: upstream for upstream in upstreams.values()}
        self._clock = clock
        self._executions = MeanTimes()
        self._cancels = CancelQueue(clock, observe, self._executions)
        self._journal = Journal(clock, store)

    @asynccontextmanager
    async def job(
        self, upstream: Upstream, *, tenant: Tenant, is_stream: bool, cost: AttemptCost
    ) -> AsyncIterator[QueueJob]:
        """A job for the body of the `async with`: left in whatever way, it is answered, over, or will be cancelled."""
        job = QueueJob(upstream, tenant=tenant, is_stream=is_stream, cost=cost, clock=self._clock)
        try:
            yield job
        finally:
            job.end()
            if not job.is_answered:
                self.leave(job)

    def accepted(self, job: QueueJob) -> None:
        """Runpod took it: from now on it is somebody's to end, whatever becomes of this process."""
        self._journal.opened(self._entry(job))
        if self._journal.has_store:
            job.on_start = lambda: self._journal.opened(self._entry(job))

    def leave(self, job: QueueJob) -> None:
        """Nobody waits for it any more: what still runs is to be cancelled. Never waits."""
        if job.id is None:
            return
        entry = self._entry(job)
        if job.stream.is_terminal:
            self._journal.closed(entry)
            if job.is_answered and job.stream.execution_s is not None:
                self._executions.note(job.tenant.name, job.upstream.endpoint.name, job.stream.execution_s)
            return
        left = LeftJob(
            attempt=job.cost.attempt,
            tenant=job.tenant,
            started_at_s=job.started_at_s,
            expires_at_s=job.expires_at_s,
            accepted_at_s=job.accepted_at_s,
            time=job.cost.time,
            close=partial(self._journal.closed, entry),
        )
        self._cancels.add(job.upstream, left)

    def cancels_pending(self) -> dict[str, int]:
        """How many cancels are not yet confirmed, by endpoint."""
        return self._cancels.pending()

    async def run(self) -> None:
        """Make the cancels, and keep the journal."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._cancels.run)
            tasks.start_soon(self._journal.run, self._inherit)

    async def flush(self) -> None:
        """Wait until every cancel is confirmed."""
        await self._cancels.flush()

    async def aclose(self) -> None:
        """Settle what attempts cost until now, and leave the journal, and in it whatever is still open.

        A job that another process will end is charged there, by Runpod's account of all of it.
        """
        for address, upstream in self._upstreams.items():
            upstream.gpu.close(partial(self._is_others, address))
        await self._journal.leave()

    def _is_others(self, address: str, attempt: Attempt) -> bool:
        return self._journal.holds(f"{address} {attempt.job_id}")

    def _inherit(self, entry: OpenJob) -> None:
        """A process that is dead left a job: nobody waits for it."""
        upstream = self._upstreams.get(entry.endpoint)
        if upstream is None:
            # An endpoint of an older configuration; its ttl ends it.
            self._journal.closed(entry)
            return
        unix_less_monotonic_s = self._clock.unix_s() - self._clock.monotonic_s()
        left = LeftJob(
            attempt=Attempt(
                request_id=entry.request_id,
                number=entry.attempt,
                tenant=entry.tenant,
                key_id=entry.key_id,
                model=entry.model,
                endpoint=upstream.endpoint.name,
                route=Route.JOB.value,
                job_id=entry.job_id,
            ),
            tenant=Tenant(name=entry.tenant),
            started_at_s=None if entry.started_at_s is None else entry.started_at_s - unix_less_monotonic_s,
            expires_at_s=entry.expires_at_s - unix_less_monotonic_s,
            is_orphan=True,
            close=partial(self._journal.closed, entry),
        )
        self._cancels.add(upstream, left)

    def _entry(self, job: QueueJob) -> OpenJob:
        unix_less_monotonic_s = self._clock.unix_s() - self._clock.monotonic_s()
        return OpenJob(
            endpoint=job.upstream.endpoint.address,
            job_id=job.id or "",
            tenant=job.tenant.name,
            expires_at_s=unix_less_monotonic_s + job.expires_at_s,
            request_id=job.cost.attempt.request_id,
            attempt=job.cost.attempt.number,
            key_id=job.cost.attempt.key_id,
            model=job.cost.attempt.model,
            started_at_s=None if job.started_at_s is None else unix_less_monotonic_s + job.started_at_s,
        )
