"""Cancel the jobs of clients that have disconnected, within the small budget that Runpod allows for cancels.

Adding a job never waits and never fails, so that a request can be abandoned at any point. Tenants share the budget by
weight, so that a burst of one tenant delays another's cancels by no more than its share. Of one tenant's jobs, the one
with the most remaining work is cancelled first. Each job holds its seat until it has ended, or its ttl has ended it.
"""

import heapq
import itertools
from collections import deque

import anyio
from anyio.abc import TaskGroup

from gateway.clock import Clock
from gateway.domain import Operation, Tenant
from gateway.endpoints.mean_times import MeanTimes
from gateway.endpoints.upstream import Upstream
from gateway.errors import GatewayError, JobExpiredError
from gateway.events import Broke, CallOutcome, GpuTimeSettled, JobCancelled, Observer
from gateway.jobs.cancel_backlog import CancelBacklog, CancelEntry, DroppedError
from gateway.jobs.pending_cancel import PendingCancel
from gateway.wire.runpod import JobState, JobStatus

PAUSE_S_FIRST = 0.5
PAUSE_S_MAX = 8.0
TURN_S_MAX = 120.0
"""400 cancels at once need 42 s at 100 in 10 s."""
COST_TURN_S_MAX = 1.0
LOOK_S = 1.0
"""Seconds between status requests for a job that waits for its cancel."""
LOOKS_PER_S = 50
"""Status requests per second and endpoint, of 200 that /status allows: with more jobs, each is requested less often."""


