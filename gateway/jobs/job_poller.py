"""Run one job over HTTP: submit it once, and read it with a single poller."""

from collections.abc import Callable

import anyio
from msgspec import Raw

from gateway.admission.ref_counted_hold import Release
from gateway.admission.seat import Seat
from gateway.clock import Clock
from gateway.domain import EndpointState, Operation, Tenant
from gateway.endpoints.gpu_time import AttemptCost, AttemptTime
from gateway.endpoints.upstream import Upstream
from gateway.endpoints.worker_state import Activity
from gateway.errors import (
    GatewayError,
    JobExpiredError,
    UnreachableError,
    UpstreamBusyError,
    UpstreamError,
    UpstreamTimeoutError,
)
from gateway.jobs.abandonment import abandon_submission
from gateway.jobs.answer_memory import AnswerMemory
from gateway.jobs.job_policy import job_policy, retry_pause_s
from gateway.translate.job_stream import JobStream, Next
from gateway.wire.openai import Parts

POLL_WAIT_S = 10.0
"""Seconds that a poll is held open: the service's own long poll; longer ones approach the 100 s limit of its edge."""
POLL_WAIT_S_MIN = 1.0
"""Shortest poll that the service accepts, used before a worker starts and while other polls wait for the budget."""
FAILED_CALLS_MAX = 5
"""Maximum number of consecutive failed calls, as in the Runpod SDK."""
STATUS_PAUSE_S = 0.5
HASTY_PAGE_S = 0.2
"""An empty page that returns in less than these seconds was not held open: pause, to save the budget that all share."""
SUBMIT_S_MAX = 45.0
START_DOUBT_S = 0.25
"""Maximum uncertainty of a worker's start, in seconds, without asking Runpod."""
COST_PAUSES_S = (0.0, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
"""Pauses before each request whether an answered job has ended; after the last one it is cancelled."""


class JobPoller:
    """Represent a job in progress. `read` returns the worker's output; `stream` is its state."""

    def __init__(
        self, upstream: Upstream, *, tenant: Tenant, seat: Seat, is_stream: bool, cost: AttemptCost, clock: Clock
    ) -> None:
        self.id: str | None = None
        self.upstream = upstream
        self.seat = seat
        self.kept: Release | None = None
        """Releases what it kept of its seat when its request ended."""
        # Its timeouts stay those of its submission.
        self._endpoint = upstream.endpoint
        self.tenant = tenant
        self.cost = cost
        self.has_text = False
        """True if its client has received text: until then it is polled before others."""
        self.is_answered = False
        """True if its client has the whole answer, so that only its cost is still unknown."""
        self.stream = JobStream()
        self.activity: Activity | None = None
        self.expires_at_s = 0.0
        """Time at which its ttl ends it, in monotonic seconds."""
        self._time: AttemptTime | None = None
        self._is_timed = False
        """True if the GPU clock knows when a worker started with it."""
        self._not_queued_since_s = 0.0
        """Last time at which it was seen to wait for a worker."""
        self._is_stream, self._clock = is_stream, clock
        self.accepted_at_s = 0.0
        self.on_start: Callable[[JobPoller], None] = lambda _job: None
        """Called with it when a worker is seen to have it."""
        self._failed_calls = 0

    async def submit(
        self,
        job_input: Parts,
        *,
        client_s: float | None,
        turn_s_max: float,
        is_urgent: bool = False,
        traceparent: str | None = None,
    ) -> None:
        """Submit the job to Runpod; its client waits for `client_s` more seconds, or without a known end.

        Raises:
            GatewayError: It was not accepted, or this is unknown: then its ttl ends it.
        """
        policy = job_policy(self._endpoint, client_s=client_s)
        ttl_s = (policy.ttl or 0) / 1000
        async with self.upstream.calling(Operation.RUN, tenant=self.tenant, wait_s_max=turn_s_max, is_urgent=is_urgent):
            # Shielded: if the client left before the reply, the job would run and could not be cancelled.
            with anyio.move_on_after(SUBMIT_S_MAX, shield=True):
                try:
                    self.id = await self.upstream.jobs.submit(job_input, policy=policy, traceparent=traceparent)
                except UnreachableError as error:
                    if error.was_sent:
                        self._abandon(ttl_s)
                    raise
            if self.id is None:
                self._abandon(ttl_s)
                raise UnreachableError("no reply to a submission", was_sent=True)
        self.accepted_at_s = self._clock.monotonic_s()
        self.activity = self.upstream.begin(self.tenant)
        self._time = self.cost.open(self.upstream.gpu, job_id=self.id)
        self.expires_at_s = self.accepted_at_s + ttl_s

    def _abandon(self, ttl_s: float) -> None:
        abandon_submission(self.upstream, self.cost.attempt, self.seat.keep(), ttl_s=ttl_s)

    async def read(self, memory: AnswerMemory) -> list[Raw]:
        """Poll Runpod once; return the new outputs, if there are any. The caller must have passed on those before.

        Raises:
            GatewayError: The job failed, its output is lost, or it timed out.
        """
        memory.reply(0)
        asked_at_s = self._clock.monotonic_s()
        remaining_s = self._remaining_s(asked_at_s)
        reads_page = self.stream.next is Next.READ_PAGE
        try:
            if reads_page:
                outputs = await self._read_page(remaining_s, asked_at_s, memory)
            else:
                outputs = await self._read_status(remaining_s, memory)
        except JobExpiredError:
            raise self.stream.expired() from None
        except (UpstreamBusyError, UnreachableError) as error:
            await self._after_failure(error, was_page=reads_page)
            return []
        except UpstreamError:
            if self.stream.failed_in_handler:
                # A worker ran it, because its handler reported the failure.
                self._note_answer(is_first_token=False)
            raise
        self._failed_calls = 0
        await self._note_start()
        if self.stream.has_output and (outputs or self.stream.is_terminal):
            self._note_answer(is_first_token=self._is_stream)
        is_hasty = self._clock.monotonic_s() - asked_at_s < HASTY_PAGE_S
        if not outputs and is_hasty and not self.stream.is_terminal and self.stream.next is not Next.NOTHING:
            await anyio.sleep(HASTY_PAGE_S if reads_page else STATUS_PAUSE_S)
        return outputs

    async def _read_page(self, remaining_s: float, now_s: float, memory: AnswerMemory) -> list[Raw]:
        gate = self.upstream.gates.call(Operation.STREAM)
        # Short until a worker has it, because its GPU time counts from then.
        is_short = gate.has_line or not self.stream.has_started
        wait_s = max(POLL_WAIT_S_MIN, min(POLL_WAIT_S_MIN if is_short else POLL_WAIT_S, remaining_s))
        # Before the first output, a page may show that a worker has the job, which extends its time.
        end_s = now_s + remaining_s + (0.0 if self.stream.has_output else POLL_WAIT_S)
        page = await self.upstream.call(
            Operation.STREAM,
            lambda: self.upstream.jobs.read_page(
                self._known_id(), wait_s=wait_s, timeout_s=end_s - self._clock.monotonic_s(), hold=memory.reply
            ),
            tenant=self.tenant,
            wait_s_max=remaining_s,
            is_urgent=not self.has_text,
        )
        outputs = self.stream.page(page)
        memory.reply_outputs(len(outputs))
        return outputs

    async def _read_status(self, remaining_s: float, memory: AnswerMemory) -> list[Raw]:
        status = await self.upstream.call(
            Operation.STATUS,
            lambda: self.upstream.jobs.read_status(self._known_id(), hold=memory.reply),
            tenant=self.tenant,
            wait_s_max=remaining_s,
        )
        return self.stream.status(status)

    async def _after_failure(self, error: UpstreamBusyError | UnreachableError, *, was_page: bool) -> None:
        """Wait after a temporary failure, and record that a page may be lost; raise the error after too many."""
        self._failed_calls += 1
        if self._failed_calls > FAILED_CALLS_MAX:
            raise error
        retry_after_s = None if isinstance(error, UnreachableError) else error.retry_after_s
        if isinstance(error, UnreachableError) and was_page and error.was_sent:
            self.stream.lost()
        pause_s = retry_pause_s(self._failed_calls, retry_after_s, spread_by=self.id or self.tenant.name)
        await anyio.sleep(min(pause_s, self._remaining_s(self._clock.monotonic_s())))

    async def learn_costs(self) -> None:
        """Read the times that Runpod reports only for ended jobs, after a complete answer. Best effort, and bounded."""
        for pause_s in COST_PAUSES_S:
            await anyio.sleep(pause_s)
            try:
                status = await self.upstream.call(
                    Operation.STATUS,
                    lambda: self.upstream.jobs.read_status(self._known_id()),
                    tenant=self.tenant,
                    wait_s_max=1.0,
                )
            except GatewayError:
                return
            self.stream.note_costs(status)
            if self.stream.is_terminal:
                return

    @property
    def started_at_s(self) -> float | None:
        """Return the time at which a worker was seen to have it, in monotonic seconds; None if it was not."""
        return None if self.activity is None else self.activity.taken_at_s

    def _note_answer(self, *, is_first_token: bool) -> None:
        if self.activity is not None:
            self.upstream.output(self.activity, is_first_token=is_first_token)

    async def _note_start(self) -> None:
        """Record the start of a worker; if polls leave it uncertain, by the delay that Runpod reports."""
        time, activity = self._time, self.activity
        if time is None or activity is None or self._is_timed:
            return
        now_s = self._clock.monotonic_s()
        if not self.stream.has_started:
            self._not_queued_since_s = now_s
            time.queued()
            return
        self._is_timed = True
        began_at_s = None
        since_s = max(self.accepted_at_s, self._not_queued_since_s)
        # Recorded first, because its client may leave while Runpod is asked.
        self.upstream.taken(activity)
        if not activity.is_surely_warm and now_s - since_s > START_DOUBT_S:
            began_at_s = await self._learn_start()
            self.upstream.taken(activity, at_s=began_at_s)
        time.started(began_at_s)
        self.on_start(self)

    async def _learn_start(self) -> float | None:
        """Return the time at which it left Runpod's queue, by a status request; None if unknown. Best effort."""
        if self.stream.delay_s is None:
            try:
                status = await self.upstream.call(
                    Operation.STATUS,
                    lambda: self.upstream.jobs.read_status(self._known_id()),
                    tenant=self.tenant,
                    wait_s_max=START_DOUBT_S,
                )
            except GatewayError:
                return None
            self.stream.delay_s = status.delay_s
        if self.stream.delay_s is None:
            return None
        return min(self._clock.monotonic_s(), self.accepted_at_s + self.stream.delay_s)

    def note_times(self) -> None:
        """Keep the times that Runpod reported, in the account of the attempt."""
        self.cost.delay_s = self.stream.delay_s
        if self._time is not None:
            self._time.execution_s = self.stream.execution_s

    def end(self) -> None:
        """Record that its client has its answer or has left; unless it has ended, its GPU time runs on."""
        if self.activity is not None:
            self.activity.end(self._clock.monotonic_s(), may_run=not self.stream.is_terminal)
        self.note_times()
        if self._time is not None and (self.is_answered or self.stream.is_terminal):
            if self.stream.has_started:
                # This changes nothing, unless its client left while Runpod was asked for its start.
                self._time.started()
            self._time.ended(after_s=self.stream.execution_s)

    def _remaining_s(self, now_s: float) -> float:
        """Return the remaining seconds of the current timeout: for the first output, or for the execution.

        Raises:
            NoWorkerError: No worker took the job in time.
            UpstreamTimeoutError: A worker did, and has not finished in time.
        """
        endpoint = self._endpoint
        # An answer in one piece shows nothing until it is complete: a worker that has it may use its whole time.
        is_at_work = self.stream.has_output or (self.stream.has_started and not self._is_stream)
        started_at_s = self.started_at_s if is_at_work else None
        if started_at_s is not None:
            remaining_s = started_at_s + endpoint.execution_timeout_s - now_s
        else:
            remaining_s = self.accepted_at_s + endpoint.cold_start_timeout_s - now_s
        if remaining_s > 0:
            return remaining_s
        if started_at_s is not None:
            is_loading = self.upstream.workers.state(now_s) is EndpointState.LOADING
            raise UpstreamTimeoutError(ran_s=now_s - started_at_s, is_loading=is_loading)
        self.stream.delay_s = now_s - self.accepted_at_s
        raise self.upstream.no_worker(endpoint.cold_start_timeout_s)

    def _known_id(self) -> str:
        assert self.id is not None  # noqa: S101 - a job is read only after it was submitted.
        return self.id
