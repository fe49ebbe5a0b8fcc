"""Who reaches whom, and how long an answer may take on its way."""

import ipaddress
from typing import Any

import pytest

from gateway.config.schema import METRICS_PORT, EndpointSection
from tests.helm.chart import Rendered, render, values_of, with_values
from tests.helm.test_manifests import CASES

STREAM_S_MIN = 600


@pytest.fixture(scope="module", params=CASES)
def rendered(request: pytest.FixtureRequest) -> Rendered:
    return render(values_of(request.param))


def test_what_no_rule_allows_is_denied(rendered: Rendered) -> None:
    spec = rendered.one("NetworkPolicy")["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    for direction, who in (("ingress", "from"), ("egress", "to")):
        for rule in spec[direction]:
            # A rule that names nobody, or no port, allows everybody, or everything.
            assert rule[who]
            assert rule["ports"]
            assert all(port["port"] for port in rule["ports"])


def egress(rendered: Rendered) -> list[tuple[list[dict[str, Any]], set[tuple[str, int]]]]:
    rules = rendered.one("NetworkPolicy")["spec"]["egress"]
    return [(rule["to"], {(port["protocol"], port["port"]) for port in rule["ports"]}) for rule in rules]


def test_a_gateway_reaches_names_and_runpod_and_nothing_private() -> None:
    (names, ports), (internet, web) = egress(render(values_of("minimal")))
    assert names[0]["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "kube-system"}
    assert ports == {("UDP", 53), ("TCP", 53)}
    assert web == {("TCP", 443)}
    (block,) = (each["ipBlock"] for each in internet)
    allowed = ipaddress.ip_network(block["cidr"])
    excepted = [ipaddress.ip_network(each) for each in block["except"]]
    # Kubernetes refuses an exception that is not within the range.
    assert all(each.subnet_of(allowed) for each in excepted)  # type: ignore[arg-type]
    for private in ("10.1.2.3", "172.31.0.1", "192.168.1.1", "169.254.169.254", "127.0.0.1", "100.100.100.200"):
        assert any(ipaddress.ip_address(private) in each for each in excepted), private
    assert not any(ipaddress.ip_address("104.18.1.1") in each for each in excepted)


def test_the_store_is_reached_where_there_is_one() -> None:
    rules = egress(render(values_of("replicas-redis")))
    assert len(rules) == 3
    peers, ports = rules[2]
    assert peers[0]["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "valkey"}
    assert ports == {("TCP", 6380)}


def test_clients_and_scrapers_come_to_their_ports() -> None:
    clients, scrapers = render(values_of("metrics-port")).one("NetworkPolicy")["spec"]["ingress"]
    assert clients["from"] == [{"podSelector": {}}, {"ipBlock": {"cidr": "0.0.0.0/0"}}]
    assert clients["ports"] == [{"protocol": "TCP", "port": 8080}]
    assert scrapers["ports"] == [{"protocol": "TCP", "port": 9090}]
    values = values_of("metrics-port") | {"service": {}}
    del values["config"]["metrics_port"]
    _, scrapers = render(values).one("NetworkPolicy")["spec"]["ingress"]
    assert scrapers["ports"] == [{"protocol": "TCP", "port": METRICS_PORT}]
    values["config"]["metrics_port"] = None
    rendered = render(values)
    _, scrapers = rendered.one("NetworkPolicy")["spec"]["ingress"]
    assert scrapers["ports"] == [{"protocol": "TCP", "port": 8080}]
    assert rendered.config["metrics_port"] is None
    (service,) = rendered.all("Service")
    assert service["metadata"]["labels"]["app.kubernetes.io/component"] == "http-and-metrics"
    assert rendered.one("ServiceMonitor")["spec"]["endpoints"][0]["port"] == "http"


def test_a_policy_that_names_nobody_lets_nobody_in() -> None:
    values = with_values("minimal", "networkPolicy.sameNamespace=false")
    values["networkPolicy"] |= {"dns": {"to": []}, "runpod": {"to": []}}
    spec = render(values).one("NetworkPolicy")["spec"]
    assert (spec["ingress"], spec["egress"]) == ([], [])
    values["networkPolicy"]["scrapers"] = [{"podSelector": {}}]
    (rule,) = render(values).one("NetworkPolicy")["spec"]["ingress"]
    assert rule["from"] == [{"podSelector": {}}]
    assert render(with_values("minimal", "networkPolicy.enabled=false")).all("NetworkPolicy") == []


def silence_s_max() -> float:
    """The longest that an answer without a stream may be silent by the gateway's own deadlines."""
    endpoint = EndpointSection(name="e", id="e")
    return endpoint.queue_timeout_s + endpoint.cold_start_timeout_s + endpoint.execution_timeout_s


def test_an_ingress_neither_cuts_nor_buffers() -> None:
    values = values_of("everything")
    del values["ingress"]["annotations"]
    ingress = render(values).one("Ingress")
    prefix = "nginx.ingress.kubernetes.io/"
    found = {name.removeprefix(prefix): value for name, value in ingress["metadata"]["annotations"].items()}
    assert found["proxy-buffering"] == "off"
    assert found["proxy-request-buffering"] == "off"
    # nginx' own limit of 1 MB would come before the gateway's, with a page in HTML.
    assert found["proxy-body-size"] == "0"
    for name in ("proxy-read-timeout", "proxy-send-timeout"):
        assert int(found[name]) >= STREAM_S_MIN
        assert int(found[name]) >= silence_s_max()


def test_annotations_add_to_the_defaults() -> None:
    annotations = render(values_of("everything")).one("Ingress")["metadata"]["annotations"]
    assert annotations["cert-manager.io/cluster-issuer"] == "main"
    assert annotations["nginx.ingress.kubernetes.io/proxy-read-timeout"] == "3600"
    assert annotations["nginx.ingress.kubernetes.io/proxy-buffering"] == "off"


def test_a_route_has_no_deadline_of_its_own() -> None:
    values = values_of("everything")
    del values["httpRoute"]["timeouts"]
    (rule,) = render(values).one("HTTPRoute")["spec"]["rules"]
    assert rule["timeouts"] == {"request": "0s", "backendRequest": "0s"}


def test_only_the_api_is_published() -> None:
    rendered = render(values_of("everything"))
    for rule in rendered.one("Ingress")["spec"]["rules"]:
        assert [(each["path"], each["pathType"]) for each in rule["http"]["paths"]] == [("/v1", "Prefix")]
    (rule,) = rendered.one("HTTPRoute")["spec"]["rules"]
    assert [each["path"] for each in rule["matches"]] == [{"type": "PathPrefix", "value": "/v1"}]


def test_metrics_are_not_published_with_the_clients_port() -> None:
    rendered = render(values_of("metrics-port"))
    services = {each["metadata"]["name"]: each["spec"] for each in rendered.all("Service")}
    assert services["prod-fairpod"]["type"] == "LoadBalancer"
    assert [port["name"] for port in services["prod-fairpod"]["ports"]] == ["http"]
    assert services["prod-fairpod-metrics"]["type"] == "ClusterIP"
    assert [port["port"] for port in services["prod-fairpod-metrics"]["ports"]] == [9090]
