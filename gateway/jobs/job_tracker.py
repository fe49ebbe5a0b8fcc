"""Track every job of this process, from its acceptance by Runpod until it has ended or its cancel is confirmed."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from gateway.admission.ref_counted_hold import Release
from gateway.admission.seat import Seat, both
from gateway.clock import Clock
from gateway.domain import Attempt, Route, Tenant
from gateway.endpoints.gpu_time import AttemptCost
from gateway.endpoints.mean_times import MeanTimes
from gateway.endpoints.upstream import Upstream
from gateway.errors import GatewayError, JobNotRunError, OutputLostError
from gateway.events import Broke, JournalChanged, Observer
from gateway.jobs.canceller import Canceller
from gateway.jobs.job import Job
from gateway.jobs.journal import Journal, JournalStore, OpenJob
from gateway.jobs.pending_cancel import PendingCancel

LOST = "The gateway process did not respond for too long: another process considered it dead and cancelled the job."


class JobTracker:
    """Own the journal of open jobs and the queue of their cancels; the tasks of `background` run both."""

    def __init__(
        self,
        upstreams: Mapping[str, Upstream],
        *,
        clock: Clock,
        observe: Observer,
        store: JournalStore | None = None,
        hold_place: Callable[[str], Release] = lambda _tenant: lambda: None,
    ) -> None:
        """Create it with the `store` of the journals; without one, jobs that a killed process leaves end by their ttl.

        `hold_place` counts one more request of a tenant in flight, and returns the function that ends this.
        """
        self._hold_place = hold_place
        self._upstreams = {upstream.endpoint.address: upstream for upstream in upstreams.values()}
        self._clock = clock
        self._executions = MeanTimes()
        self._observe = observe
        self._cancels = Canceller(clock, observe, self._executions)
        self._journal = Journal(clock, store)
        self._journal.give_back = self._give_back
        self._journal.watch = self._note_journal

    def new_job(self, upstream: Upstream, *, tenant: Tenant, seat: Seat, is_stream: bool, cost: AttemptCost) -> Job:
        """Create a job that is not submitted yet. The caller has to `end` it."""
        return Job(upstream, tenant=tenant, seat=seat, is_stream=is_stream, cost=cost, clock=self._clock)

    def end(self, job: Job) -> None:
        """End the request of a job: it is answered, has ended, or will be cancelled.

        A job that has not ended keeps the seat: an answered one until `leave`, any other until its end is confirmed.
        """
        job.end()
        if not job.is_answered:
            self.leave(job)
        elif not job.stream.is_terminal:
            job.kept = self._until_over(job, job.seat.keep_answered())

    @property
    def has_store(self) -> bool:
        """Return True if other processes may take over jobs of this one."""
        return self._journal.has_store

    async def was_taken(self, job: Job) -> bool:
        """Return True if another process took this job over and cancelled it."""
        return await self._journal.was_taken(self._entry(job))

    @staticmethod
    def taken_error(job: Job) -> GatewayError:
        """Return the error for a job that another process cancelled: without output, another job may replace it."""
        return OutputLostError(LOST) if job.stream.has_output else JobNotRunError(LOST)

    def accepted(self, job: Job) -> None:
        """Record that Runpod accepted a job: if this process dies, another one ends it."""
        self._journal.opened(self._entry(job))
        if self._journal.has_store:
            job.on_start = self._started

    def _started(self, job: Job) -> None:
        self._journal.opened(self._entry(job))

    def leave(self, job: Job) -> None:
        """Close a job that no client waits for, or queue its cancel if it still runs. Never waits."""
        if job.id is None:
            return
        entry = self._entry(job)
        if job.stream.is_terminal:
            self._journal.closed(entry)
            if job.is_answered and job.stream.execution_s is not None:
                self._executions.note(job.tenant.name, job.upstream.endpoint.name, job.stream.execution_s)
            if job.kept is not None:
                job.kept()
            return
        left = PendingCancel(
            attempt=job.cost.attempt,
            tenant=job.tenant,
            started_at_s=job.started_at_s,
            expires_at_s=job.expires_at_s,
            accepted_at_s=job.accepted_at_s,
            time=job.cost.time,
            close=partial(self._journal.closed, entry),
            release=job.kept or self._until_over(job, job.seat.keep()),
        )
        self._cancels.add(job.upstream, left)

    def cancels_pending(self) -> dict[str, int]:
        """Return the number of cancels that are not yet confirmed, by endpoint."""
        return self._cancels.pending()

    def background(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """Return the tasks that make the cancels and write the journal, by name."""
        tasks: dict[str, Callable[[], Awaitable[None]]] = {"cancels": self._cancels.run}
        if self._journal.has_store:
            tasks["journal"] = partial(self._journal.run, self._inherit)
        return tasks

    async def flush(self) -> None:
        """Wait until every cancel is confirmed."""
        await self._cancels.flush()

    async def aclose(self) -> None:
        """Settle the cost of attempts so far, and leave the journal with all jobs that are still open.

        A job that another process will end is charged there, for its whole run as Runpod reports it.
        """
        for address, upstream in self._upstreams.items():
            upstream.gpu.close(partial(self._is_others, address))
        await self._journal.leave()

    def _is_others(self, address: str, attempt: Attempt) -> bool:
        return self._journal.holds(f"{address} {attempt.job_id}")

    def _note_journal(self, *, is_up: bool, reason: str) -> None:
        self._observe(JournalChanged(is_up=is_up, reason=reason))

    def _give_back(self, entry: OpenJob) -> None:
        """Stop cancelling a job whose process was presumed dead and is alive."""
        if (upstream := self._upstreams.get(entry.endpoint)) is not None:
            self._cancels.drop(upstream, entry.job_id)

    def _inherit(self, entry: OpenJob) -> None:
        """Cancel a job that a dead process left. It is charged to its tenant and holds a seat here until it has ended.

        A job that cannot be taken over must not be passed on to another process.
        """
        try:
            self._cancel_orphan(entry)
        except Exception as error:  # noqa: BLE001 - an older process may have recorded anything; the job's ttl ends it.
            self._observe(Broke(request_id=entry.request_id, error=error))
            self._journal.closed(entry)

    def _cancel_orphan(self, entry: OpenJob) -> None:
        upstream = self._upstreams.get(entry.endpoint)
        if upstream is None:
            # The endpoint is not configured any more; the job's ttl ends it.
            self._journal.closed(entry)
            return
        unix_less_monotonic_s = self._clock.unix_s() - self._clock.monotonic_s()
        # The gate knows the configured weight.
        tenant = Tenant(name=entry.tenant)
        left = PendingCancel(
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
            tenant=tenant,
            started_at_s=None if entry.started_at_s is None else entry.started_at_s - unix_less_monotonic_s,
            expires_at_s=entry.expires_at_s - unix_less_monotonic_s,
            is_orphan=True,
            close=partial(self._journal.closed, entry),
            release=self._hold_orphan(upstream, entry),
        )
        self._cancels.add(upstream, left)

    def _until_over(self, job: Job, release: Release) -> Release:
        """Return `release`, extended: until it is called, the endpoint counts the job among its requests in flight."""
        # The job keeps the function, so that the function must not keep the job.
        activity = None if job.times is None else job.times.activity
        jobs_in_flight, clock = job.upstream.workers.jobs_in_flight, self._clock

        def ended() -> None:
            if activity is not None:
                jobs_in_flight.end(activity, clock.monotonic_s())
            release()

        return ended

    def _hold_orphan(self, upstream: Upstream, entry: OpenJob) -> Release:
        """Hold a seat and a place in flight for a job of a dead process; return the function that gives them back."""
        jobs_in_flight = upstream.workers.jobs_in_flight
        jobs_in_flight.begin(entry.job_id, self._clock.monotonic_s())
        jobs_in_flight.leave(entry.job_id)
        held = upstream.gates.work.hold(Tenant(name=entry.tenant)).release
        give_back = both(held, self._hold_place(entry.tenant))

        def release() -> None:
            jobs_in_flight.end(entry.job_id, self._clock.monotonic_s())
            give_back()

        return release

    def _entry(self, job: Job) -> OpenJob:
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
