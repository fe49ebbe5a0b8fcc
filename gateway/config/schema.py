"""Define the types of the sections of the configuration file."""

import datetime as dt
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gateway.apis import ModelKind
from gateway.domain import Limit, Operation, OutagePolicy, Resource, Route

NAME = r"^[A-Za-z0-9][A-Za-z0-9._:/ -]{0,127}$"
Name = Annotated[str, Meta(pattern=NAME)]
Seconds = Annotated[float, Meta(gt=0, le=7 * 86400)]
Count = Annotated[int, Meta(ge=1)]
Weight = Annotated[float, Meta(ge=0.001, le=1_000_000)]
Digest = Annotated[str, Meta(pattern=r"^(sha256:)?[0-9a-fA-F]{64}$")]
Url = Annotated[str, Meta(pattern=r"^https?://[^\s]+$")]
HeaderName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9-]+$")]
HeaderValue = Annotated[str, Meta(pattern=r"^[!-~]([ -~]*[!-~])?$")]
RequiredRoute = Literal["auto", "job"]
"""Route of requests: the endpoint's own setting (`auto`), or always the job route (`job`)."""
DialectName = Literal["openai", "tokens", "legacy", "text"]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Define a section. Unknown keys are errors: a misspelt key would silently leave the default in force."""


class Listen(Section, frozen=True):
    """Configure the address that the gateway listens on."""

    host: str = "0.0.0.0"  # noqa: S104 - a gateway in a container is reached from outside it.
    port: Annotated[int, Meta(ge=0, le=65535)] = 8080


class Clients(Section, frozen=True):
    """Configure the limits of client connections."""

    head_bytes_max: Annotated[int, Meta(ge=1024, le=1024 * 1024)] = 32 * 1024
    head_timeout_s: Seconds = 10
    read_timeout_s: Seconds = 30
    write_timeout_s: Seconds = 60
    connections_max: Count = 10_000
    failed_keys_per_minute: Count | None = None
    """Maximum number of wrong keys per minute from one network. All clients behind one proxy have its network."""


class EndpointSection(Section, frozen=True):
    """Configure a Runpod Serverless endpoint."""

    name: Name
    id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]+$")]
    base_url: Url = "https://api.runpod.ai/v2"
    api_key: str | None = None
    api_key_file: str | None = None
    route: Route = Route.AUTO
    worker: DialectName = "openai"
    max_in_flight: Count = 64
    max_in_flight_cold: Count = 1
    """Limit of each gateway process: it is not leased, because any process may be the only one with a request."""
    min_workers: Annotated[int, Meta(ge=0)] = 0
    queue_timeout_s: Seconds = 30
    cold_start_timeout_s: Seconds = 600
    execution_timeout_s: Seconds = 600
    share_by: Resource = Resource.SEAT_SECONDS
    limits: dict[Operation, Limit] = {}


class ModelSection(Section, frozen=True):
    """Configure a model name that clients send."""

    id: Annotated[str, Meta(min_length=1, max_length=256)]
    endpoint: str | list[str]
    upstream: str | None = None
    kind: ModelKind | None = None
    route: RequiredRoute = "auto"


class KeySection(Section, frozen=True):
    """Configure a tenant's key by its digest."""

    sha256: Digest
    expires_at: dt.datetime | None = None
    label: str | None = None


class TenantSection(Section, frozen=True):
    """Configure a tenant: its keys, weight and quotas."""

    name: Name
    weight: Weight = 1.0
    keys: list[KeySection | Digest] = []
    models: list[str] = msgspec.field(default_factory=lambda: ["*"])
    max_in_flight: Count | None = None
    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = None
    route: RequiredRoute = "auto"


class GuestSection(Section, frozen=True):
    """Configure the tenant of all clients without a configured key; they share its weight and quotas."""

    name: Name = "guest"
    weight: Weight = 1.0
    models: list[str] = msgspec.field(default_factory=lambda: ["*"])
    max_in_flight: Count | None = None
    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = None
    route: RequiredRoute = "auto"


class State(Section, frozen=True):
    """Configure the store of the state that replicas share; with `memory` a single process shares nothing."""

    kind: Literal["memory", "redis"] = "memory"
    url: Annotated[str, Meta(pattern=r"^(rediss?|unix)://")] | None = None
    on_outage: OutagePolicy = OutagePolicy.SHARE
    prefix: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")] = "fairpod"


class Logs(Section, frozen=True):
    """Configure the log."""

    format: Literal["auto", "json", "console"] = "auto"


class Traces(Section, frozen=True):
    """Configure the OpenTelemetry collector that traces are sent to."""

    endpoint: Url
    headers: dict[HeaderName, HeaderValue] = {}
    sample_ratio: Annotated[float, Meta(ge=0, le=1)] = 1.0
    service_name: Annotated[str, Meta(min_length=1, max_length=128)] = "fairpod"


METRICS_PORT = 9464
"""Default port of OpenTelemetry's Prometheus exporters, from its specification ("Metrics Exporter - Prometheus")."""


class Config(Section, frozen=True):
    """Define the whole configuration file."""

    endpoints: Annotated[list[EndpointSection], Meta(min_length=1)]
    models: Annotated[list[ModelSection], Meta(min_length=1)]
    tenants: Annotated[list[TenantSection], Meta(min_length=1)]
    guest: GuestSection | None = None
    listen: Listen = Listen()
    clients: Clients = Clients()
    metrics_port: Annotated[int, Meta(ge=1, le=65535)] | None = METRICS_PORT
    drain_s: Annotated[float, Meta(ge=0, le=3600)] = 30
    body_bytes_max: Annotated[int, Meta(ge=1024)] = 20 * 1024 * 1024
    memory_bytes_max: Annotated[int, Meta(ge=64 * 1024 * 1024)] | None = None
    """Memory of each process in bytes; None for the limit that the system sets."""
    state: State = State()
    logs: Logs = Logs()
    traces: Traces | None = None
