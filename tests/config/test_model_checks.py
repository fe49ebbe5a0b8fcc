from typing import Any

import pytest

from gateway.config.loader import ConfigError, parse_config
from gateway.config.model_checks import endpoint_names

KEY = "0" * 64
NO_EMBEDDINGS = "endpoint 'one' does not serve models of kind 'embedding'"
NO_JOB_ROUTE = {"worker": "text", "route": "openai"}
"""Its workers speak OpenAI's format on the OpenAI route, and plain text on the job route."""


def problems(*, model: dict[str, Any], endpoint: dict[str, Any], **sections: Any) -> list[str]:
    raw = {
        "endpoints": [{"name": "one", "id": "ep1", "api_key": "k", **endpoint}],
        "models": [{"id": "m", "endpoint": "one", **model}],
        "tenants": [{"name": "acme", "keys": [KEY], **sections.pop("tenant", {})}],
        **sections,
    }
    try:
        parse_config(raw, {})
    except ConfigError as error:
        return [str(problem) for problem in error.problems]
    return []


def test_one_endpoint_or_several_are_named() -> None:
    assert endpoint_names("one") == ["one"]
    assert endpoint_names(["one", "two"]) == ["one", "two"]


@pytest.mark.parametrize(
    ("endpoint", "text"),
    [([], "at least one endpoint is required"), ("two", "unknown endpoint 'two'; expected one of: one")],
)
def test_a_model_leads_to_endpoints_that_there_are(endpoint: Any, text: str) -> None:
    assert problems(model={"endpoint": endpoint}, endpoint={}) == [f"models[0].endpoint: {text}"]


def test_embeddings_need_a_worker_or_a_route_that_speaks_openai() -> None:
    model = {"kind": "embedding"}
    assert problems(model=model, endpoint={}) == []
    assert problems(model=model, endpoint=NO_JOB_ROUTE) == []
    found = problems(model=model, endpoint={"worker": "text"})
    assert found == [
        "models[0].endpoint: endpoint 'one' does not serve models of kind 'embedding': set its `worker` to 'openai'"
    ]


def test_embeddings_that_have_no_job_route_cannot_be_kept_to_it() -> None:
    model = {"kind": "embedding", "route": "job"}
    assert problems(model=model, endpoint={"route": "openai"}) == []
    found = problems(model=model, endpoint=NO_JOB_ROUTE)
    assert found == [
        f"models[0].route: {NO_EMBEDDINGS} on the job route: set its `worker` to 'openai'",
    ]


@pytest.mark.parametrize(
    ("sections", "path"),
    [({"tenant": {"route": "job"}}, "tenants[0]"), ({"guest": {"route": "job"}}, "guest")],
)
def test_a_tenant_that_is_kept_to_the_job_route_may_use_no_model_without_one(sections: Any, path: str) -> None:
    model = {"kind": "embedding"}
    assert problems(model=model, endpoint={}, **sections) == []
    assert problems(model={"kind": "chat"}, endpoint=NO_JOB_ROUTE, **sections) == []
    found = problems(model=model, endpoint=NO_JOB_ROUTE, **sections)
    assert len(found) == 1
    assert found[0].startswith(f"{path}.route: model 'm' cannot be served on the job route by endpoint 'one'")
    assert f"remove the model from '{path}.models'" in found[0]


def test_a_model_that_the_tenant_may_not_use_is_no_matter() -> None:
    raw_models = [{"id": "m", "endpoint": "one", "kind": "embedding"}, {"id": "chat", "endpoint": "one"}]
    tenant = {"route": "job", "models": ["chat"]}
    assert problems(model={}, endpoint=NO_JOB_ROUTE, models=raw_models, tenant=tenant) == []


@pytest.mark.parametrize("section", ["model", "tenant"])
def test_no_other_route_can_be_required(section: str) -> None:
    sections: dict[str, Any] = {"model": {}, "endpoint": {}, section: {"route": "openai"}}
    assert "expected one of: auto, job" in problems(**sections)[0]
