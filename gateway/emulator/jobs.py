"""The jobs of one endpoint: queue, dispatch, destructive reads, time limits, retention. Pure; takes now_s."""

from collections import OrderedDict

from gateway.emulator.deadlines import NEVER_S, Deadlines
from gateway.emulator.job import TRANSITIONS, IllegalMoveError, Job, QueueFullError
from gateway.emulator.worker_time import WorkerTime
from gateway.wire.runpod import JobState


class JobStore:
    """Every job of one endpoint, its queue, and the stop signals that its workers have not fetched yet.

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
        """The job, or None where it never was or is no more."""
        return self._jobs.get(job_id)

    def all(self) -> list[Job]:
        """Every job that is kept, oldest first."""
        return list(self._jobs.values())

    @property
    def running(self) -> list[Job]:
        """The jobs in progress, oldest dispatch first."""
        return list(self._running.values())

    @property
    def queued_count(self) -> int:
        """How many jobs wait for a worker."""
        return len(self._queue)

    @property
    def running_count(self) -> int:
        """How many jobs are in progress."""
        return len(self._running)

    def submit(self, job: Job) -> None:
        """Queue a new job.

        Raises:
            QueueFullError: There is no room, and no finished job to make room.
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
        """Hand out the oldest items that nobody was given yet, at most so many; 0 is all. They are gone afterwards."""
        if not outputs_max or len(job.unread) <= outputs_max:
            items, job.unread = job.unread, []
            return items
        items = job.unread[:outputs_max]
        del job.unread[:outputs_max]
        return items

    def cancel(self, job: Job, now_s: float, *, late_s: float = 0.0) -> None:
        """Cancel a job that has not ended; one that has stays as it is, as the answer for it is not documented.

        A queued job leaves the queue at once. A running one is CANCELLED at once too, and its worker told; with
        `late_s` both happen so much later, and until then the job goes on.
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
        """Queue a failed job again: same id, same input, old output removed, its time to live counted anew.

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
        """Remove every queued job from the queue. They show as CANCELLED, since nothing else is documented."""
        queued = list(self._queue.values())
        for job in queued:
            self._cancel_now(job, now_s)
        return queued

    def take(self, worker_id: str, now_s: float) -> Job | None:
        """Dispatch the job that waits longest, if one waits. First in, first out is an assumption."""
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
        """Whether this worker is the one that runs the job. What others still send about it is dropped."""
        return job.state is JobState.IN_PROGRESS and job.worker_id == worker_id and not job.is_deleted

    def add_item(self, job: Job, item: bytes) -> None:
        """Keep one stream item of a running job, whatever its size: how Runpod splits large ones is not published."""
        job.unread.append(item)
        job.outputs_count += 1

    def report_progress(self, job: Job, output: bytes) -> None:
        """Show an intermediate output of a running job: what a handler's `progress_update` sends."""
        job.output = output

    def complete(self, job: Job, output: bytes, now_s: float) -> bool:
        """End a running job well. False when the result was too large: COMPLETED all the same, without output."""
        fits = len(output) <= self._result_bytes_max
        job.output = output if fits else b""
        self._finish(job, JobState.COMPLETED, now_s)
        return fits

    def fail(self, job: Job, error: str, now_s: float) -> None:
        """End a running job badly. Its outputs stay readable, its partial result does not."""
        job.output, job.error = b"", error
        self._finish(job, JobState.FAILED, now_s)

    def lose_worker(self, job: Job, now_s: float) -> None:
        """The worker died: dispatch the job again, ahead of the queue, or fail it when that was tried often enough.

        What the dead worker yielded stays readable and the next one begins from the start, so a reader sees the
        beginning twice. What the real stream shows then is not known.
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
        """Whether this worker has something to stop."""
        return worker_id in self._stops

    def take_stops(self, worker_id: str) -> list[str]:
        """The ids of the jobs that this worker has to stop. They are gone afterwards."""
        return self._stops.pop(worker_id, [])

    def clear(self, now_s: float) -> None:
        """Delete every job."""
        for job in self.all():
            self._delete(job, now_s)

    def next_deadline_s(self) -> float:
        """When `expire` will have something to do, at the earliest."""
        return self._deadlines.next_s()

    def expire(self, now_s: float) -> list[Job]:
        """Do everything that is due: time limits, late cancels, deletions. Returns the jobs it changed."""
        changed = []
        while (job := self._deadlines.pop_due(now_s)) is not None:
            self._meet_deadline(job, now_s)
            changed.append(job)
        return changed

    def keep_until(self, job: Job, due_s: float) -> None:
        """Delete a finished job's result earlier than it would be: `/status?ttl=`."""
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
            # Documented: "the job fails and the worker stops". Here only the job is stopped, and it is not tried again.
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
        """The only place where a job's state changes; keeps the indexes in step."""
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
