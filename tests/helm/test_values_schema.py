"""values.schema.json refuses what it does not know, and knows what the gateway knows."""

import json
from collections.abc import Iterator
from typing import Any

import helm_python
import jsonschema  # type: ignore[import-untyped]
import pytest

from tests.helm.chart import chart, merge, render, values_of
from tests.helm.config_schema import SCHEMA, definitions_of_config, write_definitions
from tests.helm.snapshots_of import VARIABLE, is_writing

FREE = {"strings", "labels"}
"""Annotations, labels and node selectors: names are anybody's, values are text."""


def schema() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(SCHEMA.read_text())
    return found


def test_it_is_a_schema_of_draft_7() -> None:
    assert schema()["$schema"] == "http://json-schema.org/draft-07/schema#"
    jsonschema.Draft7Validator.check_schema(schema())


def objects(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, dict):
        if node.get("type") == "object":
            yield path, node
        for name, item in node.items():
            yield from objects(item, f"{path}/{name}")
    elif isinstance(node, list):
        for item in node:
            yield from objects(item, path)


def test_every_object_is_closed() -> None:
    found = dict(objects(schema()))
    assert len(found) > 40
    for path, node in found.items():
        if path == "/properties/global":
            # Helm hands it to every chart within another one.
            continue
        if path.removeprefix("/definitions/") in FREE:
            assert node["additionalProperties"]["type"] == "string"
        else:
            assert node["additionalProperties"] is False, path


def test_it_describes_every_value_that_there_is() -> None:
    def missing(values: dict[str, Any], node: dict[str, Any], path: str) -> Iterator[str]:
        while "$ref" in node:
            node = schema()["definitions"][node["$ref"].rsplit("/", 1)[1]]
        for name, value in values.items():
            if name not in node["properties"]:
                yield f"{path}.{name}"
            elif isinstance(value, dict) and value and "properties" in node["properties"][name]:
                yield from missing(value, node["properties"][name], f"{path}.{name}")

    assert list(missing(chart().values, schema(), "")) == []
    assert schema()["properties"].keys() - chart().values.keys() == {"global"}


def test_it_knows_the_configuration_as_the_gateway_does() -> None:
    expected = definitions_of_config()
    found = {name: node for name, node in schema()["definitions"].items() if name.startswith("config")}
    if is_writing() and found != expected:
        write_definitions()
        pytest.fail(f"values.schema.json is written: read the difference, then run without {VARIABLE}")
    assert found == expected, f"gateway/config/schema.py has moved on; {VARIABLE}=1 writes values.schema.json"


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"replica": 2}, "replica"),
        ({"image": {"tagg": "x"}}, "/image"),
        ({"config": {"drain": 5}}, "/config"),
        ({"config": {"endpoints": [{"name": "a", "id": "b", "max_inflight": 3}]}}, "/config/endpoints/0"),
        ({"config": {"endpoints": [{"name": "a", "id": "b", "limits": {"fly": {}}}]}}, "/config/endpoints/0/limits"),
        ({"config": {"endpoints": [{"name": "a", "id": "b", "route": "fast"}]}}, "/config/endpoints/0/route"),
        ({"config": {"tenants": [{"name": "a", "keys": ["fp-a-key-in-clear"]}]}}, "/config/tenants/0/keys/0"),
        ({"config": {"drain_s": "${DRAIN}"}}, "/config/drain_s"),
        ({"config": {"listen": {"port": 80}}}, "/config/listen/port"),
        ({"config": {"metrics_port": 80}}, "/config/metrics_port"),
        ({"state": {"redis": {"url": "http://valkey"}}}, "/state/redis/url"),
        ({"state": {"redis": {"onOutage": "shrug"}}}, "/state/redis/onOutage"),
        ({"replicas": 0}, "/replicas"),
        ({"replicas": "2"}, "/replicas"),
        ({"simple": {"keyDigest": "fp-a-key-in-clear"}}, "/simple/keyDigest"),
        ({"simple": {"endpointId": "https://api.runpod.ai/v2/abc"}}, "/simple/endpointId"),
        ({"runpodApiKey": {"value": "rpa_x"}}, "/runpodApiKey"),
        ({"secretEnv": [{"name": "A", "value": "rpa_x"}]}, "/secretEnv/0"),
        ({"extraEnvFrom": [{"configMapRef": {"name": "x"}}]}, "/extraEnvFrom/0"),
        ({"networkPolicy": {"clients": [{}]}}, "/networkPolicy/clients/0"),
        ({"networkPolicy": {"clients": [{"ipBlock": {"cidr": "1.2.3.4"}}]}}, "/networkPolicy/clients/0/ipBlock/cidr"),
        ({"networkPolicy": {"extraEgress": [{"to": []}]}}, "/networkPolicy/extraEgress/0"),
        ({"podLabels": {"app.kubernetes.io/name": "x"}}, "/podLabels/app.kubernetes.io~1name"),
        ({"preStopSeconds": 0}, "/preStopSeconds"),
        ({"service": {"type": "ExternalName"}}, "/service/type"),
        ({"resources": {"limits": {"memory": "lots"}}}, "/resources/limits/memory"),
    ],
)
def test_it_refuses(values: dict[str, Any], place: str) -> None:
    with pytest.raises(helm_python.HelmValuesError) as refused:
        render(merge(values_of("minimal"), values))
    assert place in str(refused.value)


@pytest.mark.parametrize(
    "endpoint", [{"max_in_flight": "${SEATS:-3}"}, {"route": "${ROUTE:-job}"}, {"base_url": "${URL:-http://x}"}]
)
def test_a_variable_may_stand_for_a_value(endpoint: dict[str, Any]) -> None:
    config = values_of("replicas-redis")["config"]
    config["endpoints"][0] |= endpoint
    rendered = render(values_of("replicas-redis") | {"config": config})
    assert rendered.config["endpoints"][0].items() >= endpoint.items()


def test_a_chart_around_it_may_share_what_it_likes() -> None:
    assert render(values_of("minimal") | {"global": {"imageRegistry": "x"}}).text == render(values_of("minimal")).text
