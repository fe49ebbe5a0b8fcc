"""Define the errors of requests that the client has to change."""

from gateway.errors.failure import GatewayError


class RequestError(GatewayError):
    """Represent a request that the client has to change before it tries again."""


class InvalidKeyError(RequestError):
    """Represent an API key that is missing, unknown or expired."""

    def __init__(self, *, is_missing: bool = False) -> None:
        super().__init__()
        self.is_missing = is_missing


class ModelForbiddenError(RequestError):
    """Represent a model that is not on the tenant's allow list."""

    def __init__(self, model: str) -> None:
        super().__init__()
        self.model = model


class UnknownModelError(RequestError):
    """Represent a model that is not in the configuration, or, with `endpoint`, not on that endpoint."""

    def __init__(self, model: str, *, endpoint: str | None = None) -> None:
        super().__init__()
        self.model = model
        self.endpoint = endpoint


class UnknownEndpointError(RequestError):
    """Represent a path with an endpoint that is not in the configuration."""

    def __init__(self, endpoint: str) -> None:
        super().__init__()
        self.endpoint = endpoint


class UnknownUrlError(RequestError):
    """Represent an unknown path."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path


class MethodError(RequestError):
    """Represent a method that is not allowed for the path."""

    def __init__(self, *, method: str, allowed: str) -> None:
        super().__init__()
        self.method = method
        self.allowed = allowed


class TooLargeError(RequestError):
    """Represent more than `bytes_max` bytes."""

    def __init__(self, bytes_max: int) -> None:
        super().__init__()
        self.bytes_max = bytes_max


class BodyTooLargeError(TooLargeError):
    """Represent a body that is larger than the gateway or Runpod accepts."""


class HeadTooLargeError(TooLargeError):
    """Represent a request line and headers with more bytes or lines than the gateway accepts."""


class UnsupportedEncodingError(RequestError):
    """Represent an unsupported Content-Encoding of the body; `accepted` lists the supported ones."""

    def __init__(self, encoding: str, accepted: list[str]) -> None:
        super().__init__()
        self.encoding = encoding
        self.accepted = accepted


class SlowRequestError(RequestError):
    """Represent a client that sends its request too slowly; `part` is "headers" or "body"."""

    def __init__(self, part: str) -> None:
        super().__init__()
        self.part = part


class IdempotencyError(RequestError):
    """Represent an Idempotency-Key that cannot be honoured; `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class InvalidRequestError(RequestError):
    """Represent an invalid body; `reason` says what to change and contains nothing of the prompt."""

    def __init__(self, reason: str, *, param: str | None = None, code: str | None = "invalid_value") -> None:
        super().__init__(reason)
        self.reason = reason
        self.param = param
        self.code = code
