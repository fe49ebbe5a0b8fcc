"""The client has to change something."""

from gateway.errors.failure import GatewayError


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


class TooLargeError(RequestError):
    """More than `bytes_max` bytes."""

    def __init__(self, bytes_max: int) -> None:
        super().__init__()
        self.bytes_max = bytes_max


class BodyTooLargeError(TooLargeError):
    """More bytes than we, or Runpod, take."""


class HeadTooLargeError(TooLargeError):
    """More bytes, or more lines, of request line and headers than we take."""


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
