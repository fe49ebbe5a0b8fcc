"""Define the errors of Runpod and of workers."""

from enum import StrEnum

from gateway.domain import EndpointState
from gateway.errors.failure import GatewayError

OUTAGE_STATUSES = frozenset({502, 504, *range(520, 531)})
"""Statuses of Runpod's edge while the service behind it is down: gateway errors, and Cloudflare's own 52x."""


class ConnectFault(StrEnum):
    """Enumerate the reasons why a connection could not be opened."""

    REFUSED = "refused"
    DNS = "dns"
    CERTIFICATE = "certificate"
    TLS = "tls"
    """The server does not speak TLS, or no supported version."""
    TIMEOUT = "timeout"
    NO_DESCRIPTORS = "no_descriptors"
    """This process or this machine has too many open files."""
    NO_RESOURCES = "no_resources"
    """This machine has no free port or memory for an outgoing connection."""
    OTHER = "other"


class UpstreamError(GatewayError):
    """Represent a failure of Runpod, its network, or a worker."""

    retry_after_s: float | None = None
    """Seconds until a retry is useful, if the failed answer says so."""


class UnreachableError(UpstreamError):
    """Represent a connection that failed or broke, or a reply not from the service (HTML, a 5xx, malformed).

    `was_sent` is True if the call may have been accepted, so that it must not be repeated blindly.
    """

    def __init__(
        self,
        reason: str,
        *,
        was_sent: bool,
        status: int | None = None,
        detail: str = "",
        is_outage: bool | None = None,
        fault: ConnectFault | None = None,
    ) -> None:
        """Create the error.

        Args:
            reason: What failed, for the log.
            was_sent: True if the call may have been accepted.
            status: The HTTP status of the answer; None if there was none.
            detail: The text of the answer, fit for a tenant.
            is_outage: True if the service appears to be down for all requests, and not only for this one. By default it
                is derived from the status: True without one, or with one of OUTAGE_STATUSES.
            fault: The reason why there was no connection, if there was none.
        """
        super().__init__(reason)
        self.fault = fault
        self.is_local = fault in {ConnectFault.NO_DESCRIPTORS, ConnectFault.NO_RESOURCES}
        """True if this machine is at fault, so that the failure says nothing about the endpoint."""
        self.is_outage = status is None or status in OUTAGE_STATUSES if is_outage is None else is_outage
        self.reason = reason
        self.was_sent = was_sent
        self.is_elsewhere_safe = not was_sent
        self.status = status
        self.detail = detail


class UpstreamBusyError(UpstreamError):
    """Represent a 429 from Runpod, because of its rate limit, its concurrency limit or its queue."""

    is_elsewhere_safe = True
    is_of_all: bool = True
    """True if the limit is assumed to be the account's; False if a worker appears to have rejected one request."""

    def __init__(self, *, retry_after_s: float | None) -> None:
        super().__init__()
        self.retry_after_s = retry_after_s


class UpstreamConfigError(UpstreamError):
    """Represent a rejected key (401, 402, 403) or unknown endpoint (404) at Runpod, for the operator to correct.

    `is_certain` is False if the answer may come from the worker, or from a firewall that blocks one request: a 404 that
    does not say what was not found, or an HTML page.
    """

    is_elsewhere_safe = True

    def __init__(self, *, status: int, is_certain: bool = True) -> None:
        super().__init__()
        self.status = status
        self.is_certain = is_certain


class EndpointDownError(UpstreamError):
    """Represent an endpoint that failed repeatedly; it gets no requests until it is known to be healthy again."""

    is_elsewhere_safe = True

    def __init__(self, *, retry_after_s: float) -> None:
        super().__init__()
        self.retry_after_s = retry_after_s


class NoWorkerError(UpstreamError):
    """Represent a request without a worker within the cold start budget. Its job, if there is one, is cancelled.

    A relayed request has no job that could be cancelled: a worker may still run it, without a client.

    `since_s` is the number of seconds since the start or the loading of a worker began, `usual_s` the recent duration
    of starts in seconds, if known.
    """

    is_elsewhere_safe = True

    def __init__(
        self, *, waited_s: float, state: EndpointState, since_s: float | None = None, usual_s: float | None = None
    ) -> None:
        super().__init__()
        self.waited_s = waited_s
        self.state = state
        self.since_s = since_s
        self.usual_s = usual_s


class UpstreamTimeoutError(UpstreamError):
    """Represent a request that a worker did not complete in time; `is_loading` if it never showed any output.

    `is_cancelled` is True if there was a job to cancel: a relayed request has no job id for that.
    """

    def __init__(self, *, ran_s: float | None = None, is_loading: bool = False, is_cancelled: bool = True) -> None:
        super().__init__()
        self.ran_s = ran_s
        self.is_loading = is_loading
        self.is_cancelled = is_cancelled


class ClientDeadlineError(UpstreamError):
    """Represent the end of the client's own deadline: the client is assumed to be gone."""

    def __init__(self, *, waited_s: float) -> None:
        super().__init__()
        self.waited_s = waited_s


class JobExpiredError(UpstreamError):
    """Represent a job that Runpod no longer knows: its ttl, or the retention of its result, is over."""


class AnswerError(UpstreamError):
    """Represent a missing answer; `reason` says why, and is fit for a tenant."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class JobFailedError(AnswerError):
    """Represent a job that ended as FAILED, CANCELLED or TIMED_OUT."""


class JobNotRunError(AnswerError):
    """Represent a job that ended before its handler ran, so that it may be sent again."""

    is_elsewhere_safe = True


class OutputLostError(AnswerError):
    """Represent an answer that is missing, was cut short, or has a gap."""


class WorkerError(UpstreamError):
    """Represent an error answer of the worker; `status` is the one that it carries, or 502."""

    is_signed: bool = True
    """True if a worker certainly wrote it, so that one is running. Runpod's edge rejects requests as well."""

    def __init__(
        self, *, status: int, message: str, type_: str, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__()
        self.status = status
        self.message = message
        self.type = type_
        self.param = param
        self.code = code