class Canceller:
    """Hold the cancels that have to be made. `run` makes them, one entry per job, until it is cancelled itself."""

    def __init__(self, clock: Clock, observe: Observer, executions: MeanTimes) -> None:
        self._clock = clock
        self._observe = observe
        self._executions = executions
        self._lines: dict[str, CancelBacklog] = {}
        self._numbers = itertools.count()
        self._tasks: TaskGroup | None = None
        self._due: deque[tuple[CancelBacklog, str]] = deque()
        """Backlogs and tenants with new entries. Jobs are left in callbacks too, which cannot start tasks."""
        self._is_due = anyio.Event()
        self._settled = anyio.Event()

    def add(self, upstream: Upstream, job: PendingCancel) -> None:
        """Add a job to be cancelled."""
        line = self._lines.setdefault(upstream.endpoint.name, CancelBacklog(upstream))
        if job.job_id in line.pending:
            job.release()
        else:
            entry = CancelEntry(job, job.started_at_s, probed_at_s=self._clock.monotonic_s())
            line.pending[job.job_id] = entry
            if job.time is not None and job.started_at_s is not None:
                # This changes nothing, unless its client left while Runpod was asked for its start.
                job.time.started()
            self._push(line, entry)

    def drop(self, upstream: Upstream, job_id: str) -> None:
        """Stop cancelling a job, because the process that owns it is alive."""
        line = self._lines.get(upstream.endpoint.name)
        if line is not None and (entry := line.pending.get(job_id)) is not None:
            self._give_up(line, entry)

    def pending(self) -> dict[str, int]:
        """Return the number of cancels that are not yet confirmed, by endpoint."""
        return {name: len(line.pending) for name, line in self._lines.items()}

    async def run(self) -> None:
        """Make the cancels, including those that an earlier, failed run had started."""
        try:
            async with anyio.create_task_group() as self._tasks:
                self._tasks.start_soon(self._look_at_all)
                for line in self._lines.values():
                    line.due.clear()
                    line.asking.clear()
                    for entry in line.pending.values():
                        self._push(line, entry)
                while True:
                    self._is_due = anyio.Event()
                    while self._due:
                        self._dispatch(*self._due.popleft())
                    await self._is_due.wait()
        finally:
            self._tasks = None

    async def flush(self) -> None:
        """Wait until no cancel is pending."""
        while any(line.pending for line in self._lines.values()):
            await self._settled.wait()

    def _note_settled(self) -> None:
        self._settled.set()
        self._settled = anyio.Event()

    def _push(self, line: CancelBacklog, entry: CancelEntry) -> None:
        if entry.job.job_id not in line.pending:
            return
        tenant, endpoint = entry.job.tenant.name, line.upstream.endpoint
        mean_s = self._executions.mean_s(tenant, endpoint.name)
        work_s = endpoint.execution_timeout_s if mean_s is None else mean_s
        heapq.heappush(line.due[tenant], (self._ran_s(entry) - work_s, next(self._numbers), entry))
        self._due.append((line, tenant))
        self._is_due.set()

    def _ran_s(self, entry: CancelEntry) -> float:
        return 0.0 if entry.started_at_s is None else self._clock.monotonic_s() - entry.started_at_s

    def _dispatch(self, line: CancelBacklog, tenant: str) -> None:
        """Start tasks until as many wait for the budget as the tenant has entries to cancel, within its concurrency."""
        tasks_max = line.upstream.endpoint.limit(Operation.CANCEL).concurrent
        due = line.due[tenant]
        while self._tasks is not None and line.asking[tenant] < min(len(due), tasks_max):
            line.asking[tenant] += 1
            self._tasks.start_soon(self._cancel_one, line, due[0][2].job.tenant)
        if not due and not line.asking[tenant]:
            del line.due[tenant], line.asking[tenant]

    async def _cancel_one(self, line: CancelBacklog, tenant: Tenant) -> None:
        """Cancel one job of this tenant, and follow it up until it is settled or queued again."""
        entry, status = await self._request_cancel(line, tenant)
        if entry is None:
            line.asking[tenant.name] -= 1
        elif entry.job.job_id in line.pending:
            # The job was not dropped during the call.
            await self._follow_up(line, entry, status)
        self._dispatch(line, tenant.name)

    async def _request_cancel(self, line: CancelBacklog, tenant: Tenant) -> tuple[CancelEntry | None, JobStatus | None]:
        """Wait for a permit of this tenant; then cancel its job that has the most remaining work.

        Return the job, if a permit was granted in time and a job was left, and the reply, if the call succeeded.
        """
        entry: CancelEntry | None = None
        try:
            async with line.upstream.calling(Operation.CANCEL, tenant=tenant, wait_s_max=TURN_S_MAX):
                entry = line.take(tenant.name)
                reply = await line.upstream.jobs.cancel(entry.job.job_id)
        except JobExpiredError:
            # A 404 may be about the call: the status is requested at once, before the job is taken to be gone.
            if entry is not None:
                entry.tries = max(1, entry.tries)
        except (GatewayError, DroppedError):
            pass
        except Exception as error:  # noqa: BLE001 - one bad cancel must not end the queue, and with it the process.
            self._observe(Broke(request_id="", error=error))
        else:
            return entry, reply
        return entry, None

    async def _follow_up(self, line: CancelBacklog, entry: CancelEntry, status: JobStatus | None) -> None:
        """Settle the job if it has ended, by the reply to its cancel; otherwise try again. None: the call failed."""
        try:
            if status is not None and status.state.is_terminal:
                await self._settle(line, entry, CallOutcome.OK, status)
            else:
                await self._try_again(line, entry, status)
        except Exception as error:  # noqa: BLE001 - one bad answer must not end the queue; it is tried again until its ttl.
            self._observe(Broke(request_id=entry.job.attempt.request_id, error=error))
            if not await self._pause(line, entry):
                self._give_up(line, entry)

    async def _look_at_all(self) -> None:
        """Request the status of jobs that wait for their cancel: a job with little remaining work may end before."""
        while True:
            await anyio.sleep(LOOK_S)
            for line in tuple(self._lines.values()):
                count = max(1, min(len(line.pending), int(LOOKS_PER_S * LOOK_S)))
                entries = sorted(line.pending.values(), key=lambda entry: entry.probed_at_s)[:count]
                for entry in entries:
                    if self._clock.monotonic_s() - entry.probed_at_s >= LOOK_S and self._tasks is not None:
                        entry.probed_at_s = self._clock.monotonic_s()
                        self._tasks.start_soon(self._look_at, line, entry)

    async def _look_at(self, line: CancelBacklog, entry: CancelEntry) -> None:
        try:
            if (over := await self._look(line, entry)) is not None and entry.job.job_id in line.pending:
                await self._settle(line, entry, *over)
        except Exception as error:  # noqa: BLE001 - one bad answer must not end the queue.
            self._observe(Broke(request_id=entry.job.attempt.request_id, error=error))

    async def _try_again(self, line: CancelBacklog, entry: CancelEntry, status: JobStatus | None) -> None:
        """Retry after a pause, because the call failed or the job has not ended, unless its ttl ends it before."""
        if status is not None:
            self._note_state(entry, status)
        if entry.tries and (over := await self._look(line, entry)) is not None:
            await self._settle(line, entry, *over)
            return
        if not await self._pause(line, entry):
            await self._settle(line, entry, CallOutcome.FAILED, None)

    async def _pause(self, line: CancelBacklog, entry: CancelEntry) -> bool:
        """Wait, and queue its cancel again; return False if its ttl ends it before."""
        pause_s = min(PAUSE_S_MAX, PAUSE_S_FIRST * 2**entry.tries)
        entry.tries += 1
        if self._clock.monotonic_s() + pause_s >= entry.job.expires_at_s:
            return False
        await anyio.sleep(pause_s)
        self._push(line, entry)
        return True

    def _give_up(self, line: CancelBacklog, entry: CancelEntry) -> None:
        """Release a job without reporting its cost."""
        line.pending.pop(entry.job.job_id, None)
        entry.job.close()
        entry.release()
        self._note_settled()

    async def _look(self, line: CancelBacklog, entry: CancelEntry) -> tuple[CallOutcome, JobStatus | None] | None:
        """Return the outcome and status if the job has ended without a cancel; None if it has not, or if it is unknown.

        Runpod's reply to the cancel of a job that has ended is not documented, and cancels are scarce.
        """
        try:
            status = await self._status(line, entry.job)
        except JobExpiredError:
            return CallOutcome.GONE, None
        except GatewayError:
            return None
        self._note_state(entry, status)
        return (CallOutcome.OK, status) if status.state.is_terminal else None

    def _note_state(self, entry: CancelEntry, status: JobStatus) -> None:
        """Record whether a worker has a job that has not ended, and since when, by the delay that Runpod reports."""
        now_s, job = self._clock.monotonic_s(), entry.job
        if status.state is JobState.IN_QUEUE and entry.started_at_s is None and job.time is not None:
            job.time.queued()
        elif status.state in {JobState.IN_PROGRESS, JobState.RUNNING} and entry.started_at_s is None:
            began_at_s = None
            if job.accepted_at_s is not None and status.delay_s is not None:
                began_at_s = min(now_s, job.accepted_at_s + status.delay_s)
            entry.started_at_s = now_s if began_at_s is None else began_at_s
            if job.time is not None:
                job.time.started(began_at_s)

    async def _settle(
        self, line: CancelBacklog, entry: CancelEntry, outcome: CallOutcome, status: JobStatus | None
    ) -> None:
        """Release an ended job, and report its cost and what the cancel saved."""
        job = entry.job
        # The seat is released before the cost is requested: the job has ended.
        entry.release()
        execution_s = await self._execution_s(line, job, status)
        if line.pending.pop(job.job_id, None) is None:
            return
        self._note_settled()
        gpu_s = self._end_time(line, entry, execution_s)
        job.close()
        means, attempt = line.upstream.gpu_means, job.attempt
        usual_s = means.mean_s(attempt.tenant, attempt.endpoint) or 0.0
        is_ended = status is not None and status.state is JobState.CANCELLED
        self._observe(
            JobCancelled(
                attempt=attempt,
                outcome=outcome,
                is_orphan=job.is_orphan,
                gpu_s=gpu_s,
                execution_s=execution_s,
                saved_s=max(0.0, usual_s - gpu_s) if is_ended else 0.0,
            )
        )

    def _end_time(self, line: CancelBacklog, entry: CancelEntry, execution_s: float | None) -> float:
        """End its GPU time, after the run time that Runpod reports; return its GPU seconds as far as they are known."""
        job, time = entry.job, entry.job.time
        if time is None:
            # The process that saw its start is dead: use Runpod's figure, or a guess from what the process recorded.
            guess_s = min(self._ran_s(entry), line.upstream.endpoint.execution_timeout_s)
            gpu_s = guess_s if execution_s is None else execution_s
            self._observe(GpuTimeSettled(attempt=job.attempt, gpu_s=gpu_s, execution_s=execution_s))
            return gpu_s
        time.execution_s = execution_s
        if entry.started_at_s is None and execution_s:
            # Its start was not observed.
            time.started(self._clock.monotonic_s() - execution_s)
        time.ended(after_s=execution_s)
        return time.gpu_s

    async def _execution_s(self, line: CancelBacklog, job: PendingCancel, status: JobStatus | None) -> float | None:
        """Return the seconds for which a worker ran it, as Runpod reports them; None if they are not available."""
        if status is not None and status.execution_s is None:
            try:
                status = await self._status(line, job)
            except GatewayError:
                return None
        return None if status is None else status.execution_s

    async def _status(self, line: CancelBacklog, job: PendingCancel) -> JobStatus:
        return await line.upstream.call(
            Operation.STATUS,
            lambda: line.upstream.jobs.read_status(job.job_id),
            tenant=job.tenant,
            wait_s_max=COST_TURN_S_MAX,
        )
