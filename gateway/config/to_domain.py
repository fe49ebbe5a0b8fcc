"""Convert sections of the configuration file to domain types."""

import datetime as dt
from collections.abc import Mapping

from gateway.config.model_checks import endpoint_names
from gateway.config.schema import Config, EndpointSection, GuestSection, ModelSection, TenantSection
from gateway.domain import ANY, Endpoint, Model, Secret, Tenant
from gateway.memory_plan import MemoryPlan, memory_of, plan_of

OTHER = "other"
"""Label of the model that passes names through: a name chosen by a client must not become a label."""


def tenant_of(section: TenantSection | GuestSection) -> Tenant:
    """Convert a tenant section or the guest section."""
    return Tenant(
        name=section.name,
        weight=section.weight,
        models=tuple(section.models),
        max_in_flight=section.max_in_flight,
        requests_per_minute=section.requests_per_minute,
        tokens_per_minute=section.tokens_per_minute,
        is_job_only=section.route == "job",
    )


def endpoint_of(section: EndpointSection) -> Endpoint:
    """Convert an endpoint section; its `api_key_file`, if any, has to be read into `api_key` before."""
    return Endpoint(
        name=section.name,
        id=section.id,
        base_url=section.base_url.rstrip("/"),
        api_key=Secret((section.api_key or "").strip()),
        route=section.route,
        dialect=section.worker,
        max_in_flight=section.max_in_flight,
        max_in_flight_cold=section.max_in_flight_cold,
        min_workers=section.min_workers,
        queue_timeout_s=section.queue_timeout_s,
        cold_start_timeout_s=section.cold_start_timeout_s,
        execution_timeout_s=section.execution_timeout_s,
        share_by=section.share_by,
        limits=section.limits,
    )


def model_of(section: ModelSection, endpoints: Mapping[str, Endpoint]) -> Model:
    """Convert a model section; `endpoints` are all endpoints by name."""
    return Model(
        id=section.id,
        endpoints=tuple(endpoints[name] for name in endpoint_names(section.endpoint)),
        upstream=section.upstream or section.id,
        kind=section.kind,
        label=OTHER if section.id == ANY else section.id,
        is_job_only=section.route == "job",
    )


def memory_plan_of(config: Config, *, processes: int) -> MemoryPlan:
    """Return the memory limits of one process, if `processes` of them share this machine."""
    memory = memory_of(config.memory_bytes_max, processes=processes)
    seats = sum(section.max_in_flight for section in config.endpoints)
    connections_max, body_bytes_max = config.clients.connections_max, config.body_bytes_max
    return plan_of(memory, connections_max=connections_max, body_bytes_max=body_bytes_max, seats=seats)


def unix_s(moment: dt.datetime) -> float:
    """Return a time in Unix seconds. Without a time zone it is UTC, so that a file means the same on every machine."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp()
