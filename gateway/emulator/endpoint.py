"""One emulated endpoint: its jobs, its limits, its workers, and who waits for what. Every clock reading is here."""

import uuid
from collections.abc import Mapping

from gateway.clock import Clock
from gateway.emulator.deadlines import NEVER_S
from gateway.emulator.faults import FaultPlan
from gateway.emulator.job import Job, Occupancy, Terms
from gateway.emulator.jobs import JobStore
from gateway.emulator.limits import PUBLISHED, Limit, Meter, Operation
from gateway.emulator.settings import EmulatorSettings
from gateway.emulator.signals import Signals
from gateway.emulator.worker_time import WorkerTime
from gateway.emulator.workforce import Condition, Worker, Workforce
from gateway.wire.runpod import EndpointHealth, JobPolicy

QUEUE = "queue"
NO_LIMIT = Limit()


class Endpoint:
    """The seam between the APIs, which ask and wait, and the pure store, which decides."""

    def __init__(self, endpoint_id: str, *, settings: EmulatorSettings, plan: FaultPlan, clock: Clock) -> None:
        self.id = endpoint_id
        self.settings = settings
        self.plan = plan
        self.clock = clock
        self.worker_time = WorkerTime()
        self.workforce = Workforce(
            self.worker_time,
            standby_workers=settings.standby_workers,
            idle_timeout_s=settings.idle_timeout_s,
            idle_shown=settings.idle_shown,
            standby_swings=settings.standby_swings,
        )
        self.is_closed = False
        self._jobs = JobStore(
            jobs_kept_max=settings.jobs_kept_max,
            result_bytes_max=settings.result_bytes_max,
            retries_max=settings.retries_max,
            worker_time=self.worker_time,
        )
        self._job_signals = Signals()
        self._queue_signals = Signals()
        self._stop_signals = Signals()
        self._meters: dict[Operation, Meter] = {}

    @property
    def now_s(self) -> float:
        """What time it is."""
        return self.clock.monotonic_s()

    def submit(self, job_input: bytes, *, policy: JobPolicy | None = None, is_sync: bool = False) -> Job:
        """Queue a job. `is_sync` is /runsync: its ids are marked and its results kept for a shorter time.

        Raises:
            QueueFullError: The endpoint keeps as many jobs as it may.
        """
        job = Job(
            id=f"{'sync-' if is_sync else ''}{uuid.uuid4()}-u1",
            input=job_input,
            terms=self._terms(policy or JobPolicy(), is_sync=is_sync),
            submitted_s=self.now_s,
        )
        self._jobs.submit(job)
        self._queue_signals.wake(QUEUE)
        return job

    def find(self, job_id: str) -> Job | None:
        """The job, or None where it never was or is no more."""
        self.sweep()
        return self._jobs.find(job_id)

    def read(self, job: Job) -> list[bytes]:
        """Hand out stream items; they are gone afterwards."""
        return self._jobs.read(job, self.settings.page_outputs_max)

    def read_all(self, job: Job) -> list[bytes]:
        """Hand out every stream item there is."""
        return self._jobs.read(job)

    async def change(self, job: Job) -> None:
        """Return when the job's state, or what can be read of it, has changed."""
        await self._job_signals.wait(job.id)

    def cancel(self, job: Job) -> None:
        """Cancel a job that has not ended, now or as late as the faults say."""
        self._jobs.cancel(job, self.now_s, late_s=self.plan.faults.late_cancel_s)
        self._tell(job)

    def retry(self, job: Job) -> None:
        """Queue a failed job again.

        Raises:
            IllegalMoveError: The job is neither FAILED nor TIMED_OUT.
        """
        self._jobs.retry(job, self.now_s)
        self._tell(job)
        self._queue_signals.wake(QUEUE)

    def purge(self) -> int:
        """Remove every queued job; how many there were."""
        removed = self._jobs.purge(self.now_s)
        for job in removed:
            self._tell(job)
        return len(removed)

    def keep_for(self, job: Job, seconds: float) -> None:
        """Delete a finished job's result after this long, if that is earlier than it would be."""
        self._jobs.keep_until(job, self.now_s + seconds)

    def jobs(self) -> list[Job]:
        """Every job that is kept, oldest first."""
        self.sweep()
        return self._jobs.all()

    def occupancies(self, job: Job) -> list[Occupancy]:
        """List the intervals in which a job had a worker."""
        return self.worker_time.occupancies(job, self.now_s)

    @property
    def is_full(self) -> bool:
        """Whether the queue is as deep as the settings let it be."""
        depth_max = self.settings.queued_jobs_max
        return bool(depth_max) and self._jobs.queued_count >= depth_max

    @property
    def has_work(self) -> bool:
        """Whether a worker would find something to do."""
        return self._jobs.queued_count > 0 and not self.plan.faults.workers_down

    def health(self) -> EndpointHealth:
        """Counts of jobs and of workers, with the six kinds of workers that the live service sends."""
        self.sweep()
        jobs = self._jobs
        return EndpointHealth(
            jobs={
                "completed": jobs.completed_count,
                "failed": jobs.failed_count,
                "inProgress": jobs.running_count,
                "inQueue": jobs.queued_count,
                "retried": jobs.retried_count,
            },
            workers=self.workforce.counts(self.now_s, down=self.plan.faults.workers_down),
        )

    def take(self, worker_id: str) -> Job | None:
        """Dispatch the job that waits longest to this worker, if one waits, and workers are not down, nor it asleep."""
        self._sweep_jobs()
        if self.plan.faults.workers_down or self.workforce.is_asleep(worker_id):
            return None
        job = self._jobs.take(worker_id, self.now_s)
        if job is not None:
            self._tell(job)
        return job

    def holds(self, job: Job, worker_id: str) -> bool:
        """Whether this worker is the one that runs the job."""
        return self._jobs.holds(job, worker_id)

    def add_item(self, job: Job, item: bytes) -> None:
        """Keep one stream item of a running job."""
        self._jobs.add_item(job, item)
        self._job_signals.wake(job.id)

    def report_progress(self, job: Job, output: bytes) -> None:
        """Show an intermediate output of a running job in /status."""
        self._jobs.report_progress(job, output)

    def complete(self, job: Job, output: bytes) -> bool:
        """End a running job well. False when the result was too large to keep."""
        fits = self._jobs.complete(job, output, self.now_s)
        self._tell(job)
        return fits

    def fail(self, job: Job, error: str) -> None:
        """End a running job badly."""
        self._jobs.fail(job, error, self.now_s)
        self._tell(job)

    def lose_worker(self, job: Job) -> None:
        """The worker of a running job died: the job is dispatched again, or failed."""
        self._jobs.lose_worker(job, self.now_s)
        self._tell(job)
        self._queue_signals.wake(QUEUE)

    async def work(self) -> None:
        """Return when there may be something new to take."""
        await self._queue_signals.wait(QUEUE)

    def take_stops(self, worker_id: str) -> list[str]:
        """The ids of the jobs that this worker has to stop."""
        return self._jobs.take_stops(worker_id)

    async def stop_signal(self, worker_id: str) -> None:
        """Return when this worker has something to stop."""
        await self._stop_signals.wait(worker_id)

    def change_worker(self, worker: Worker, condition: Condition) -> None:
        """Put a worker into another condition. Where one goes to sleep, another may have to start."""
        self.workforce.change(worker, condition, self.now_s)
        if condition == "asleep":
            self._queue_signals.wake(QUEUE)

    def needs(self, worker: Worker) -> bool:
        """Tell whether a sleeping scripted worker has to start."""
        self.sweep()
        queued = self._jobs.queued_count if self.has_work else 0
        return self.workforce.is_needed(worker, queued_count=queued, places=self.settings.worker_concurrency)

    def hear_of(self, worker_id: str) -> None:
        """A remote worker called."""
        self.workforce.hear_of(worker_id, self.now_s)

    def meter(self, operation: Operation) -> Meter:
        """The counters of one operation."""
        meter = self._meters.get(operation)
        if meter is None:
            limit = self.settings.limits.get(operation) or PUBLISHED.get(operation, NO_LIMIT)
            meter = self._meters[operation] = Meter(limit)
        return meter

    @property
    def meters(self) -> Mapping[Operation, Meter]:
        """The counters of every operation that was called."""
        return self._meters

    def extra_per_10s(self) -> int:
        """Runpod's dynamic limit: requests per worker, for each running worker."""
        per_worker = self.settings.requests_per_worker
        return per_worker * self.workforce.up_count() if per_worker else 0

    def sweep(self) -> None:
        """Do everything that is due, and wake those who wait for it."""
        self.workforce.send_to_standby(self.now_s)
        self._sweep_jobs()

    def bury_lost_workers(self) -> None:
        """Forget the remote workers that have been silent for too long; their jobs are dispatched again."""
        now_s = self.now_s
        silent = self.workforce.bury_silent(now_s - self.settings.worker_lost_s, now_s)
        for job in self._jobs.running if silent else ():
            if job.worker_id in silent:
                self.lose_worker(job)
        for worker_id in silent:
            self._jobs.take_stops(worker_id)

    def close(self) -> None:
        """Delete every job and let go of everybody who waits."""
        self.is_closed = True
        self._jobs.clear(self.now_s)
        self.wake_all()

    def wake_all(self) -> None:
        """Let everybody look again: the faults have changed."""
        self._job_signals.wake_all()
        self._queue_signals.wake_all()
        self._stop_signals.wake_all()

    def _sweep_jobs(self) -> None:
        now_s = self.now_s
        if self._jobs.next_deadline_s() <= now_s:
            for job in self._jobs.expire(now_s):
                self._tell(job)

    def _tell(self, job: Job) -> None:
        self._job_signals.wake(job.id)
        if self._jobs.has_stops(job.worker_id):
            self._stop_signals.wake(job.worker_id)

    def _terms(self, policy: JobPolicy, *, is_sync: bool) -> Terms:
        settings = self.settings
        ttl_s = settings.ttl_s if policy.ttl is None else max(policy.ttl / 1000, settings.ttl_s_min)
        limit_s = settings.execution_timeout_s
        if policy.execution_timeout is not None:
            limit_s = max(policy.execution_timeout / 1000, settings.execution_timeout_s_min)
        return Terms(
            ttl_s=ttl_s,
            execution_timeout_s=limit_s,
            retention_s=settings.sync_retention_s if is_sync else settings.run_retention_s,
            queue_timeout_s=self.plan.faults.queue_timeout_s or NEVER_S,
        )
