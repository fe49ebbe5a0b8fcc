"""The compose file, as far as it can be held without a container engine: what it names exists, and fits together."""

import argparse
import importlib
import pathlib
import re
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import yaml

from gateway.app import Gateway
from gateway.cli import COMMANDS
from gateway.config.keys import key_line
from gateway.config.loader import all_keys, load_config, parse_config
from gateway.emulator.app import build_emulator
from gateway.emulator.command import read_settings
from tests.grafana.expressions import GRAFANA, ROOT, dashboards
from tests.grafana.tools import promtool
from tests.serving import serving, serving_gateway

FILE = GRAFANA / "compose.yaml"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(FILE.read_text())["services"]
CONFIG = GRAFANA / "fairpod.yaml"


def mounts(service: str) -> dict[str, pathlib.Path]:
    """What lies here, by where it is seen inside the container."""
    found = {}
    for volume in SERVICES[service].get("volumes", ()):
        here, there, mode = volume.split(":")
        assert mode == "ro"
        found[there] = (GRAFANA / here).resolve()
    return found


def arguments_of(service: str) -> argparse.Namespace:
    """A service's command as `fairpod` reads it."""
    name, *rest = SERVICES[service]["command"]
    parser = argparse.ArgumentParser()
    importlib.import_module(COMMANDS[name][0]).add_arguments(parser)
    return parser.parse_args(rest)


def listed(path: str) -> Any:
    return yaml.safe_load((GRAFANA / path).read_text())


def test_the_four_are_there() -> None:
    assert set(SERVICES) == {"gateway", "emulator", "prometheus", "grafana"}
    for name in ("gateway", "emulator"):
        assert (GRAFANA / SERVICES[name]["build"] / "Dockerfile").resolve() == ROOT / "Dockerfile"
        assert SERVICES[name]["image"] == "fairpod"
    for name in ("prometheus", "grafana"):
        assert re.fullmatch(r"[a-z]+/[a-z]+:v?\d+\.\d+\.\d+", SERVICES[name]["image"])


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_mounted_exists_and_what_is_needed_comes_first(name: str) -> None:
    assert all(path.exists() for path in mounts(name).values())
    for needed, how in SERVICES[name].get("depends_on", {}).items():
        assert how["condition"] == "service_started" or "healthcheck" in SERVICES[needed]


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_open_to_this_machine_alone(name: str) -> None:
    for port in SERVICES[name].get("ports", ()):
        assert re.fullmatch(r"127\.0\.0\.1:(\d+):\1", port)


def test_the_commands_are_fairpods_own() -> None:
    serve, emulator = arguments_of("gateway"), arguments_of("emulator")
    assert mounts("gateway")[str(serve.config)] == CONFIG
    endpoint = load_config(CONFIG, {}).endpoints[0]
    address = urlsplit(endpoint.base_url)
    assert (address.hostname, address.port) == ("emulator", emulator.port)
    assert read_settings(emulator).api_key == endpoint.api_key
    assert emulator.host == "0.0.0.0"


@pytest.mark.server
def test_prometheus_scrapes_the_gateway_and_reads_the_rules() -> None:
    done = promtool("check", "config", GRAFANA / "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    config = listed("prometheus.yml")
    (scrape,) = config["scrape_configs"]
    assert scrape["static_configs"] == [{"targets": [f"gateway:{load_config(CONFIG, {}).metrics_port}"]}]
    seen = {pathlib.PurePosixPath(path) for path in mounts("prometheus")}
    assert {pathlib.PurePosixPath("/etc/prometheus") / file for file in config["rule_files"]} < seen


def test_grafana_finds_its_data_source_and_its_dashboards() -> None:
    (source,) = listed("provisioning/datasources/prometheus.yaml")["datasources"]
    assert source["type"] == "prometheus"
    assert urlsplit(source["url"]).hostname in SERVICES
    assert mounts("grafana")["/etc/grafana/provisioning"] == GRAFANA / "provisioning"
    (provider,) = listed("provisioning/dashboards/fairpod.yaml")["providers"]
    assert mounts("grafana")[provider["options"]["path"]] == GRAFANA / "dashboards"
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert pathlib.PurePosixPath(home).stem in dashboards()
    assert "PASSWORD" not in str(SERVICES["grafana"]["environment"])


@pytest.mark.server
def test_the_demo_keys_open_the_gateway() -> None:
    keys = dict(re.findall(r"^#   (\w+) +(fp-\S+)$", CONFIG.read_text(), re.MULTILINE))
    raw = yaml.safe_load(CONFIG.read_text())
    emulator = build_emulator(read_settings(arguments_of("emulator")))
    with serving(emulator) as url:
        config = parse_config(raw, {"RUNPOD_BASE_URL": f"{url}/v2"})
        assert {name: f"sha256:{digest}" for name, digest in all_keys(config)} == {
            name: key_line(key) for name, key in keys.items()
        }
        with serving_gateway(Gateway(config).app) as gateway_url:
            for key in keys.values():
                assert key in FILE.read_text()
                answer = httpx.post(
                    f"{gateway_url}/v1/chat/completions",
                    json={"model": config.models[0].id, "messages": [{"role": "user", "content": "count to 2"}]},
                    headers={"authorization": f"Bearer {key}"},
                )
                assert answer.json()["choices"][0]["message"]["content"] == "1 2"


@pytest.mark.server
def test_the_checks_of_health_ask_pages_that_exist() -> None:
    url = re.compile(r"http://127\.0\.0\.1:\d+(/\w+(?:/\w+)*)")
    pages = {name: url.findall(str(SERVICES[name]["healthcheck"])) for name in ("gateway", "emulator")}
    emulator = build_emulator(read_settings(arguments_of("emulator")))
    with serving(emulator) as emulator_url, serving_gateway(Gateway(load_config(CONFIG, {})).app) as gateway_url:
        for base, (page,) in ((emulator_url, pages["emulator"]), (gateway_url, pages["gateway"])):
            assert httpx.get(base + page).status_code == 200
