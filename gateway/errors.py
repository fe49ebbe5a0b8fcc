"""Everything that can go wrong, as types. They carry fields; `translate.error_body` gives them words and a status.

GatewayError
├── RequestError                  the client has to change something
│   ├── InvalidKeyError           401
│   ├── ModelForbiddenError       403
│   ├── UnknownModelError         404
│   ├── UnknownEndpointError      404
│   ├── UnknownUrlError           404
│   ├── MethodError               405
│   ├── SlowRequestError          408
│   ├── BodyTooLargeError         413
│   ├── UnsupportedEncodingError  415
│   ├── HeadTooLargeError         431
│   ├── IdempotencyError          422
│   └── InvalidRequestError       400
├── RefusedError                  not now
│   ├── TenantLimitError          429  a cap of the tenant's own
│   ├── OverShareError            429  the tenant's share is in use, and no more came free in time
│   ├── NoTurnError               503  not even the tenant's share came free in time
│   ├── BodiesFullError           503  too much is being sent to this process
│   ├── TooManyConnectionsError   503
│   └── DrainingError             503
└── UpstreamError                 Runpod or a worker
    ├── UnreachableError          502  no connection, or a reply that is not the service's
    ├── UpstreamBusyError         503  429 from Runpod
    ├── UpstreamConfigError       502  Runpod refused our key, or does not know the endpoint
    ├── EndpointDownError         503  it failed time and again, and is asked no more for a while
    ├── NoWorkerError             503  nobody took the job within the cold start budget
    ├── UpstreamTimeoutError      504
    ├── ClientDeadlineError       504  not ready in the time that the client waits
    ├── JobExpiredError           502  its ttl or its retention is over
    ├── JobFailedError            502
    ├── JobNotRunError            502  its worker stopped before it began; another one may run it
    ├── OutputLostError           502  missing, cut short, or not repairable
    └── WorkerError                    an answer that is an error: the status it carries
"""

from gateway.domain import EndpointState


class GatewayError(Exception):
    """Any failure that we foresaw."""

    is_elsewhere_safe: bool = False
    """Whether nothing was started for the client upstream, so that another endpoint or route may be asked."""


class RequestError(GatewayError):
    """The client has to change something before it tries again."""


class InvalidKeyError(RequestError):
    """No key, or one that is unknown or expired."""

    def __init__(self, *, is_missing: bool = False) -> None:
        super().__init__()
        self.is_missing = is_missing


class ModelForbiddenError(RequestError):
    """The tenant's allow list does not name this model."""

    def __init__(self, model: str) -> None:
        super().__init__()
        self.model = model


class UnknownModelError(RequestError):
    """No such model in the configuration, or, with `endpoint`, not on that endpoint."""

    def __init__(self, model: str, *, endpoint: str | None = None) -> None:
        super().__init__()
        self.model = model
        self.endpoint = endpoint


class UnknownEndpointError(RequestError):
    """The path names an endpoint that is not in the configuration."""

    def __init__(self, endpoint: str) -> None:
        super().__init__()
        self.endpoint = endpoint


class UnknownUrlError(RequestError):
    """No such path."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path


class MethodError(RequestError):
    """The path exists, with other methods."""

    def __init__(self, *, method: str, allowed: str) -> None:
        super().__init__()
        self.method = method
        self.allowed = allowed


class BodyTooLargeError(RequestError):
    """More bytes than we, or Runpod, take."""

    def __init__(self, bytes_max: int) -> None:
        super().__init__()
        self.bytes_max = bytes_max


class HeadTooLargeError(RequestError):
    """More bytes, or more lines, of request line and headers than we take."""

    def __init__(self, bytes_max: int) -> None:
        super().__init__()
        self.bytes_max = bytes_max


class UnsupportedEncodingError(RequestError):
    """The body has a Content-Encoding that is not read here; `accepted` lists those that are."""

    def __init__(self, encoding: str, accepted: list[str]) -> None:
        super().__init__()
        self.encoding = encoding
        self.accepted = accepted


class SlowRequestError(RequestError):
    """The client took too long to send its request; `part` is "headers" or "body"."""

    def __init__(self, part: str) -> None:
        super().__init__()
        self.part = part


class IdempotencyError(RequestError):
    """The request's Idempotency-Key cannot be honoured; `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class InvalidRequestError(RequestError):
    """A body that cannot be served; `reason` says what to change and holds nothing of the prompt."""

    def __init__(self, reason: str, *, param: str | None = None, code: str | None = "invalid_value") -> None:
        super().__init__(reason)
        self.reason = reason
        self.param = param
        self.code = code


