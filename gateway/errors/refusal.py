"""Define the errors of requests that the gateway rejects for now."""

from gateway.errors.failure import GatewayError


class RefusedError(GatewayError):
    """Represent a rejection for now; `retry_after_s` is the number of seconds until a retry is useful."""

    def __init__(self, *, retry_after_s: float) -> None:
        super().__init__()
        self.retry_after_s = retry_after_s


class TenantLimitError(RefusedError):
    """Represent a cap of the tenant that is reached; `limit` is its name in the configuration."""

    def __init__(self, *, limit: str, maximum: int, retry_after_s: float) -> None:
        super().__init__(retry_after_s=retry_after_s)
        self.limit = limit
        self.maximum = maximum


class OverShareError(RefusedError):
    """Represent a lack of spare capacity for a tenant that uses or queues its whole share of the endpoint."""

    is_elsewhere_safe = True


class NoTurnError(RefusedError):
    """Represent a lack of capacity: the tenant holds less than its share, and no seat became free in time."""

    is_elsewhere_safe = True


class BodiesFullError(RefusedError):
    """Represent too many bytes of requests in this process: of this tenant, or of all of them."""


class AnswersFullError(RefusedError):
    """Represent too many bytes of answers in this process: of this tenant, or of all of them."""


class TooManyConnectionsError(RefusedError):
    """Represent the connection limit of this process."""


class FailedKeysError(RefusedError):
    """Represent too many wrong keys from the client's address."""


class DrainingError(RefusedError):
    """Represent the shutdown of this process."""
