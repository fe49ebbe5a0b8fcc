"""Represent one endpoint to its exchanges: each call needs a permit, and its outcome is reported."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from gateway.admission.endpoint_gates import EndpointGates
from gateway.admission.permit import Permit
from gateway.clock import Clock
from gateway.domain import Endpoint, Operation, Tenant
from gateway.endpoints.address_state import ENDS_SEEN_S, AddressState
from gateway.endpoints.call import Call, CallContext, outcome_of_call
from gateway.endpoints.circuit_breaker import CircuitBreaker, Evidence
from gateway.endpoints.evidence import evidence_of
from gateway.endpoints.gpu_time import CLOSE_LOOK_S, AttemptTime
from gateway.endpoints.mean_times import MeanTimes
from gateway.endpoints.relay_times import RelayTimes
from gateway.endpoints.worker_state import HEALTH_S_MAX, Activity, EndpointStateMachine
from gateway.errors import (
    EndpointDownError,
    GatewayError,
    NoWorkerError,
    UnreachableError,
    UpstreamBusyError,
)
from gateway.events import CallOutcome, EndpointChanged, Observer, UpstreamCalled
from gateway.fairshare.busy_origin import Reach, Refusals
from gateway.upstream.client import EndpointClient
from gateway.upstream.job_api import JobApi
from gateway.wire.runpod import EndpointHealth

HEALTH_AGE_S_MAX = 5.0
"""Maximum age of a reading of /health while a request depends on the state, in seconds."""
_SUBMISSIONS = frozenset({Operation.RUN, Operation.OPENAI})
"""Operations whose outcome shows whether an endpoint accepts work."""

T = TypeVar("T")


class Upstream:
    """Hold an endpoint's gates, its two APIs, and the state of its workers."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        gates: EndpointGates,
        client: EndpointClient,
        clock: Clock,
        observe: Observer,
        address_state: AddressState,
    ) -> None:
        self.endpoint = endpoint
        self.gates = gates
        self.client = client
        self.answers = client.answers
        """Memory of answers in progress, at all endpoints together."""
        self.jobs = JobApi(client)
        self.workers = EndpointStateMachine(min_workers=endpoint.min_workers)
        self.gpu, self.abandoned, self._address_state = address_state.gpu, address_state.abandoned, address_state
        self.gpu_means = MeanTimes()
        """Mean GPU seconds of a tenant's complete requests."""
        self.relay_means = MeanTimes()
        """Mean seconds of a tenant's relayed answers."""
        self.relays = RelayTimes()
        self._breaker = CircuitBreaker()
        self._refusals = Refusals()
        self._clock = clock
        self._observe = observe
        gates.work.cold_start_cap.ceiling, gates.work.cold_start_cap.beside = self._ceiling, self._beside

    def take(self, endpoint: Endpoint) -> None:
        """Use other settings for the same endpoint from now on."""
        self.endpoint = endpoint
        self.workers.min_workers = endpoint.min_workers
        self.client.use_key(endpoint.api_key)
        self.gates.take(endpoint)

    @property
    def now_s(self) -> float:
        """Return the time in monotonic seconds."""
        return self._clock.monotonic_s()

    @property
    def is_down(self) -> bool:
        """Return True if its breaker is open, so that requests are rejected."""
        return self._breaker.is_open

    def check(self, tenant: Tenant) -> None:
        """Check that a request of this tenant may wait for a permit.

        Raises:
            EndpointDownError: The breaker is open, or this tenant is paused.
        """
        self._turn_away(self._breaker.cooldown_s(tenant.name, self._clock.monotonic_s()))

    def enter(self, tenant: Tenant) -> None:
        """Admit a request that is about to be sent, perhaps as a trial.

        Raises:
            EndpointDownError: The breaker is open, the tenant is paused, or another request of it is the trial.
        """
        self._turn_away(self._breaker.enter_s(tenant.name, self._clock.monotonic_s()))

    @staticmethod
    def _turn_away(retry_after_s: float | None) -> None:
        if retry_after_s is not None:
            raise EndpointDownError(retry_after_s=retry_after_s)

    def needs_probe(self) -> bool:
        """Return True if /health should be read: while requests are in flight or wait, and until workers have stopped.

        Each reading counts the running workers, for metrics and for GPU time, and shows whether the endpoint recovers.
        """
        now_s = self._clock.monotonic_s()
        work = self.gates.work
        is_in_use = self.workers.has_activity or self.workers.is_used_since_read or (work.is_capped and work.has_line)
        # Only /health shows when a worker starts with a waiting relayed request, and when an abandoned one has ended.
        age_s_max = min(
            0.0 if self.abandoned else HEALTH_AGE_S_MAX,
            CLOSE_LOOK_S if self.relays.are_waiting else HEALTH_AGE_S_MAX,
            self.gpu.look_s or HEALTH_AGE_S_MAX,
        )
        is_in_use |= bool(self.abandoned)
        is_old = self.workers.health_age_s(now_s) > age_s_max
        health = self.workers.health
        has_workers = health is not None and health.has_running
        return self._breaker.needs_probe(now_s) or (is_old and (is_in_use or has_workers))

    def on_health(self, health: EndpointHealth | None, *, asked_at_s: float | None = None) -> None:
        """Record a reading of /health, which was requested at `asked_at_s`; None if it failed."""
        now_s = self._clock.monotonic_s()
        asked_at_s = now_s if asked_at_s is None else asked_at_s
        was_down = self.is_down
        self._breaker.on_health(is_well=health is not None, now_s=now_s)
        self._note_change(was_down, "health")
        if health is not None:
            self.workers.read(health, now_s, asked_at_s=asked_at_s)
            self.gpu.read_workers(health.workers.get("running", 0), asked_at_s=asked_at_s)
        elif self.workers.health_age_s(now_s) > HEALTH_S_MAX:
            # Without a newer reading, the old one must not count workers forever, here and in metrics.
            self.workers.health = None
            self.gpu.read_workers(None)
        self.relays.on_health(has_workers=self.workers.has_running_workers(now_s))

    async def compare(self, health: EndpointHealth | None, *, asked_at_s: float) -> None:
        """Compare a reading of /health with the requests in flight at its time, once these are known."""
        if health is None:
            return
        if self.abandoned:
            await anyio.sleep(ENDS_SEEN_S)
        jobs = self._address_state.jobs
        is_settled = await jobs.settle(asked_at_s)
        self.abandoned.look(
            health,
            asked_at_s=asked_at_s,
            jobs_in_flight=jobs.jobs_in_flight(asked_at_s),
            elsewhere=jobs.abandoned_elsewhere(),
            elsewhere_until_s=jobs.abandoned_until_s() if is_settled else float("inf"),
        )

    def arrive(self) -> bool:
        """Set or remove the cold-start cap for a request that will wait; return True if /health should be read at once.

        Until a worker has produced output, only a few requests of each tenant are admitted, to wake one or to try an
        endpoint that failed. The others wait at the gate, where their order is fair.
        """
        work, ceiling = self.gates.work, self._ceiling()
        if ceiling is None:
            work.uncap()
            return False
        work.cap(ceiling)
        return work.occupancy.held >= ceiling + self.workers.speaking

    def _ceiling(self) -> int | None:
        """Return the maximum number of a tenant's requests that may be admitted now; None if only seats limit them.

        Requests that have produced output do not count: if their answers stall, they wake no worker.
        """
        if self.workers.is_ready_for_burst(self._clock.monotonic_s()) and not self.is_down:
            return None
        return self.endpoint.max_in_flight_cold

    def _beside(self, tenant: str) -> int:
        """Return the number of a tenant's seats that wake no worker: of attempts with output, and of abandoned ones."""
        return self.workers.speaking_of(tenant) + self.abandoned.count_of(tenant)

    def review(self) -> None:
        """End abandoned attempts that timed out, and a cold-start cap that no longer applies. Call it every second."""
        self.abandoned.advance(self.now_s)
        if self.gates.work.is_capped and self._ceiling() is None:
            self.gates.work.uncap()

    def begin(self, tenant: Tenant) -> Activity:
        """Record that a request was sent to Runpod; the caller has to end the activity."""
        return self.workers.begin(self._clock.monotonic_s(), tenant=tenant.name)

    def taken(self, activity: Activity, *, at_s: float | None = None) -> None:
        """Record that a worker has a job, since `at_s` if Runpod reported it. If taken at once, a worker is up."""
        now_s = self._clock.monotonic_s()
        activity.taken(now_s, at_s=at_s)
        if activity.is_prompt and not self.is_down:
            self.gates.work.uncap()

    def relay_output(self, activity: Activity, time: AttemptTime, *, is_first_token: bool) -> None:
        """Record a byte of a relayed answer."""
        self.relays.heard(time)
        self._refusals.passed(activity.tenant, self._clock.monotonic_s())
        self.output(activity, is_first_token=is_first_token)

    def output(self, activity: Activity, *, is_first_token: bool) -> None:
        """Record output of a request, which shows that the endpoint serves requests.

        The outcome of a relayed call is recorded at its end; the first output closes the breaker before that.
        """
        now_s = self._clock.monotonic_s()
        if activity.has_output:
            activity.heard(now_s)
            return
        activity.output(now_s, is_first_token=is_first_token)
        if not self._breaker.is_calm:
            self._tell(None, Evidence.SERVED, activity.tenant)
        self.gates.work.uncap()

    def no_worker(self, waited_s: float) -> NoWorkerError:
        """Build the 503 for a request that no worker answered, with what is known of the start."""
        report = self.workers.report(self._clock.monotonic_s())
        return NoWorkerError(waited_s=waited_s, state=report.state, since_s=report.since_s, usual_s=report.usual_s)

    async def call(
        self,
        operation: Operation,
        make: Callable[[], Awaitable[T]],
        *,
        tenant: Tenant,
        wait_s_max: float,
    ) -> T:
        """Wait for the operation's budget, make the call, and release the budget.

        Raises:
            NoTurnError: The budget stayed exhausted.
            GatewayError: The error of the call.
        """
        async with self.calling(operation, tenant=tenant, wait_s_max=wait_s_max):
            return await make()

    def calling(self, operation: Operation, *, tenant: Tenant, wait_s_max: float) -> CallContext:
        """Return the context manager of a call, which holds the operation's budget during its body."""
        return CallContext(self, operation, self.gates.call(operation).permit(tenant, wait_s_max=wait_s_max))

    def request_call(self, operation: Operation, *, tenant: Tenant, wait_s_max: float, is_urgent: bool = False) -> Call:
        """Request the budget for a call, without waiting for it; errors as for `Gate.request`."""
        gate = self.gates.call(operation)
        return Call(self, operation, gate, tenant=tenant, wait_s_max=wait_s_max, is_urgent=is_urgent)

    def called(self, operation: Operation, permit: Permit, error: GatewayError | None) -> None:
        """Record the outcome of a call. Only `Call` and `CallContext` call this."""
        gate = self.gates.call(operation)
        if error is None:
            gate.accepted_upstream()
        elif isinstance(error, UpstreamBusyError):
            reach, tenant = Reach.ALL, permit.tenant.name
            if operation is Operation.OPENAI:
                reach = self._refusals.refused(tenant, self._clock.monotonic_s())
            error.is_of_all = reach is not Reach.ONE_REQUEST
            if error.is_of_all:
                is_certain = reach is Reach.ALL
                gate.refused_upstream(permit, retry_after_s=error.retry_after_s, is_certain=is_certain)
        if operation in _SUBMISSIONS:
            self._tell(error, evidence_of(error, is_relay=operation is Operation.OPENAI), permit.tenant.name)
        outcome = CallOutcome.OK if error is None else outcome_of_call(error)
        fault = error.fault if isinstance(error, UnreachableError) else None
        self._observe(UpstreamCalled(endpoint=self.endpoint.name, operation=operation, outcome=outcome, fault=fault))

    def _tell(self, error: GatewayError | None, evidence: Evidence, tenant: str) -> None:
        """Record the evidence about the endpoint in the outcome of this tenant's submission."""
        was_down, now_s = self.is_down, self._clock.monotonic_s()
        self._breaker.tell(evidence, tenant, now_s)
        self._note_change(was_down, "" if error is None else type(error).__name__)

    def _note_change(self, was_down: bool, reason: str) -> None:  # noqa: FBT001 - what it was before.
        if self.is_down is was_down:
            return
        if not self.is_down and self.workers.is_ready_for_burst(self._clock.monotonic_s()):
            self.gates.work.uncap()
        self._observe(EndpointChanged(endpoint=self.endpoint.name, is_down=self.is_down, reason=reason))