class RefusedError(GatewayError):
    """Not now; `retry_after_s` says when it is worth another try."""

    def __init__(self, *, retry_after_s: float) -> None:
        super().__init__()
        self.retry_after_s = retry_after_s


class TenantLimitError(RefusedError):
    """One of the tenant's own caps is reached; `limit` is its configuration name."""

    def __init__(self, *, limit: str, maximum: int, retry_after_s: float) -> None:
        super().__init__(retry_after_s=retry_after_s)
        self.limit = limit
        self.maximum = maximum


class OverShareError(RefusedError):
    """The tenant has its share of the endpoint in use or in line, and what others leave did not suffice."""

    is_elsewhere_safe = True


class NoTurnError(RefusedError):
    """The tenant holds less than its share, and no seat came free in time: capacity is missing."""

    is_elsewhere_safe = True


class BodiesFullError(RefusedError):
    """Too many bytes of requests are being read: by this tenant, or by all of them."""


class TooManyConnectionsError(RefusedError):
    """This process has as many connections as it takes."""


class DrainingError(RefusedError):
    """This process is shutting down."""


class UpstreamError(GatewayError):
    """Runpod, its network, or a worker."""


class UnreachableError(UpstreamError):
    """No connection, a broken one, or a reply that is not the service's own (an HTML page, a 5xx, nonsense).

    `was_sent` tells whether the call may have been taken, so that it must not be made a second time blindly.
    """

    def __init__(self, reason: str, *, was_sent: bool, status: int | None = None, detail: str = "") -> None:
        """`detail` is what the answer says, fit for a tenant."""
        super().__init__(reason)
        self.reason = reason
        self.was_sent = was_sent
        self.is_elsewhere_safe = not was_sent
        self.status = status
        self.detail = detail


class UpstreamBusyError(UpstreamError):
    """429 from Runpod: its rate, its concurrency, or its queue."""

    is_elsewhere_safe = True

    def __init__(self, *, retry_after_s: float | None) -> None:
        super().__init__()
        self.retry_after_s = retry_after_s


class UpstreamConfigError(UpstreamError):
    """Runpod refused our key (401, 403) or does not know the endpoint (404): for the operator to mend."""

    is_elsewhere_safe = True

    def __init__(self, *, status: int) -> None:
        super().__init__()
        self.status = status


class EndpointDownError(UpstreamError):
    """The endpoint failed time and again; nothing is sent to it until it has been seen to be well."""

    is_elsewhere_safe = True

    def __init__(self, *, retry_after_s: float) -> None:
        super().__init__()
        self.retry_after_s = retry_after_s


class NoWorkerError(UpstreamError):
    """No worker served the request within the cold start budget. Its job, if there was one, is cancelled.

    `since_s` is how long ago a start or the loading of a model began, `usual_s` how long starts took recently; None if
    that is not known.
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
    """A worker took the request, and the time for it is over; `is_loading` if it never showed any output."""

    def __init__(self, *, ran_s: float | None = None, is_loading: bool = False) -> None:
        super().__init__()
        self.ran_s = ran_s
        self.is_loading = is_loading


class ClientDeadlineError(UpstreamError):
    """The client's own deadline has passed: it is gone, or as good as."""

    def __init__(self, *, waited_s: float) -> None:
        super().__init__()
        self.waited_s = waited_s


class JobExpiredError(UpstreamError):
    """Runpod no longer knows the job: its ttl, or the retention of its result, is over."""


class JobFailedError(UpstreamError):
    """The job ended FAILED, CANCELLED or TIMED_OUT; `reason` is fit for a tenant."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class JobNotRunError(UpstreamError):
    """The job ended before its handler ran, so it may be sent again; `reason` is fit for a tenant."""

    is_elsewhere_safe = True

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class OutputLostError(UpstreamError):
    """The answer is missing, was cut short, or has a hole; `reason` says which."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class WorkerError(UpstreamError):
    """The worker answered with an error; `status` is the one it carried, or 502."""

    def __init__(
        self, *, status: int, message: str, type_: str, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__()
        self.status = status
        self.message = message
        self.type = type_
        self.param = param
        self.code = code
