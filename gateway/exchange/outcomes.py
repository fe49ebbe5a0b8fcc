"""Say why and how an exchange ended. Pure."""

from enum import Enum, auto

from gateway.errors import (
    ClientDeadlineError,
    DrainingError,
    GatewayError,
    RefusedError,
    RequestError,
    UnreachableError,
    WorkerError,
)
from gateway.events import Outcome

DRAIN_RETRY_S = 1.0
CLIENT_LEFT_STATUS = 499
"""nginx's status for a client that disconnected; it is never sent to a client."""


class Ending(Enum):
    """Name the cause that ends an exchange from outside."""

    CLIENT = auto()
    """The client has disconnected."""
    PROCESS = auto()
    """The process shuts down."""
    DEADLINE = auto()
    """The client's own deadline has passed."""


def cut_error(by: Ending | None, *, deadline_s: float | None) -> GatewayError | None:
    """Return the error for the client of an exchange that was cut; None if the client has left."""
    match by:
        case Ending.PROCESS:
            return DrainingError(retry_after_s=DRAIN_RETRY_S)
        case Ending.DEADLINE:
            return ClientDeadlineError(waited_s=deadline_s or 0.0)
        case _:
            return None


def error_name(error: GatewayError) -> str:
    """Return the error's type, with the reason if a connection failed: other reasons quote the worker."""
    name = type(error).__name__
    return f"{name}: {error.reason}" if isinstance(error, UnreachableError) else name


def outcome_of(error: GatewayError) -> Outcome:
    """Return the outcome of an exchange that failed with this error."""
    match error:
        case RequestError():
            return Outcome.REJECTED
        case WorkerError(status=status) if status < 500:
            # The worker found the request invalid, as a gateway would have.
            return Outcome.REJECTED
        case DrainingError():
            return Outcome.CUT
        case RefusedError():
            return Outcome.REFUSED
        case _:
            return Outcome.UPSTREAM_FAILED


def without_traceback(error: GatewayError) -> GatewayError:
    """Return the error without its traceback, and its causes without theirs.

    The frames of a traceback hold the error that was passed to them: this cycle would keep the whole exchange until a
    garbage collection. Expected errors are reported by their type and message.
    """
    each: BaseException | None = error
    while each is not None:
        each.__traceback__ = None
        each = each.__cause__ or each.__context__
    return error
