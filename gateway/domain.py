"""Define the domain types: frozen, with no logic beyond arithmetic and look-ups."""

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from gateway.apis import ModelKind


class Secret:
    """Hold a value that must not appear in a log, error or repr; only `reveal` returns it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value, for the code that sends it."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"


class Operation(StrEnum):
    """Name a Runpod operation that has its own limits."""

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
    """Hold the limits of an operation: calls per 10 seconds, and concurrent calls."""

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
"""Limits per account and endpoint, from the Runpod documentation ("Send API requests", rate limits).

No limit is published for /health and no concurrency for /purge-queue; those are our own conservative numbers.
"""

JOB_BODY_BYTES_MAX = 10 * 1024 * 1024
"""Maximum size in bytes of a request body of /run, from the Runpod documentation's operation reference."""


class Route(StrEnum):
    """Name the route by which a request reaches the workers of an endpoint."""

    AUTO = "auto"
    """The OpenAI route while a worker is warm, otherwise the job route."""
    JOB = "job"
    """/run, then /stream: works during cold starts, and can be cancelled."""
    OPENAI = "openai"
    """/openai/*: one relayed call."""


class Resource(StrEnum):
    """Name the resource that the tenants of an endpoint share by weight."""

    SEAT_SECONDS = "seat_seconds"
    """Seconds that requests are in flight."""
    TOKENS = "tokens"
    """Prompt and completion tokens."""
    GPU_SECONDS = "gpu_seconds"
    """Seconds that workers ran for requests, as reported by Runpod."""


class OutagePolicy(StrEnum):
    """Name a replica's behaviour while the shared state is unreachable."""

    SHARE = "share"
    """Continue with its leases, and later with its part of each limit."""
    CLOSED = "closed"
    """Send nothing, so that no limit is ever exceeded."""
    OPEN = "open"
    """Use the whole of each limit, as a single replica would."""


class EndpointState(StrEnum):
    """Name the state of an endpoint's workers; see `endpoints.worker_state`."""

    ASLEEP = "asleep"
    """Workers are provisioned, and none runs."""
    WAKING = "waking"
    """A worker is starting."""
    LOADING = "loading"
    """A worker runs, or has taken a job, and has produced no output yet."""
    WARM = "warm"
    """A worker has produced output recently."""
    THROTTLED = "throttled"
    """Runpod has no free GPU of the required kind."""
    UNHEALTHY = "unhealthy"
    ABSENT = "absent"
    """There are no workers, and none is starting: the endpoint's maximum may be zero."""
    UNKNOWN = "unknown"


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Represent a configured Runpod Serverless endpoint."""

    name: str
    """Label in metrics and logs."""
    id: str
    base_url: str
    api_key: Secret
    route: Route
    dialect: str
    max_in_flight: int
    max_in_flight_cold: int
    """Maximum number of each tenant's requests in flight, in this process, until a worker has produced output."""
    min_workers: int
    """Number of workers that Runpod keeps running: with any, a burst needs no first request to start one."""
    queue_timeout_s: float
    cold_start_timeout_s: float
    execution_timeout_s: float
    share_by: Resource
    limits: dict[Operation, Limit]
    """Configured limits, which replace the published ones."""

    @property
    def address(self) -> str:
        """Return what identifies the endpoint at Runpod: entries with different names may share one address."""
        return f"{self.base_url} {self.id}"

    def limit(self, operation: Operation) -> Limit:
        """Return the limits of an operation: the configured ones, else the published ones."""
        return self.limits.get(operation) or PUBLISHED_LIMITS[operation]


ANY = "*"
"""Id of the model that matches every name that no other model has, and passes it through."""


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """Represent a model name that clients send, and the endpoints that serve it."""

    id: str
    endpoints: tuple[Endpoint, ...]
    """Endpoints, tried in order until one sends the first byte."""
    upstream: str
    """Model name that is sent to the worker."""
    kind: ModelKind | None
    """Kind of the model; None accepts requests of every kind."""
    label: str
    """Name in metrics and logs, never one that a client has chosen."""
    is_job_only: bool = False
    """True if the model is only served on the job route, even if its endpoints allow others."""


class Tenant(msgspec.Struct, frozen=True, kw_only=True):
    """Represent a tenant: the owner of keys, with a weight and quotas."""

    name: str
    weight: float = 1.0
    models: tuple[str, ...] = ("*",)
    max_in_flight: int | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    is_job_only: bool = False
    """True if its requests only use the job route, where the job of a client that disconnects is cancelled."""

    def may_use(self, model_id: str) -> bool:
        """Return True if the tenant's allow list includes this model."""
        return "*" in self.models or model_id in self.models


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """Identify one attempt to serve a request, in all records of its cost."""

    request_id: str
    number: int
    """Number of the attempt within the request, from 1."""
    tenant: str
    key_id: str
    model: str
    """Label of the model."""
    endpoint: str
    route: str
    job_id: str | None = None
    """Runpod's job id, once it accepted the job; None on the OpenAI route."""


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the token usage of a request."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    is_estimate: bool = False

    @property
    def total_tokens(self) -> int:
        """Return the sum of prompt and completion tokens."""
        return self.prompt_tokens + self.completion_tokens
