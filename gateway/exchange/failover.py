"""Decide how a request goes on after a failure: retry, next route, next endpoint, or not at all. Pure."""

from collections.abc import Sequence
from enum import Enum, auto

from gateway.domain import Route
from gateway.errors import (
    ClientDeadlineError,
    DrainingError,
    GatewayError,
    JobNotRunError,
    NoWorkerError,
    RequestError,
    UnreachableError,
    UpstreamBusyError,
    UpstreamTimeoutError,
    WorkerError,
)

TRIES_MAX = 3
"""Maximum number of times that a request is sent by its last route, if Runpod answers 429 or accepts no connection."""
UNREACHABLE_PAUSE_S = 0.25
"""Seconds before the second try; after a 429 the gate delays the call instead."""
_FINAL = (UpstreamTimeoutError, ClientDeadlineError, DrainingError)
"""Errors after which nothing else is tried: the time for the request is over."""


def may_fail_over(error: GatewayError, *, has_output: bool, has_job: bool) -> bool:
    """Return True if another route or endpoint may be tried after this error.

    No output may have reached the client (`has_output`), and nothing may run upstream, except a job (`has_job`) that
    has ended or is being cancelled.
    """
    if has_output:
        return False
    if error.is_elsewhere_safe:
        return True
    return has_job and not isinstance(error, _FINAL) and not _is_request_invalid(error)


def _is_request_invalid(error: GatewayError) -> bool:
    """Return True if the gateway or a worker found the request invalid: it would fail elsewhere too."""
    return isinstance(error, RequestError) or (isinstance(error, WorkerError) and error.status < 500)


class Step(Enum):
    """Name what follows a failure."""

    RETRY = auto()
    """Send it by the same route again, before the tenant's other requests."""
    NEXT_ROUTE = auto()
    """Send it by the next route of the same endpoint, with the same permit."""
    NEXT_ENDPOINT = auto()
    GIVE_UP = auto()


class Attempts:
    """Track the endpoints, routes and tries of one request."""

    def __init__(self, endpoints: int) -> None:
        self._endpoints_left = endpoints
        self._routes: list[Route] = []
        self._tries = 0

    def begin_endpoint(self) -> None:
        """Go on to the next endpoint. Its routes are set once a permit is granted."""
        self._endpoints_left -= 1
        self._routes, self._tries = [], 0

    def begin_routes(self, routes: Sequence[Route]) -> None:
        """Set the routes of the endpoint, in the order in which they are tried."""
        self._routes, self._tries = list(routes), 1

    @property
    def route(self) -> Route:
        """Return the route to send by."""
        return self._routes[0]

    @property
    def is_retry(self) -> bool:
        """Return True if it was sent by this route before."""
        return self._tries > 1

    def failed(self, error: GatewayError, *, has_output: bool, has_job: bool) -> Step:
        """Return what follows this failure, and go on to it unless it is the next endpoint.

        See `may_fail_over` for `has_output` and `has_job`.
        """
        if self._may_retry(error, has_job=has_job):
            self._tries += 1
            return Step.RETRY
        if not may_fail_over(error, has_output=has_output, has_job=has_job):
            return Step.GIVE_UP
        # A start of a worker that took too long on one route does not take less on the other.
        if len(self._routes) > 1 and not isinstance(error, NoWorkerError):
            del self._routes[0]
            self._tries = 1
            return Step.NEXT_ROUTE
        return Step.NEXT_ENDPOINT if self._endpoints_left else Step.GIVE_UP

    def pause_s(self, error: GatewayError) -> float:
        """Return the seconds before a retry after this failure."""
        return UNREACHABLE_PAUSE_S * (self._tries - 1) if isinstance(error, UnreachableError) else 0.0

    def _may_retry(self, error: GatewayError, *, has_job: bool) -> bool:
        """Return True if nothing was accepted, and this is the last route of the last endpoint."""
        if self._endpoints_left or len(self._routes) != 1 or self._tries >= TRIES_MAX:
            return False
        if isinstance(error, JobNotRunError):
            # Its worker was shut down before it started: another one may take it.
            return True
        is_answered = isinstance(error, UnreachableError) and error.status is not None
        is_temporary = isinstance(error, UpstreamBusyError | UnreachableError) and not is_answered
        return is_temporary and error.is_elsewhere_safe and not has_job
