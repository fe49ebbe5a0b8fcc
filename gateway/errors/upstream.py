"""Runpod or a worker failed."""

from enum import StrEnum

from gateway.domain import EndpointState
from gateway.errors.failure import GatewayError

OUTAGE_STATUSES = frozenset({502, 504, *range(520, 531)})
"""What Runpod's edge answers where nothing behind it does: gateway errors, and Cloudflare's own 52x."""


class ConnectFault(StrEnum):
    """Name the reason for which a connection could not be opened."""

    REFUSED = "refused"
    DNS = "dns"
    CERTIFICATE = "certificate"
    TLS = "tls"
    """The other side does not speak TLS, or no version that is supported here."""
    TIMEOUT = "timeout"
    NO_DESCRIPTORS = "no_descriptors"
    """This process, or this machine, has too many files open."""
    NO_RESOURCES = "no_resources"
    """This machine has no port for outgoing connections, or no memory for one."""
    OTHER = "other"


class UpstreamError(GatewayError):
    """Runpod, its network, or a worker."""

    retry_after_s: float | None = None
    """When another try is worth it, where the answer that failed says so."""


class UnreachableError(UpstreamError):
    """No connection, a broken one, or a reply that is not the service's own (an HTML page, a 5xx, nonsense).

    `was_sent` tells whether the call may have been taken, so that it must not be made a second time blindly.
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
        """Describe it.

        Args:
            reason: What failed, for the log.
            was_sent: Whether the call may have been taken.
            status: The HTTP status of the answer; None if there was none.
            detail: What the answer says, fit for a tenant.
            is_outage: Whether nobody is served, as far as is known, and not only this request. By default the status
                tells: none at all, or one of OUTAGE_STATUSES.
            fault: Why there was no connection, where there was none.
        """
        super().__init__(reason)
        self.fault = fault
        self.is_local = fault in {ConnectFault.NO_DESCRIPTORS, ConnectFault.NO_RESOURCES}
        """True where this machine is at fault, so that the failure says nothing of the endpoint."""
        self.is_outage = status is None or status in OUTAGE_STATUSES if is_outage is None else is_outage
        self.reason = reason
        self.was_sent = was_sent
        self.is_elsewhere_safe = not was_sent
        self.status = status
        self.detail = detail


class UpstreamBusyError(UpstreamError):
    """429 from Runpod: its rate, its concurrency, or its queue."""

    is_elsewhere_safe = True
    is_of_all: bool = True
    """True where the limit is taken to be the account's; False where a worker seems to have refused one request."""

    def __init__(self, *, retry_after_s: float | None) -> None:
        super().__init__()
        self.retry_after_s = retry_after_s


class UpstreamConfigError(UpstreamError):
    """Runpod refused our key (401, 403) or does not know the endpoint (404): for the operator to mend.

    `is_certain` is False where the worker may have answered, or a firewall that dislikes one request: a 404 that does
    not say of what, or a page of HTML.
    """

    is_elsewhere_safe = True

    def __init__(self, *, status: int, is_certain: bool = True) -> None:
        super().__init__()
        self.status = status
        self.is_certain = is_certain


class EndpointDownError(UpstreamError):
    """The endpoint failed time and again; nothing is sent to it until it has been seen to be well."""

    is_elsewhere_safe = True

    def __init__(self, *, retry_after_s: float) -> None:
        super().__init__()
        self.retry_after_s = retry_after_s


class NoWorkerError(UpstreamError):
    """No worker served the request within the cold start budget. Its job, if there was one, is cancelled.

    A relayed request has no job that could be: a worker may yet run it, for nobody.

    `since_s` is how long ago a start or the loading began, `usual_s` how long starts took recently, if that is known.
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
    """A worker took the request, and the time for it is over; `is_loading` if it never showed any output.

    `is_cancelled` tells whether there is a job to cancel: a relayed request has no id to do it by.
    """

    def __init__(self, *, ran_s: float | None = None, is_loading: bool = False, is_cancelled: bool = True) -> None:
        super().__init__()
        self.ran_s = ran_s
        self.is_loading = is_loading
        self.is_cancelled = is_cancelled


class ClientDeadlineError(UpstreamError):
    """The client's own deadline has passed: it is gone, or as good as."""

    def __init__(self, *, waited_s: float) -> None:
        super().__init__()
        self.waited_s = waited_s


class JobExpiredError(UpstreamError):
    """Runpod no longer knows the job: its ttl, or the retention of its result, is over."""


class AnswerError(UpstreamError):
    """There is no answer; `reason` says why, and is fit for a tenant."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class JobFailedError(AnswerError):
    """The job ended FAILED, CANCELLED or TIMED_OUT."""


class JobNotRunError(AnswerError):
    """The job ended before its handler ran, so it may be sent again."""

    is_elsewhere_safe = True


class OutputLostError(AnswerError):
    """The answer is missing, was cut short, or has a hole."""


class WorkerError(UpstreamError):
    """The worker answered with an error; `status` is the one it carried, or 502."""

    is_signed: bool = True
    """True where a worker certainly wrote it, so that one runs. Runpod's edge refuses requests as well."""

    def __init__(
        self, *, status: int, message: str, type_: str, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__()
        self.status = status
        self.message = message
        self.type = type_
        self.param = param
        self.code = code
