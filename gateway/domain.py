"""The nouns of the business. Frozen; arithmetic at most."""

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta


class Secret:
    """A value that no log, error or repr shows; `reveal` is the only way to it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself, for the one place that sends it."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"


class Operation(StrEnum):
    """A Runpod call with limits of its own."""

    OPENAI = "openai"
    RUN = "run"
    RUNSYNC = "runsync"
    STREAM = "stream"
    STATUS = "status"
    CANCEL = "cancel"
    PURGE_QUEUE = "purge_queue"
    REQUESTS = "requests"
    HEALTH = "health"


class Limit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often an operation may be called, and how many calls may be under way."""

    per_10s: Annotated[int, Meta(ge=1)]
    concurrent: Annotated[int, Meta(ge=1)]


PUBLISHED_LIMITS: dict[Operation, Limit] = {
    Operation.OPENAI: Limit(per_10s=2000, concurrent=400),
    Operation.RUN: Limit(per_10s=1000, concurrent=200),
    Operation.RUNSYNC: Limit(per_10s=2000, concurrent=400),
    Operation.STREAM: Limit(per_10s=2000, concurrent=400),
    Operation.STATUS: Limit(per_10s=2000, concurrent=400),
    Operation.CANCEL: Limit(per_10s=100, concurrent=20),
    Operation.PURGE_QUEUE: Limit(per_10s=2, concurrent=1),
    Operation.REQUESTS: Limit(per_10s=10, concurrent=2),
    Operation.HEALTH: Limit(per_10s=100, concurrent=4),
}
"""Per account and endpoint, from the Runpod documentation ("Send API requests", rate limits).

No limit is published for /health and no concurrency for /purge-queue; those numbers are ours, and modest.
"""

JOB_BODY_BYTES_MAX = 10 * 1024 * 1024
"""What /run takes, from the Runpod documentation's operation reference."""


class Route(StrEnum):
    """How a request reaches the workers of an endpoint."""

    AUTO = "auto"
    """The OpenAI route while a worker is warm, else the job route."""
    JOB = "job"
    """/run, then /stream: survives cold starts, and can be cancelled."""
    OPENAI = "openai"
    """/openai/*: one call, relayed."""


class Resource(StrEnum):
    """What the tenants of an endpoint share by weight."""

    SEAT_SECONDS = "seat_seconds"
    """How long requests are in flight."""
    TOKENS = "tokens"
    """What is read and written for them."""
    GPU_SECONDS = "gpu_seconds"
    """How long workers ran for them, by Runpod's own account."""


class OutagePolicy(StrEnum):
    """What a replica does while the shared state is out of reach."""

    SHARE = "share"
    """Goes on with what it was leased, later with its part of each limit."""
    CLOSED = "closed"
    """Sends nothing: no limit is ever passed."""
    OPEN = "open"
    """Uses each limit as if it were alone."""


class EndpointState(StrEnum):
    """What is known of the workers of an endpoint; see `exchange.endpoint_state`."""

    ASLEEP = "asleep"
    """Workers are provisioned, and none runs."""
    WAKING = "waking"
    """A worker is starting."""
    LOADING = "loading"
    """A worker runs, or has taken a job, and has shown no output yet."""
    WARM = "warm"
    """A worker has shown output recently."""
    THROTTLED = "throttled"
    """Runpod has no free GPU of the kind."""
    UNHEALTHY = "unhealthy"
    ABSENT = "absent"
    """There are no workers, and none is starting: the endpoint's maximum may be zero."""
    UNKNOWN = "unknown"


class Api(StrEnum):
    """What a client may ask for; the value is the path, here and at an OpenAI-compatible worker."""

    CHAT_COMPLETIONS = "/v1/chat/completions"
    COMPLETIONS = "/v1/completions"
    EMBEDDINGS = "/v1/embeddings"


class ModelKind(StrEnum):
    """What a model does."""

    CHAT = "chat"
    EMBEDDING = "embedding"


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A Runpod Serverless endpoint, as this gateway uses it."""

    name: str
    """Its label in metrics and logs."""
    id: str
    base_url: str
    api_key: Secret
    route: Route
    dialect: str
    max_in_flight: int
    max_in_flight_cold: int
    """How many requests may wait at Runpod until a worker has shown output: enough to wake one."""
    min_workers: int
    """How many workers Runpod is configured to keep up: with any, a burst needs no first request to wake one."""
    queue_timeout_s: float
    cold_start_timeout_s: float
    execution_timeout_s: float
    share_by: Resource
    limits: dict[Operation, Limit]
    """What the published limits are overridden by."""

    @property
    def address(self) -> str:
        """Where it is at Runpod, whatever it is called here."""
        return f"{self.base_url} {self.id}"

    def limit(self, operation: Operation) -> Limit:
        """What may be called of an operation."""
        return self.limits.get(operation) or PUBLISHED_LIMITS[operation]


ANY = "*"
"""A model with this id takes every name that no other model has, and passes it through."""


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A name that clients send, and where it leads."""

    id: str
    endpoints: tuple[Endpoint, ...]
    """Tried in order until the first byte."""
    upstream: str
    """The name that the worker knows."""
    kind: ModelKind | None
    """None takes every kind of request: a name that passes through."""
    label: str
    """The name in metrics and logs: a client-supplied name never becomes one."""
    is_job_only: bool = False
    """True where the model is served on the job route alone, whatever its endpoints say."""


class Tenant(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks."""

    name: str
    weight: float = 1.0
    models: tuple[str, ...] = ("*",)
    max_in_flight: int | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    is_job_only: bool = False
    """True where its requests take the job route alone, on which the job of a client that leaves is cancelled."""

    def may_use(self, model_id: str) -> bool:
        """Whether the allow list names this model."""
        return "*" in self.models or model_id in self.models


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt to serve a request, as everything that carries its cost names it."""

    request_id: str
    number: int
    """Which of the request's attempts it is, from 1."""
    tenant: str
    key_id: str
    model: str
    """The model's label."""
    endpoint: str
    route: str
    job_id: str | None = None
    """Runpod's, once it took the job; None on the OpenAI route."""


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What a request consumed, in tokens."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    is_estimate: bool = False

    @property
    def total_tokens(self) -> int:
        """Both directions."""
        return self.prompt_tokens + self.completion_tokens
