"""Docker's health check, as the Dockerfile has it, before gateways that listen in every way."""

import json
import os
import pathlib
import re
import socket
import subprocess
import sys
from typing import Any

import pytest
import yaml

from gateway.commands.healthcheck import address, serve_options
from tests.processes import fairpod, free_port, served
from tests.stacks import config_of
from tests.waiting import BOUND_S

ROOT = pathlib.Path(__file__).parent.parent.parent


def dockers_command() -> list[str]:
    """The command of HEALTHCHECK, its program taken from this environment."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    found = re.search(r"^HEALTHCHECK .*CMD (\[.*\])$", text, re.MULTILINE)
    assert found is not None
    program, *rest = json.loads(found[1])
    return [str(pathlib.Path(sys.executable).parent / program), *rest]


def check(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("RUNPOD_", "FAIRPOD_"))}
    return subprocess.run(
        [*dockers_command(), *options],
        env=clean | environment,
        capture_output=True,
        text=True,
        timeout=BOUND_S,
        check=False,
    )


def write(directory: pathlib.Path, port: int, **more: Any) -> str:
    file = directory / "listen.yaml"
    config = config_of("http://127.0.0.1:1", listen={"host": "127.0.0.1", "port": port}, **more)
    file.write_text(yaml.safe_dump(config))
    return str(file)


@pytest.mark.server
def test_the_file_that_the_environment_names_says_the_port(tmp_path: pathlib.Path) -> None:
    with served(tmp_path, config_of("http://127.0.0.1:1")) as gateway:
        file = write(tmp_path, gateway.port)
        done = check(FAIRPOD_CONFIG=file)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        # Docker passes a proxy on to containers; the gateway is not behind it.
        assert check(FAIRPOD_CONFIG=file, http_proxy="http://127.0.0.1:1").returncode == 0
    done = check(FAIRPOD_CONFIG=file)
    assert done.returncode == 1
    assert str(gateway.port) in done.stderr


@pytest.mark.server
def test_the_first_process_of_a_container_says_how_it_was_started(tmp_path: pathlib.Path) -> None:
    """Its `--port` counts before the file's, and nothing has to be said a second time."""
    with served(tmp_path, config_of("http://127.0.0.1:1")) as gateway:
        assert check("--process", str(gateway.process.pid)).returncode == 0
        other = write(tmp_path, free_port())
        assert check("--process", str(gateway.process.pid), FAIRPOD_CONFIG=other).returncode == 0
        # What Kubernetes sets beside a Service called fairpod.
        assert check("--process", str(gateway.process.pid), FAIRPOD_PORT="tcp://10.0.0.1:80").returncode == 0


@pytest.mark.server
def test_an_option_counts_before_all(tmp_path: pathlib.Path) -> None:
    with served(tmp_path, config_of("http://127.0.0.1:1")) as gateway:
        other = write(tmp_path, free_port())
        assert check("--port", str(gateway.port), FAIRPOD_CONFIG=other).returncode == 0
        assert check(FAIRPOD_CONFIG=other).returncode == 1


@pytest.mark.server
def test_a_file_that_is_wrong_does_not_make_its_gateway_ill(tmp_path: pathlib.Path) -> None:
    with served(tmp_path, config_of("http://127.0.0.1:1")) as gateway:
        file = write(tmp_path, gateway.port, models=[], tenants="nonsense")
        assert fairpod("check-config", "--config", file).returncode == 2
        assert check(FAIRPOD_CONFIG=file).returncode == 0


@pytest.mark.server
def test_another_server_is_no_gateway() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = check("--port", str(listener.getsockname()[1]))
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("command_line", "options"),
    [
        (["/opt/fairpod/bin/python", "/opt/fairpod/bin/fairpod", "serve"], (None, None, None)),
        (["python", "fairpod", "serve", "--port", "90", "--config", "f"], ("f", None, 90)),
        (["/sbin/docker-init", "--", "fairpod", "serve", "--port=90", "--workers", "2"], (None, None, 90)),
        (["python", "-m", "gateway", "serve", "--host", "::1"], (None, "::1", None)),
        (["fairpod", "serve", "--port", "many"], (None, None, None)),
        (["fairpod", "demo", "--port", "90"], (None, None, None)),
        (["nginx", "serve", "--port", "90"], (None, None, None)),
        (["/sbin/init"], (None, None, None)),
        ([], (None, None, None)),
    ],
)
def test_a_command_line_is_read(command_line: list[str], options: tuple[Any, ...]) -> None:
    found = serve_options(command_line)
    config = None if found.config is None else str(found.config)
    assert (config, found.host, found.port) == options


@pytest.mark.parametrize(
    ("host", "asked"),
    [(None, "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("::1", "::1"), ("10.1.2.3", "10.1.2.3")],
)
def test_an_address_that_takes_all_is_asked_on_this_machine(host: str | None, asked: str) -> None:
    found = address(config=None, host=host, port=None)
    assert (found.host, found.port) == (asked, 8080)
