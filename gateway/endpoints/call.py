"""Make one call to Runpod under its permit."""

from typing import Protocol

from gateway.admission.permit import Permit
from gateway.admission.permit_context import PermitContext
from gateway.domain import Operation
from gateway.errors import GatewayError, JobExpiredError, UnreachableError, UpstreamBusyError
from gateway.events import CallOutcome


class CallObserver(Protocol):
    """Receive the outcome of each call."""

    def called(self, operation: Operation, permit: Permit, error: GatewayError | None) -> None:
        """Record that a call has ended, and its error if it failed."""
        ...


class Call:
    """Wait for a permit, and on exit release it and report the outcome of the call, as an `async with`."""

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
