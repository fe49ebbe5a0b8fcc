"""The README's way from `helm install` to a first scrape, gone as far as it goes without a cluster."""

import json
import pathlib
import re
import subprocess
from typing import Any

import httpx
import pytest
import yaml

from gateway.config.schema import METRICS_PORT
from tests.grafana.scraping import scraping
from tests.grafana.tools import path_of
from tests.helm.chart import CHART, Rendered, chart, merge, values_of
from tests.helm.test_rendered_config import environment_of
from tests.processes import free_port, serving_process
from tests.waiting import eventually

SECTION = (CHART / "README.md").read_text().split("## Its first scrape\n")[1].split("\n## ")[0]
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", SECTION, re.DOTALL)
VALUES, SCRAPE_CONFIG = (yaml.safe_load(text) for language, text in BLOCKS if language == "yaml")
(COMMANDS,) = (text for language, text in BLOCKS if language == "sh")


def monitored() -> Rendered:
    """The release that the section makes, under the name that it is installed by."""
    files = chart().render(merge(values_of("minimal"), VALUES), name="fairpod", namespace="serving")
    return Rendered(files)


def selected(rendered: Rendered) -> tuple[dict[str, Any], dict[str, Any]]:
    """The Service that the monitor selects, and the port of it."""
    monitor = rendered.one("ServiceMonitor")["spec"]
    wanted = monitor["selector"]["matchLabels"].items()
    (service,) = (each for each in rendered.all("Service") if wanted <= each["metadata"]["labels"].items())
    (endpoint,) = monitor["endpoints"]
    (port,) = (each for each in service["spec"]["ports"] if each["name"] == endpoint["port"])
    assert endpoint["path"] == "/metrics"
    return service, port


def test_the_monitor_finds_the_pods_and_may_come_in() -> None:
    rendered = monitored()
    service, port = selected(rendered)
    labels = rendered.one("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    (container_port,) = (each for each in rendered.container["ports"] if each["name"] == port["targetPort"])
    assert container_port["containerPort"] == METRICS_PORT
    assert "metrics_port" not in rendered.config
    (scrapers,) = (
        rule
        for rule in rendered.one("NetworkPolicy")["spec"]["ingress"]
        if rule["ports"] == [{"protocol": "TCP", "port": container_port["containerPort"]}]
    )
    assert scrapers["from"] == VALUES["networkPolicy"]["scrapers"]
    for kind in ("ServiceMonitor", "PrometheusRule"):
        assert rendered.one(kind)["metadata"]["labels"]["release"] == "kube-prometheus-stack"


def test_its_commands_name_what_there_is() -> None:
    service, port = selected(monitored())
    assert f"port-forward service/{service['metadata']['name']} {port['port']}:{port['port']} &" in COMMANDS
    assert f"http://127.0.0.1:{port['port']}/metrics" in COMMANDS


@pytest.mark.server
def test_a_prometheus_scrapes_what_was_installed(tmp_path: pathlib.Path) -> None:
    rendered = monitored()
    config = {**rendered.config, "metrics_port": free_port()}
    (query,) = re.findall(r"returns `(.*?)` with one series per pod", SECTION)
    asked = re.findall(r"grep (\S+)", COMMANDS)
    assert asked == [query]
    with serving_process(tmp_path, config, environment=environment_of(rendered)) as (_, url):
        target = f"http://127.0.0.1:{config['metrics_port']}"
        assert query in httpx.get(f"{target}/metrics").text
        assert httpx.get(f"{url}/metrics").status_code == 404
        with scraping(target, tmp_path) as prometheus:
            (series,) = prometheus.ask("query", query=query)["result"]
            assert series["value"][1] == "1"
            rules = prometheus.ask("rules")["groups"]
            assert all(rule["annotations"]["runbook_url"] for group in rules for rule in group["rules"])


@pytest.mark.server
def test_a_prometheus_without_the_operator_finds_the_pods(tmp_path: pathlib.Path) -> None:
    """What it would discover, told to it: Debian's knows no Kubernetes."""
    rendered = monitored()
    labels = rendered.one("Deployment")["spec"]["template"]["metadata"]["labels"]
    found = {
        "__meta_kubernetes_namespace": "serving",
        "__meta_kubernetes_pod_name": "fairpod-1",
        "__meta_kubernetes_pod_label_app_kubernetes_io_name": labels["app.kubernetes.io/name"],
    }
    ports = {port["name"]: port["containerPort"] for port in rendered.container["ports"]}
    targets = [
        {"targets": [f"10.0.0.1:{number}"], "labels": {**found, "__meta_kubernetes_pod_container_port_name": name}}
        for name, number in ports.items()
    ]
    stranger = {**found, "__meta_kubernetes_pod_label_app_kubernetes_io_name": "other"}
    targets.append({"targets": ["10.0.0.2:9100"], "labels": stranger})
    (job,) = SCRAPE_CONFIG["scrape_configs"]
    assert job.pop("kubernetes_sd_configs") == [{"role": "pod"}]
    file = tmp_path / "prometheus.yml"
    file.write_text(yaml.safe_dump({"scrape_configs": [{**job, "static_configs": targets}]}))
    # It looks for so long, whatever it finds, and on a busy machine may find nothing in it.
    command = [path_of("promtool"), "check", "service-discovery", "--timeout=1s", file, job["job_name"]]
    seen = eventually(lambda: json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    kept = [each["labels"] for each in seen if each["labels"]]
    assert [(each["__address__"], each["namespace"], each["pod"]) for each in kept] == [
        (f"10.0.0.1:{ports['metrics']}", "serving", "fairpod-1")
    ]
