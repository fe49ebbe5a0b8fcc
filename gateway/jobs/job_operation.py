"""Declare an operation on a job: one call to Runpod after the other, with pauses. Pure.

The driver carries out `action` and reports what happened, until `action` is None: then the operation is complete.
Every event raises the GatewayError that the operation failed with.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, TypeVar

from gateway.endpoints.actions import CallAction
from gateway.errors import GatewayError
from gateway.jobs.job_call import JobCall

T = TypeVar("T")


class JobOperation(ABC, Generic[T]):
    """Make calls, of which each has a result of type T."""

    def __init__(self) -> None:
        self.action: CallAction | None = None
        """Action for the driver; None if the operation is complete."""
        self.call: JobCall[T] | None = None
        """Call in progress."""

    @abstractmethod
    def called(self, result: T) -> None:
        """Process the result of a call."""

    @abstractmethod
    def not_called(self, error: GatewayError) -> None:
        """Process the failure of a call, or of the wait for its budget."""

    def is_due(self, now_s: float) -> bool:  # noqa: ARG002 - of use to operations with timeouts of their own.
        """Return True if `due` has to be called."""
        return self.call is not None and self.call.is_due

    def wait_ended(self) -> None:
        """Process the grant, or the end of the wait, for the budget of a call."""
        self.step(lambda call: call.wait_ended())

    def head(self, status: int, retry_after_s: float | None) -> None:
        """Process the head of a reply."""
        if self.call is not None:
            self.call.head(status, retry_after_s)

    def piece(self, data: bytes) -> None:
        """Process a piece of a reply."""
        self.step(lambda call: call.piece(data))

    def ended(self) -> None:
        """Process the end of a reply."""
        self.step(lambda call: call.ended())

    def failed(self, error: GatewayError) -> None:
        """Process a failure of the connection."""
        self.step(lambda call: call.failed(error))

    def resumed(self) -> None:
        """Go on after a pause."""
        self.action = None

    def due(self) -> None:
        """Process the end of a timeout."""
        if self.call is not None and self.call.is_due:
            self.wait_ended()

    def stop(self) -> None:
        """Give up. The driver closes the connection."""
        self.action = None
        call, self.call = self.call, None
        if call is not None:
            call.stop()

    def step(self, step: Callable[[JobCall[T]], None]) -> None:
        """Let the call process an event, and process its end if it has ended."""
        call = self.call
        if call is None:
            return
        try:
            step(call)
        except GatewayError as error:
            self.call = self.action = None
            self.not_called(error)
            return
        self.action = call.action
        if call.result is not None:
            self.call = None
            self.called(call.result)
