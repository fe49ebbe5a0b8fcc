"""Not now."""

from gateway.errors.failure import GatewayError


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
    """Too many bytes of requests are in this process: of this tenant, or of all of them."""


class AnswersFullError(RefusedError):
    """Too many bytes of answers are in this process: of this tenant, or of all of them."""


class TooManyConnectionsError(RefusedError):
    """This process has as many connections as it takes."""


class FailedKeysError(RefusedError):
    """Too many wrong keys came from the client's address."""


class DrainingError(RefusedError):
    """This process is shutting down."""
