"""One endpoint as an exchange uses it: its calls, each under its own permit and observed."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from gateway.admission.gates import EndpointGates
from gateway.domain import Endpoint, Operation, Tenant
from gateway.errors import GatewayError, JobExpiredError, UnreachableError, UpstreamBusyError
from gateway.exchange.events import CallOutcome, Observer, UpstreamCalled
from gateway.upstream.job_api import JobApi
from gateway.upstream.openai_route import OpenAIRoute

T = TypeVar("T")


class Upstream:
    """An endpoint with its gates and its two APIs."""

    def __init__(
        self, endpoint: Endpoint, *, gates: EndpointGates, jobs: JobApi, openai: OpenAIRoute, observe: Observer
    ) -> None:
        self.endpoint = endpoint
        self.gates = gates
        self.jobs = jobs
        self.openai = openai
        self._observe = observe

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

    @asynccontextmanager
    async def calling(
        self, operation: Operation, *, tenant: Tenant, wait_s_max: float, is_urgent: bool = False
    ) -> AsyncIterator[None]:
        """The budget for a call that lasts as long as the body of the `async with`."""
        gate = self.gates.call(operation)
        async with gate.permit(tenant, wait_s_max=wait_s_max, is_urgent=is_urgent) as permit:
            try:
                yield
            except GatewayError as error:
                if isinstance(error, UpstreamBusyError):
                    gate.refused_upstream(permit, retry_after_s=error.retry_after_s)
                self._called(operation, _outcome(error))
                raise
            gate.accepted_upstream()
            self._called(operation, CallOutcome.OK)

    def _called(self, operation: Operation, outcome: CallOutcome) -> None:
        self._observe(UpstreamCalled(endpoint=self.endpoint.name, operation=operation, outcome=outcome))


def _outcome(error: GatewayError) -> CallOutcome:
    match error:
        case UpstreamBusyError():
            return CallOutcome.BUSY
        case JobExpiredError():
            return CallOutcome.GONE
        case UnreachableError(was_sent=True, status=None):
            return CallOutcome.LOST
        case _:
            return CallOutcome.FAILED
