"""The sections of the file as the nouns of the business."""

import datetime as dt
from collections.abc import Mapping
from pathlib import Path

from gateway.config.reading import ConfigError, Problem, endpoint_names
from gateway.config.sections import EndpointSection, GuestSection, ModelSection, TenantSection
from gateway.domain import ANY, Endpoint, Model, Secret, Tenant

OTHER = "other"
"""The label of a model whose name the client chose."""


def tenant_of(section: TenantSection | GuestSection) -> Tenant:
    """Who asks."""
    return Tenant(
        name=section.name,
        weight=section.weight,
        models=tuple(section.models),
        max_in_flight=section.max_in_flight,
        requests_per_minute=section.requests_per_minute,
        tokens_per_minute=section.tokens_per_minute,
    )


def endpoint_of(section: EndpointSection) -> Endpoint:
    """Where requests go.

    Raises:
        ConfigError: The file with its key cannot be read.
    """
    return Endpoint(
        name=section.name,
        id=section.id,
        base_url=section.base_url.rstrip("/"),
        api_key=_api_key(section),
        route=section.route,
        dialect=section.worker,
        max_in_flight=section.max_in_flight,
        max_in_flight_cold=section.max_in_flight_cold,
        queue_timeout_s=section.queue_timeout_s,
        cold_start_timeout_s=section.cold_start_timeout_s,
        execution_timeout_s=section.execution_timeout_s,
        share_by=section.share_by,
        limits=section.limits,
    )


def _api_key(section: EndpointSection) -> Secret:
    """The key itself, or the content of its file.

    Raises:
        ConfigError: The file cannot be read.
    """
    if section.api_key is not None:
        return Secret(section.api_key.strip())
    try:
        return Secret(Path(section.api_key_file or "").read_text(encoding="utf-8").strip())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([Problem(f"endpoints.{section.name}.api_key_file", str(error))]) from None


def model_of(section: ModelSection, endpoints: Mapping[str, Endpoint]) -> Model:
    """A name that leads to some of these endpoints."""
    return Model(
        id=section.id,
        endpoints=tuple(endpoints[name] for name in endpoint_names(section.endpoint)),
        upstream=section.upstream or section.id,
        kind=section.kind,
        label=OTHER if section.id == ANY else section.id,
    )


def unix_s(moment: dt.datetime) -> float:
    """A time without a zone is UTC: the same file means the same on every machine."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp()
