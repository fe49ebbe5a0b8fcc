"""What the parts are told."""

import hashlib
import json
import socket

import pytest

from gateway.demo.plan import HOST, Plan, PortTakenError


@pytest.mark.server
def test_each_demo_has_its_own_ports_and_keys():
    one, two = (Plan.make(port=0, worker="scripted") for _ in range(2))
    assert len({one.port, one.emulator_port, two.port, two.emulator_port}) == 4
    assert len({one.key, one.emulator_key, two.key, two.emulator_key}) == 4


@pytest.mark.server
def test_a_taken_port_is_refused():
    with socket.create_server((HOST, 0)) as taken, pytest.raises(PortTakenError, match="in use"):
        Plan.make(port=taken.getsockname()[1], worker="scripted")


def test_a_port_that_does_not_exist_is_refused():
    with pytest.raises(PortTakenError, match="0-65535"):
        Plan.make(port=70_000, worker="scripted")


@pytest.mark.server
def test_the_configuration_holds_the_digest_and_not_the_key():
    plan = Plan.make(port=0, worker="model")
    configuration = plan.configuration()
    assert plan.key.encode() not in configuration
    digest = hashlib.sha256(plan.key.encode()).hexdigest()
    assert json.loads(configuration)["tenants"][0]["keys"] == [f"sha256:{digest}"]


@pytest.mark.server
def test_nothing_of_the_users_account_reaches_the_parts(tmp_path):
    inherited = {"RUNPOD_API_KEY": "real", "FAIRPOD_CONFIG": "mine.yaml", "PATH": "/bin", "HOME": "/home/me"}
    plan = Plan.make(port=0, worker="model")
    environment = plan.worker_environment(tmp_path, inherited=inherited)
    assert not {"RUNPOD_API_KEY", "FAIRPOD_CONFIG"} & set(environment)
    assert (environment["PATH"], environment["HOME"]) == ("/bin", str(tmp_path))
    assert environment["RUNPOD_WEBHOOK_GET_JOB"].startswith(f"http://{HOST}:{plan.emulator_port}/v2/demo/job-take/$ID?")
