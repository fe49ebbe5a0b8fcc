"""Decide whether a request that failed may be sent again by another route or to another endpoint."""

from gateway.errors import (
    ClientDeadlineError,
    DrainingError,
    GatewayError,
    RequestError,
    UpstreamTimeoutError,
    WorkerError,
)

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
