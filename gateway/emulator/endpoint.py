"""Implement one emulated endpoint: its jobs, limits, workers and waiters. Monotonic time is read only here."""

import uuid
from collections.abc import Mapping

from gateway.clock import Clock
from gateway.emulator.deadlines import NEVER_S
from gateway.emulator.faults import FaultPlan
from gateway.emulator.job import Job, Occupancy, Terms
from gateway.emulator.jobs import JobStore
from gateway.emulator.limits import PUBLISHED, Limit, Meter, Operation
from gateway.emulator.notifier import Signals
from gateway.emulator.settings import EmulatorSettings
from gateway.emulator.worker_pool import Condition, Worker, Workforce
from gateway.emulator.worker_time import WorkerTime
from gateway.wire.runpod import EndpointHealth, JobPolicy

QUEUE = "queue"
NO_LIMIT = Limit()


class Endpoint:
    """Connect the APIs, which call and wait, to the pure job store, which decides."""

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
        """Return the time of the monotonic clock in seconds."""
        return self.clock.monotonic_s()

    def submit(self, job_input: bytes, *, policy: JobPolicy | None = None, is_sync: bool = False) -> Job:
        """Queue a job. `is_sync` is for /runsync and /openai: the id is prefixed, the result kept for a shorter time.

        Raises:
            QueueFullError: The endpoint keeps the maximum number of jobs, and none has ended.
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
        """Return the job, or None if it never existed or was deleted."""
        self.sweep()
        return self._jobs.find(job_id)

    def read(self, job: Job) -> list[bytes]:
        """Return one page of stream items and remove them from the job."""
        return self._jobs.read(job, self.settings.page_outputs_max)

    def read_all(self, job: Job) -> list[bytes]:
        """Return all stream items and remove them from the job."""
        return self._jobs.read(job)

    async def change(self, job: Job) -> None:
        """Wait until the job's state changes or new stream items can be read."""
        await self._job_signals.wait(job.id)

    def cancel(self, job: Job) -> None:
        """Cancel a job that has not ended; a running one only after the fault `late_cancel_s`."""
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
        """Cancel every queued job and return their number."""
        removed = self._jobs.purge(self.now_s)
        for job in removed:
            self._tell(job)
        return len(removed)

    def keep_for(self, job: Job, seconds: float) -> None:
        """Delete a finished job after this many seconds, if that is earlier than its retention."""
        self._jobs.keep_until(job, self.now_s + seconds)

    def jobs(self) -> list[Job]:
        """Return all kept jobs, oldest first."""
        self.sweep()
        return self._jobs.all()

    def occupancies(self, job: Job) -> list[Occupancy]:
        """Return the intervals in which a worker held the job."""
        return self.worker_time.occupancies(job, self.now_s)

    @property
    def is_full(self) -> bool:
        """Return True if the queue has reached its configured depth."""
        depth_max = self.settings.queued_jobs_max
        return bool(depth_max) and self._jobs.queued_count >= depth_max

    @property
    def has_work(self) -> bool:
        """Return True if a worker would find a job to take."""
        return self._jobs.queued_count > 0 and not self.plan.faults.workers_down

    def health(self) -> EndpointHealth:
        """Count the jobs and the workers, with the six kinds of workers that the live service reports."""
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
        """Dispatch the first queued job to this worker; None if there is none, workers are down, or this one sleeps."""
        self._sweep_jobs()
        if self.plan.faults.workers_down or self.workforce.is_asleep(worker_id):
            return None
        job = self._jobs.take(worker_id, self.now_s)
        if job is not None:
            self._tell(job)
        return job

    def holds(self, job: Job, worker_id: str) -> bool:
        """Return True if this worker runs the job."""
        return self._jobs.holds(job, worker_id)

    def add_item(self, job: Job, item: bytes) -> None:
        """Append one stream item to a running job."""
        self._jobs.add_item(job, item)
        self._job_signals.wake(job.id)

    def report_progress(self, job: Job, output: bytes) -> None:
        """Show an intermediate output of a running job in /status."""
        self._jobs.report_progress(job, output)

    def complete(self, job: Job, output: bytes) -> bool:
        """Complete a running job. Return False if the result was too large to keep."""
        fits = self._jobs.complete(job, output, self.now_s)
        self._tell(job)
        return fits

    def fail(self, job: Job, error: str) -> None:
        """Fail a running job."""
        self._jobs.fail(job, error, self.now_s)
        self._tell(job)

    def lose_worker(self, job: Job) -> None:
        """Queue a running job again after its worker died, or fail it after too many retries."""
        self._jobs.lose_worker(job, self.now_s)
        self._tell(job)
        self._queue_signals.wake(QUEUE)

    async def work(self) -> None:
        """Wait until there may be a new job to take."""
        await self._queue_signals.wait(QUEUE)

    def take_stops(self, worker_id: str) -> list[str]:
        """Return the ids of the jobs that this worker has to stop, and clear them."""
        return self._jobs.take_stops(worker_id)

    async def stop_signal(self, worker_id: str) -> None:
        """Wait until this worker has a job to stop."""
        await self._stop_signals.wait(worker_id)

    def change_worker(self, worker: Worker, condition: Condition) -> None:
        """Change a worker's condition. When one goes to sleep, wake the others: one of them may have to start."""
        self.workforce.change(worker, condition, self.now_s)
        if condition == "asleep":
            self._queue_signals.wake(QUEUE)

    def needs(self, worker: Worker) -> bool:
        """Return True if a sleeping scripted worker has to start."""
        self.sweep()
        queued = self._jobs.queued_count if self.has_work else 0
        return self.workforce.is_needed(worker, queued_count=queued, places=self.settings.worker_concurrency)

    def hear_of(self, worker_id: str) -> None:
        """Record a call from a remote worker."""
        self.workforce.hear_of(worker_id, self.now_s)

    def meter(self, operation: Operation) -> Meter:
        """Return the meter of one operation."""
        meter = self._meters.get(operation)
        if meter is None:
            limit = self.settings.limits.get(operation) or PUBLISHED.get(operation, NO_LIMIT)
            meter = self._meters[operation] = Meter(limit)
        return meter

    @property
    def meters(self) -> Mapping[Operation, Meter]:
        """Return the meters of all operations called so far."""
        return self._meters

    def extra_per_10s(self) -> int:
        """Return Runpod's dynamic limit: requests per worker times the workers that are up; 0 if it is not set."""
        per_worker = self.settings.requests_per_worker
        return per_worker * self.workforce.up_count() if per_worker else 0

    def sweep(self) -> None:
        """Apply everything that is due, and wake the tasks that wait for it."""
        self.workforce.send_to_standby(self.now_s)
        self._sweep_jobs()

    def bury_lost_workers(self) -> None:
        """Remove the remote workers that have been silent for `worker_lost_s`; their jobs are dispatched again."""
        now_s = self.now_s
        silent = self.workforce.bury_silent(now_s - self.settings.worker_lost_s, now_s)
        for job in self._jobs.running if silent else ():
            if job.worker_id in silent:
                self.lose_worker(job)
        for worker_id in silent:
            self._jobs.take_stops(worker_id)

    def close(self) -> None:
        """Delete every job and wake all waiting tasks."""
        self.is_closed = True
        self._jobs.clear(self.now_s)
        self.wake_all()

    def wake_all(self) -> None:
        """Wake all waiting tasks, so that they check their conditions again."""
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
