"""Make one call to Runpod under the budget of its operation, and report its outcome once."""

from typing import Protocol

from gateway.admission.gate import Gate
from gateway.admission.permit import Permit
from gateway.admission.permit_context import PermitContext
from gateway.domain import Operation, Tenant
from gateway.errors import GatewayError, JobExpiredError, UnreachableError, UpstreamBusyError
from gateway.events import CallOutcome


class CallObserver(Protocol):
    """Receive the outcome of each call."""

    def called(self, operation: Operation, permit: Permit, error: GatewayError | None) -> None:
        """Record that a call has ended, and its error if it failed."""
        ...


class Call:
    """Hold the budget of one call, from the request for it until the call has ended."""

    __slots__ = ("_gate", "_observer", "_operation", "permit")

    def __init__(
        self,
        observer: CallObserver,
        operation: Operation,
        gate: Gate,
        *,
        tenant: Tenant,
        wait_s_max: float,
        is_urgent: bool = False,
    ) -> None:
        """Request the budget; errors as for `Gate.request`."""
        self._observer = observer
        self._operation = operation
        self._gate = gate
        self.permit = gate.request(tenant, wait_s_max=wait_s_max, is_urgent=is_urgent)

    @property
    def is_waiting(self) -> bool:
        """Return True if it waits for the budget."""
        return self.permit.is_waiting

    @property
    def is_wait_over(self) -> bool:
        """Return True if it has waited for long enough, so that the wait has to be concluded."""
        return self.permit.is_waiting and self._gate.wait_left_s(self.permit) <= 0

    def conclude(self) -> None:
        """End the wait; errors as for `Gate.conclude`."""
        self._gate.conclude(self.permit)

    def end(self, error: GatewayError | None = None) -> None:
        """Report the outcome of the call, and return its budget."""
        try:
            self._observer.called(self._operation, self.permit, error)
        finally:
            self.permit.release()

    def drop(self) -> None:
        """Return the budget of a call whose outcome is unknown, because it was given up."""
        self.permit.release()


class CallContext:
    """Wait for the budget of a call in a task, and end the call on exit, as an `async with`."""

    __slots__ = ("_caller", "_operation", "_permit", "_turn")

    def __init__(self, caller: CallObserver, operation: Operation, turn: PermitContext) -> None:
        self._caller = caller
        self._operation = operation
        self._turn = turn
        self._permit: Permit | None = None

    async def __aenter__(self) -> None:
        self._permit = await self._turn.__aenter__()

    async def __aexit__(self, _kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        try:
            if self._permit is not None and (error is None or isinstance(error, GatewayError)):
                self._caller.called(self._operation, self._permit, error)
        finally:
            await self._turn.__aexit__()


def outcome_of_call(error: GatewayError) -> CallOutcome:
    """Return the outcome of a failed call, for metrics."""
    match error:
        case UpstreamBusyError():
            return CallOutcome.BUSY
        case JobExpiredError():
            return CallOutcome.GONE
        case UnreachableError(was_sent=True, status=None):
            return CallOutcome.LOST
        case _:
            return CallOutcome.FAILED
