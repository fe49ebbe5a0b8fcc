"""Declare one attempt to serve a request by one route of an endpoint."""

from abc import ABC, abstractmethod

from gateway.errors import GatewayError
from gateway.exchange.actions import Action


class Attempt(ABC):
    """Serve a request by one route. Pure: the driver carries out `action` and reports what happened.

    Every event raises the GatewayError that the attempt failed with. `close` has to be called once at its end.
    """

    def __init__(self) -> None:
        self.action: Action | None = None
        """Action for the driver; None once `is_done`, and once it is settled."""
        self.is_done = False
        """True if the client has the whole answer."""

    @property
    def is_uninterruptible(self) -> bool:
        """Return True while it has to go on although its client has left."""
        return False

    @abstractmethod
    def is_due(self, now_s: float) -> bool:
        """Return True if `due` has to be called."""

    @abstractmethod
    def start(self) -> None:
        """Begin."""

    @abstractmethod
    def wait_ended(self) -> None:
        """Process the grant, or the end of the wait, for the budget of a call."""

    @abstractmethod
    def head(self, status: int, retry_after_s: float | None) -> None:
        """Process the head of a response."""

    @abstractmethod
    def piece(self, data: bytes) -> bytes:
        """Process a piece of a response; return what has to be sent to the client at once."""

    @abstractmethod
    def ended(self) -> None:
        """Process the end of a response."""

    @abstractmethod
    def failed(self, error: GatewayError) -> None:
        """Process a failure of the connection."""

    @abstractmethod
    def written(self) -> None:
        """Go on after the client was sent what `action` holds."""

    @abstractmethod
    def due(self) -> None:
        """Process the end of a timeout."""

    @abstractmethod
    def close(self, error: GatewayError | None) -> None:
        """End it: done, failed with this error, or, if it is neither, given up."""

    # Only an attempt by a job pauses, has a journal and is settled.

    def resumed(self) -> None:  # noqa: B027 - not every attempt pauses.
        """Go on after a pause."""

    def journal_answered(self, *, was_taken: bool) -> None:  # noqa: B027
        """Process the journal's answer whether another process took the job over."""

    def settle(self) -> None:  # noqa: B027
        """Begin to read what a closed attempt cost, which takes until `action` is None."""

    def stop_settling(self) -> None:  # noqa: B027
        """Give up reading it."""
