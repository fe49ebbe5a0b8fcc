"""One endpoint as an exchange uses it: its calls, each under its own permit and observed."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from gateway.admission.gates import EndpointGates
from gateway.admission.permit import Permit
from gateway.clock import Clock
from gateway.domain import Endpoint, Operation, Tenant
from gateway.errors import (
    EndpointDownError,
    GatewayError,
    NoWorkerError,
    UnreachableError,
    UpstreamBusyError,
)
from gateway.exchange.at_address import ENDS_SEEN_S, AtAddress
from gateway.exchange.breaker import Breaker, Evidence
from gateway.exchange.call import Call, outcome_of_call
from gateway.exchange.endpoint_state import HEALTH_S_MAX, Activity, EndpointStateMachine
from gateway.exchange.events import CallOutcome, EndpointChanged, Observer, UpstreamCalled
from gateway.exchange.evidence import evidence_of
from gateway.exchange.gpu_time import CLOSE_LOOK_S, AttemptTime
from gateway.exchange.mean_times import MeanTimes
from gateway.exchange.relay_times import RelayTimes
from gateway.fairshare.refusals import Reach, Refusals
from gateway.upstream.client import EndpointClient
from gateway.upstream.job_api import JobApi
from gateway.upstream.openai_route import OpenAIRoute
from gateway.wire.runpod import EndpointHealth

HEALTH_AGE_S_MAX = 5.0
"""How old a reading may be while somebody waits for its change."""
_SUBMISSIONS = frozenset({Operation.RUN, Operation.OPENAI})
"""What tells whether an endpoint takes work."""

T = TypeVar("T")


class Upstream:
    """An endpoint with its gates, its two APIs, and what is known of its state."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        gates: EndpointGates,
        client: EndpointClient,
        clock: Clock,
        observe: Observer,
        at_address: AtAddress,
    ) -> None:
        self.endpoint = endpoint
        self.gates = gates
        self._client = client
        self.answers = client.answers
        """The memory of answers under way, at all endpoints together."""
        self.jobs = JobApi(client)
        self.openai = OpenAIRoute(client)
        self.workers = EndpointStateMachine(min_workers=endpoint.min_workers)
        self.gpu, self.abandoned, self._at_address = at_address.gpu, at_address.abandoned, at_address
        self.gpu_means = MeanTimes()
        """GPU seconds of a tenant's complete requests."""
        self.relay_means = MeanTimes()
        """How long a tenant's relayed answers take."""
        self.relays = RelayTimes()
        self._breaker = Breaker()
        self._refusals = Refusals()
        self._clock = clock
        self._observe = observe
        gates.work.narrowing.ceiling, gates.work.narrowing.beside = self._ceiling, self._beside

    def take(self, endpoint: Endpoint) -> None:
        """The same endpoint with other settings, from now on."""
        self.endpoint = endpoint
        self.workers.min_workers = endpoint.min_workers
        self._client.use_key(endpoint.api_key)
        self.gates.take(endpoint)

    @property
    def now_s(self) -> float:
        """The time, in monotonic seconds."""
        return self._clock.monotonic_s()

    @property
    def is_down(self) -> bool:
        """Whether it failed so often that requests are turned away."""
        return self._breaker.is_open

    def check(self, tenant: Tenant) -> None:
        """A request would wait for a turn.

        Raises:
            EndpointDownError: The endpoint is given a rest, from all or from this tenant.
        """
        self._turn_away(self._breaker.rest_s(tenant.name, self._clock.monotonic_s()))

    def enter(self, tenant: Tenant) -> None:
        """A request is about to be sent.

        Raises:
            EndpointDownError: The endpoint is given a rest, or another request of the tenant tries it.
        """
        self._turn_away(self._breaker.enter_s(tenant.name, self._clock.monotonic_s()))

    @staticmethod
    def _turn_away(retry_after_s: float | None) -> None:
        if retry_after_s is not None:
            raise EndpointDownError(retry_after_s=retry_after_s)

    def wants_look(self) -> bool:
        """Report whether /health should be read: while a request is under way or waits, and until workers have stopped.

        The reading counts the workers that run, for metrics and for GPU time, and tells whether the endpoint recovers.
        """
        now_s = self._clock.monotonic_s()
        work = self.gates.work
        is_in_use = self.workers.has_activity or self.workers.is_used_since_read or (work.is_narrowed and work.has_line)
        # Only /health shows when a relayed request that waits for a worker starts, and when an abandoned one ends.
        age_s_max = min(
            0.0 if self.abandoned else HEALTH_AGE_S_MAX,
            CLOSE_LOOK_S if self.relays.are_waiting else HEALTH_AGE_S_MAX,
            self.gpu.look_s or HEALTH_AGE_S_MAX,
        )
        is_in_use |= bool(self.abandoned)
        is_old = self.workers.health_age_s(now_s) > age_s_max
        health = self.workers.health
        has_workers = health is not None and health.workers.get("running", 0) > 0
        return self._breaker.wants_look(now_s) or (is_old and (is_in_use or has_workers))

    def looked(self, health: EndpointHealth | None, *, asked_at_s: float | None = None) -> None:
        """Its health was read, as it was when it was asked for; None where it could not be."""
        now_s = self._clock.monotonic_s()
        asked_at_s = now_s if asked_at_s is None else asked_at_s
        was_down = self.is_down
        self._breaker.looked(is_well=health is not None, now_s=now_s)
        self._note_change(was_down, "health")
        if health is not None:
            self.workers.read(health, now_s, asked_at_s=asked_at_s)
            self.gpu.read_workers(health.workers.get("running", 0), asked_at_s=asked_at_s)
        elif self.workers.health_age_s(now_s) > HEALTH_S_MAX:
            # A reading that cannot be repeated must not count workers for ever, here and in metrics.
            self.workers.health = None
            self.gpu.read_workers(None)
        self.relays.looked(has_workers=self.workers.has_running_workers(now_s))

    async def compare(self, health: EndpointHealth | None, *, asked_at_s: float) -> None:
        """Compare a reading of /health with the requests that were under way then, once these are known."""
        if health is None:
            return
        if self.abandoned:
            await anyio.sleep(ENDS_SEEN_S)
        jobs = self._at_address.jobs
        is_settled = await jobs.settle(asked_at_s)
        self.abandoned.look(
            health,
            asked_at_s=asked_at_s,
            under_way=jobs.under_way(asked_at_s),
            elsewhere=jobs.abandoned_elsewhere(),
            elsewhere_until_s=jobs.abandoned_until_s() if is_settled else float("inf"),
        )

    def arrive(self) -> bool:
        """A request wants a turn; return whether the endpoint's health should be read at once.

        Until a worker has shown output, only a few requests of each tenant are let through, to wake one or to try an
        endpoint that failed. The others wait here, where their order is fair.
        """
        work, ceiling = self.gates.work, self._ceiling()
        if ceiling is None:
            work.widen()
            return False
        work.narrow(ceiling)
        return work.occupancy.held >= ceiling + self.workers.speaking

    def _ceiling(self) -> int | None:
        """Return how many requests of a tenant may be let through now; None where only seats limit them.

        Requests that have shown output do not count: if their answers come to a halt, they wake no worker.
        """
        if self.workers.is_ready_for_burst(self._clock.monotonic_s()) and not self.is_down:
            return None
        return self.endpoint.max_in_flight_cold

    def _beside(self, tenant: str) -> int:
        """Return how many seats of a tenant wake no worker: those of attempts that show output, or were abandoned."""
        return self.workers.speaking_of(tenant) + self.abandoned.count_of(tenant)

    def review(self) -> None:
        """Let through again whoever waits for a state that is over; to be called every second or so."""
        self.abandoned.advance(self.now_s)
        if self.gates.work.is_narrowed and self._ceiling() is None:
            self.gates.work.widen()

    def begin(self, tenant: Tenant) -> Activity:
        """Note that a request was handed to Runpod; its owner has to end the activity."""
        return self.workers.begin(self._clock.monotonic_s(), tenant=tenant.name)

    def taken(self, activity: Activity, *, at_s: float | None = None) -> None:
        """Note that a worker has a job, since `at_s` if Runpod told that. Taken at once, it shows that one is up."""
        now_s = self._clock.monotonic_s()
        activity.taken(now_s, at_s=at_s)
        if activity.is_prompt and not self.is_down:
            self.gates.work.widen()

    def relay_output(self, activity: Activity, time: AttemptTime, *, is_first_token: bool) -> None:
        """Note a byte of a relayed answer."""
        self.relays.heard(time)
        self._refusals.passed(activity.tenant, self._clock.monotonic_s())
        self.output(activity, is_first_token=is_first_token)

    def output(self, activity: Activity, *, is_first_token: bool) -> None:
        """Note a request's output: the endpoint serves requests.

        A relayed call itself is judged when the answer ends, and nobody has to wait for that.
        """
        now_s = self._clock.monotonic_s()
        if activity.has_output:
            activity.heard(now_s)
            return
        activity.output(now_s, is_first_token=is_first_token)
        if not self._breaker.is_calm:
            self._tell(None, Evidence.SERVED, activity.tenant)
        self.gates.work.widen()

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
        is_urgent: bool = False,
    ) -> T:
        """Wait for the operation's budget, make the call, give the budget back.

        Raises:
            NoTurnError: The budget stayed exhausted.
            GatewayError: What the call raises.
        """
        async with self.calling(operation, tenant=tenant, wait_s_max=wait_s_max, is_urgent=is_urgent):
            return await make()

    def calling(self, operation: Operation, *, tenant: Tenant, wait_s_max: float, is_urgent: bool = False) -> Call:
        """The budget for a call that lasts as long as the body of the `async with`."""
        turn = self.gates.call(operation).permit(tenant, wait_s_max=wait_s_max, is_urgent=is_urgent)
        return Call(self, operation, turn)

    def called(self, operation: Operation, permit: Permit, error: GatewayError | None) -> None:
        """A call is over; for `Call`."""
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
        """Note the evidence about the endpoint in the outcome of this tenant's submission."""
        was_down, now_s = self.is_down, self._clock.monotonic_s()
        self._breaker.tell(evidence, tenant, now_s)
        self._note_change(was_down, "" if error is None else type(error).__name__)

    def _note_change(self, was_down: bool, reason: str) -> None:  # noqa: FBT001 - what it was before.
        if self.is_down is was_down:
            return
        if not self.is_down and self.workers.is_ready_for_burst(self._clock.monotonic_s()):
            self.gates.work.widen()
        self._observe(EndpointChanged(endpoint=self.endpoint.name, is_down=self.is_down, reason=reason))
