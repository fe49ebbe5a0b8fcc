"""Store the jobs of one endpoint: queue, dispatch, destructive reads, time limits, retention. Pure; takes now_s."""

from collections import OrderedDict

from gateway.emulator.deadlines import NEVER_S, Deadlines
from gateway.emulator.job import TRANSITIONS, IllegalMoveError, Job, QueueFullError
from gateway.emulator.worker_time import WorkerTime
from gateway.wire.runpod import JobState


class JobStore:
    """Hold every job of one endpoint, its queue, and the stop signals that its workers have not fetched yet.

    Methods that take a job expect one of this store that is not deleted.
    """

    def __init__(
        self, *, jobs_kept_max: int, result_bytes_max: int, retries_max: int, worker_time: WorkerTime | None = None
    ) -> None:
        self._jobs: dict[str, Job] = {}
        self._queue: OrderedDict[str, Job] = OrderedDict()
        self._running: dict[str, Job] = {}
        self._finished: dict[str, Job] = {}
        self._deadlines: Deadlines[Job] = Deadlines()
        self._stops: dict[str, list[str]] = {}
        self._worker_time = worker_time or WorkerTime()
        self._jobs_kept_max = jobs_kept_max
        self._result_bytes_max = result_bytes_max
        self._retries_max = retries_max
        self.completed_count = 0
        self.failed_count = 0
        self.retried_count = 0

    def find(self, job_id: str) -> Job | None:
        """Return the job, or None if it never existed or was deleted."""
        return self._jobs.get(job_id)

    def all(self) -> list[Job]:
        """Return all kept jobs, oldest first."""
        return list(self._jobs.values())

    @property
    def running(self) -> list[Job]:
        """Return the jobs in progress, oldest dispatch first."""
        return list(self._running.values())

    @property
    def queued_count(self) -> int:
        """Return the number of jobs that wait for a worker."""
        return len(self._queue)

    @property
    def running_count(self) -> int:
        """Return the number of jobs in progress."""
        return len(self._running)

    def submit(self, job: Job) -> None:
        """Queue a new job.

        Raises:
            QueueFullError: The store is full and holds no finished job to delete.
        """
        while len(self._jobs) >= self._jobs_kept_max:
            if not self._finished:
                raise QueueFullError
            self._delete(next(iter(self._finished.values())), job.submitted_s)
        job.queued_s = job.submitted_s
        job.expires_s = job.submitted_s + job.terms.ttl_s
        self._jobs[job.id] = self._queue[job.id] = job
        self._schedule(job)

    def read(self, job: Job, outputs_max: int = 0) -> list[bytes]:
        """Return the oldest unread items, at most `outputs_max` (0 means all), and remove them from the job."""
        if not outputs_max or len(job.unread) <= outputs_max:
            items, job.unread = job.unread, []
            return items
        items = job.unread[:outputs_max]
        del job.unread[:outputs_max]
        return items

    def cancel(self, job: Job, now_s: float, *, late_s: float = 0.0) -> None:
        """Cancel a job that has not ended; leave an ended one unchanged, since the reply for it is not documented.

        A queued job leaves the queue at once. A running one is CANCELLED at once too, and its worker receives a stop
        signal; with `late_s` both happen that many seconds later, and until then the job goes on.
        """
        if job.state.is_terminal or job.cancel_requested_s is not None:
            return
        job.cancel_requested_s = now_s
        if job.state is JobState.IN_PROGRESS and late_s > 0:
            job.cancel_due_s = now_s + late_s
            self._schedule(job)
            return
        self._cancel_now(job, now_s)

    def retry(self, job: Job, now_s: float) -> None:
        """Queue a failed job again: same id, same input, old output removed, time to live restarted.

        Raises:
            IllegalMoveError: The job is neither FAILED nor TIMED_OUT.
        """
        if job.state not in {JobState.FAILED, JobState.TIMED_OUT}:
            raise IllegalMoveError
        self._move(job, JobState.IN_QUEUE, now_s)
        self.retried_count += 1
        job.output, job.error, job.unread = b"", "", []
        job.finished_s = job.dispatched_s = job.cancel_requested_s = None
        job.cancel_due_s = NEVER_S
        job.submitted_s = job.queued_s = now_s
        job.expires_s = now_s + job.terms.ttl_s
        self._schedule(job)

    def purge(self, now_s: float) -> list[Job]:
        """Cancel every queued job and return them. CANCELLED is an assumption: no other state is documented."""
        queued = list(self._queue.values())
        for job in queued:
            self._cancel_now(job, now_s)
        return queued

    def take(self, worker_id: str, now_s: float) -> Job | None:
        """Dispatch the first job of the queue; None if it is empty. First in, first out is an assumption."""
        if not self._queue:
            return None
        job = next(iter(self._queue.values()))
        self._move(job, JobState.IN_PROGRESS, now_s)
        job.worker_id, job.dispatched_s = worker_id, now_s
        self._worker_time.begin(job, worker_id, now_s)
        job.dispatches += 1
        self._schedule(job)
        return job

    def holds(self, job: Job, worker_id: str) -> bool:
        """Return True if this worker runs the job. Reports about it from other workers are dropped."""
        return job.state is JobState.IN_PROGRESS and job.worker_id == worker_id and not job.is_deleted

    def add_item(self, job: Job, item: bytes) -> None:
        """Append one stream item of any size to a running job: how Runpod splits large ones is not published."""
        job.unread.append(item)
        job.outputs_count += 1

    def report_progress(self, job: Job, output: bytes) -> None:
        """Set the intermediate output of a running job, which a handler's `progress_update` sends."""
        job.output = output

    def complete(self, job: Job, output: bytes, now_s: float) -> bool:
        """Complete a running job. Return False if the result was too large: then it is COMPLETED without output."""
        fits = len(output) <= self._result_bytes_max
        job.output = output if fits else b""
        self._finish(job, JobState.COMPLETED, now_s)
        return fits

    def fail(self, job: Job, error: str, now_s: float) -> None:
        """Fail a running job. Its stream items stay readable; its partial result is removed."""
        job.output, job.error = b"", error
        self._finish(job, JobState.FAILED, now_s)

    def lose_worker(self, job: Job, now_s: float) -> None:
        """Queue a job again after its worker died, ahead of the queue, or fail it after `retries_max` retries.

        Outputs of the dead worker stay readable and the next worker begins from the start, so a reader sees the
        beginning twice. What the real stream does is not known. A job with a pending cancel is cancelled instead.
        """
        if job.cancel_requested_s is not None:
            self._cancel_now(job, now_s)
            return
        if job.retries >= self._retries_max:
            self.fail(job, _platform_error(job), now_s)
            return
        job.retries += 1
        self.retried_count += 1
        self._move(job, JobState.IN_QUEUE, now_s)
        self._queue.move_to_end(job.id, last=False)
        job.output, job.queued_s = b"", now_s
        self._schedule(job)

    def has_stops(self, worker_id: str) -> bool:
        """Return True if this worker has a job to stop."""
        return worker_id in self._stops

    def take_stops(self, worker_id: str) -> list[str]:
        """Return the ids of the jobs that this worker has to stop, and clear them."""
        return self._stops.pop(worker_id, [])

    def clear(self, now_s: float) -> None:
        """Delete every job."""
        for job in self.all():
            self._delete(job, now_s)

    def next_deadline_s(self) -> float:
        """Return the earliest time at which `expire` may have something to do; infinity if there is none."""
        return self._deadlines.next_s()

    def expire(self, now_s: float) -> list[Job]:
        """Apply everything that is due: time limits, delayed cancels, deletions. Return the changed jobs."""
        changed = []
        while (job := self._deadlines.pop_due(now_s)) is not None:
            self._meet_deadline(job, now_s)
            changed.append(job)
        return changed

    def keep_until(self, job: Job, due_s: float) -> None:
        """Delete a finished job at `due_s` if that is earlier than its retention: `/status?ttl=`."""
        if job.state.is_terminal and due_s < job.deadline_s:
            self._deadlines.set(job, due_s, owners=len(self._jobs))

    def _meet_deadline(self, job: Job, now_s: float) -> None:
        if job.state.is_terminal or now_s >= job.expires_s:
            self._delete(job, now_s)
        elif job.state is JobState.IN_QUEUE:
            self._finish(job, JobState.TIMED_OUT, now_s)
        elif now_s >= job.cancel_due_s:
            self._cancel_now(job, now_s)
        else:
            # Documented: "the job fails and the worker stops". Here only the job is stopped, and it is not retried.
            self._stop(job)
            self.fail(job, _platform_error(job), now_s)

    def _schedule(self, job: Job) -> None:
        due_s = job.expires_s
        if job.finished_s is not None:
            due_s = job.finished_s + job.terms.retention_s
        elif job.state is JobState.IN_QUEUE:
            due_s = min(due_s, job.queued_s + job.terms.queue_timeout_s)
        elif job.dispatched_s is not None:
            due_s = min(due_s, job.dispatched_s + job.terms.execution_timeout_s, job.cancel_due_s)
        self._deadlines.set(job, due_s, owners=len(self._jobs))

    def _move(self, job: Job, state: JobState, now_s: float) -> None:
        """Change a job's state and keep the indexes consistent. No other code changes the state."""
        if state not in TRANSITIONS[job.state]:
            raise IllegalMoveError
        self._leave_worker(job, now_s)
        del self._index(job.state)[job.id]
        job.state = state
        self._index(state)[job.id] = job

    def _index(self, state: JobState) -> dict[str, Job]:
        if state is JobState.IN_QUEUE:
            return self._queue
        return self._running if state is JobState.IN_PROGRESS else self._finished

    def _finish(self, job: Job, state: JobState, now_s: float) -> None:
        self._move(job, state, now_s)
        job.finished_s = now_s
        self.completed_count += state is JobState.COMPLETED
        self.failed_count += state in {JobState.FAILED, JobState.TIMED_OUT}
        self._schedule(job)

    def _cancel_now(self, job: Job, now_s: float) -> None:
        self._stop(job)
        job.output = b""
        self._finish(job, JobState.CANCELLED, now_s)

    def _stop(self, job: Job) -> None:
        if job.state is JobState.IN_PROGRESS:
            self._stops.setdefault(job.worker_id, []).append(job.id)

    def _leave_worker(self, job: Job, now_s: float) -> None:
        if job.state is JobState.IN_PROGRESS:
            self._worker_time.end(job, now_s)

    def _delete(self, job: Job, now_s: float) -> None:
        self._stop(job)
        self._leave_worker(job, now_s)
        del self._index(job.state)[job.id]
        del self._jobs[job.id]
        job.is_deleted, job.deadline_s = True, NEVER_S


def _platform_error(job: Job) -> str:
    return f"job timed out after {job.retries} retries"
