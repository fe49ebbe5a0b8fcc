"""Check the endpoints and routes of the models in a configuration. Pure."""

from collections.abc import Iterator

from gateway.config.schema import Config, EndpointSection, GuestSection, ModelSection, TenantSection
from gateway.domain import Route

_REMEDY = "set its `worker` to 'openai'"


def endpoint_names(endpoint: str | list[str]) -> list[str]:
    """Return the names of a model's endpoints, in the order in which they are tried."""
    return [endpoint] if isinstance(endpoint, str) else endpoint


def model_problems(config: Config) -> Iterator[tuple[str, str]]:
    """Find models without a known endpoint, or whose workers cannot serve them; yield paths and texts."""
    endpoints = {endpoint.name: endpoint for endpoint in config.endpoints}
    for index, model in enumerate(config.models):
        path = f"models[{index}].endpoint"
        names = endpoint_names(model.endpoint)
        if not names:
            yield path, "at least one endpoint is required"
        for name in names:
            if name not in endpoints:
                yield path, f"unknown endpoint '{name}'; expected one of: {', '.join(endpoints)}"
            elif _needs_openai(model) and not _serves_openai(endpoints[name]):
                yield path, f"endpoint '{name}' does not serve models of kind '{model.kind}': {_REMEDY}"
        for name in _without_job_route(model, endpoints):
            if model.route == "job":
                yield (
                    f"models[{index}].route",
                    f"endpoint '{name}' does not serve models of kind '{model.kind}' on the job route: {_REMEDY}",
                )
    yield from _tenants_without_a_route(config, endpoints)


def _tenants_without_a_route(config: Config, endpoints: dict[str, EndpointSection]) -> Iterator[tuple[str, str]]:
    """Find tenants that are restricted to the job route, and may use models that cannot be served on it."""
    sections: list[tuple[str, TenantSection | GuestSection]] = [
        (f"tenants[{index}]", tenant) for index, tenant in enumerate(config.tenants)
    ]
    if config.guest is not None:
        sections.append(("guest", config.guest))
    for path, section in sections:
        allowed = [model for model in config.models if "*" in section.models or model.id in section.models]
        for model in allowed if section.route == "job" else ():
            for name in _without_job_route(model, endpoints):
                text = f"model '{model.id}' cannot be served on the job route by endpoint '{name}': {_REMEDY}"
                yield f"{path}.route", f"{text}, or remove the model from '{path}.models'"


def _without_job_route(model: ModelSection, endpoints: dict[str, EndpointSection]) -> list[str]:
    """Return the names of endpoints that serve a model of this kind only on the OpenAI route."""
    if not _needs_openai(model):
        return []
    named = [endpoints[name] for name in endpoint_names(model.endpoint) if name in endpoints]
    return [endpoint.name for endpoint in named if _serves_openai(endpoint) and endpoint.worker != "openai"]


def _needs_openai(model: ModelSection) -> bool:
    return model.kind is not None and model.kind.needs_openai_worker


def _serves_openai(endpoint: EndpointSection) -> bool:
    return endpoint.worker == "openai" or endpoint.route is Route.OPENAI
