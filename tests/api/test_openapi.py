"""The description is a valid OpenAPI document, and it leaves no route out."""

import httpx
import pytest
import schemathesis

from gateway.api.openapi import describe
from tests.stacks import stack
from tests.subject import Subject, answering

CATCH_ALL = "/v1/{rest}"


def test_it_is_valid_openapi() -> None:
    document = describe(has_metrics=True)
    assert document["openapi"].startswith("3.1")
    schemathesis.openapi.from_dict(document).validate()


@pytest.mark.parametrize("metrics_port", [None, 9100])
def test_every_route_is_described(metrics_port: int | None) -> None:
    subject = Subject(answering(), metrics_port=metrics_port)
    served: dict[str, set[str]] = {}
    for route in subject.gateway.app._app.routes:  # type: ignore[attr-defined]
        if route.path_format != CATCH_ALL:
            served[route.path_format] = {method.lower() for method in route.methods} - {"options"}
    document = describe(has_metrics=metrics_port is None)
    described = {path: set(item) - {"parameters"} for path, item in document["paths"].items()}
    assert described == served


@pytest.mark.server
def test_it_is_served_without_a_key() -> None:
    with stack() as running:
        answer = httpx.get(f"{running.url}/openapi.json")
        assert answer.headers["content-type"] == "application/json"
        assert answer.json() == describe(has_metrics=True)
