"""The fairpod.yaml of a release is one that the gateway takes, and serves with."""

import pathlib
import shlex
import signal

import httpx
import pytest

from gateway.config.loader import ConfigError, load_config, parse_config
from tests.helm.chart import Rendered, render, values_of, with_values
from tests.helm.test_manifests import CASES
from tests.processes import fairpod, serving_process

WITH_CONFIG = [case for case in CASES if case != "existing-configmap"]
KEY_OF_MINIMAL = "one"
"""The key whose digest stands in values/minimal.yaml."""


def environment_of(rendered: Rendered) -> dict[str, str]:
    """What the container would find: every variable that it gets, and no other."""
    redis_url = "rediss://:password@valkey:6380/0"
    return {
        each["name"]: each.get("value") or (redis_url if each["name"] == "REDIS_URL" else "rpa_from_a_secret")
        for each in rendered.container["env"]
    }


@pytest.mark.parametrize("case", WITH_CONFIG)
def test_the_gateway_takes_it(case: str) -> None:
    rendered = render(values_of(case))
    config = parse_config(rendered.config, environment_of(rendered))
    ports = {each["name"]: each["containerPort"] for each in rendered.container["ports"]}
    assert ports.get("http") == config.listen.port
    assert ports.get("metrics") == config.metrics_port
    assert len(config.endpoints) == len(rendered.config["endpoints"])


def test_what_is_written_is_what_arrives() -> None:
    given = values_of("everything")["config"]
    rendered = render(values_of("everything")).config
    assert {name: rendered[name] for name in given} == given
    assert rendered.keys() - given.keys() == {"state"}
    config = parse_config(rendered, environment_of(render(values_of("everything"))))
    # Helm's numbers are floats; large ones must not come out as 2.097152e+07.
    assert (config.body_bytes_max, config.tenants[0].tokens_per_minute) == (20 * 1024 * 1024, 2_000_000)


def test_a_missing_variable_would_be_found() -> None:
    with pytest.raises(ConfigError, match="RUNPOD_API_KEY is not set"):
        parse_config(render(values_of("minimal")).config, {})


def arguments_in(rendered: Rendered, directory: pathlib.Path) -> list[str]:
    """The container's arguments, with its ConfigMap mounted in a directory of ours."""
    (mount,) = (each for each in rendered.container["volumeMounts"] if each["name"] == "config")
    (volume,) = (each for each in rendered.pod["volumes"] if each["name"] == "config")
    (found,) = rendered.all("ConfigMap")
    assert volume["configMap"]["name"] == found["metadata"]["name"]
    for item in volume["configMap"]["items"]:
        (directory / item["path"]).write_text(found["data"][item["key"]])
    return [each.replace(mount["mountPath"], str(directory)) for each in rendered.container["args"]]


@pytest.mark.server
def test_check_config_calls_the_mounted_file_good(tmp_path: pathlib.Path) -> None:
    rendered = render(values_of("minimal"))
    command, *rest = arguments_in(rendered, tmp_path)
    assert (command, rest) == ("serve", ["--config", str(tmp_path / "fairpod.yaml")])
    done = fairpod("check-config", *rest, environment=environment_of(rendered))
    assert (done.returncode, done.stderr) == (0, "")
    assert load_config(tmp_path / "fairpod.yaml", environment_of(rendered)).tenants[0].name == "default"


@pytest.mark.server
def test_the_last_line_of_the_notes_works(tmp_path: pathlib.Path) -> None:
    rendered = render(with_values("minimal", "service.port=8000"))
    assert "port-forward service/prod-fairpod 8080:8000 &" in rendered.notes
    (service,) = (each for each in rendered.all("Service") if each["metadata"]["name"] == "prod-fairpod")
    assert service["spec"]["ports"][0]["port"] == 8000
    words = shlex.split(rendered.notes.strip().splitlines()[-1])
    assert words[0] == "curl"
    (asked,) = (word for word in words if word.startswith("http://127.0.0.1:8080/"))
    name, value = words[words.index("--header") + 1].split(": ")
    # The pod has the default port for itself; this machine may not.
    config = {**rendered.config, "metrics_port": None}
    with serving_process(tmp_path, config, environment=environment_of(rendered)) as (process, url):
        container = rendered.container
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert httpx.get(url + container[probe]["httpGet"]["path"]).status_code == 200
        asked = asked.replace("http://127.0.0.1:8080", url)
        assert httpx.get(asked, headers={name: value}).status_code == 401
        answer = httpx.get(asked, headers={name: value.replace("YOUR_KEY", KEY_OF_MINIMAL)})
        assert answer.status_code == 200
        assert answer.json()["object"] == "list"
        process.send_signal(signal.SIGTERM)
        assert process.wait(rendered.pod["terminationGracePeriodSeconds"]) == 0


@pytest.mark.parametrize("case", CASES)
def test_the_notes_end_in_a_request(case: str) -> None:
    rendered = render(values_of(case))
    assert rendered.notes.strip().splitlines()[-1].strip().startswith("curl ")
    assert "<no value>" not in rendered.notes + rendered.text
