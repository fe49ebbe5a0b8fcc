"""Without the section, and without the extra."""

import pathlib
import subprocess
import sys
from typing import Any

import pytest
import yaml

from gateway.api.request_context import request_context_of
from gateway.events import Outcome
from tests.stacks import config_of
from tests.subject import answering, running

pytestmark = pytest.mark.server

SAMPLED = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TRACES = {"traces": {"endpoint": "http://collector:4318"}}
LOADED = """
import sys
from gateway.app import Gateway
from gateway.config.loader import parse_config
import yaml
Gateway(parse_config(yaml.safe_load(sys.stdin.read()), {}))
ours = ("gateway.observability.traces", "opentelemetry.sdk", "opentelemetry.exporter", "opentelemetry.trace")
print(sorted(name for name in sys.modules if name.startswith(ours)))
"""
WITHOUT_THE_EXTRA = """
import sys
sys.modules["opentelemetry.sdk"] = None
from gateway.cli import main
sys.exit(main(sys.argv[1:]))
"""


def python(program: str, *arguments: str, said: Any = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, input=said, capture_output=True, text=True, timeout=30, check=False)


def test_off_nothing_of_it_is_loaded() -> None:
    without, with_ = (
        python(LOADED, said=yaml.safe_dump(config_of("http://127.0.0.1:1", **sections))) for sections in ({}, TRACES)
    )
    assert without.stdout.strip() == "[]", without.stderr
    assert "opentelemetry.sdk.trace" in with_.stdout


async def test_off_nothing_is_noted_and_runpod_is_told_nothing() -> None:
    runpod = answering()
    async with running(runpod) as subject:
        call = subject.call(stream=True, headers={"traceparent": SAMPLED})
        await call.run(subject.gateway.app)
        record = request_context_of(call.scope).record  # type: ignore[arg-type]
    assert record is not None
    assert record.traceparent is None
    assert record.settle(Outcome.COMPLETED, status=200).trace is None
    assert all("traceparent" not in headers for headers in runpod.headers)


@pytest.mark.parametrize("command", ["check-config", "serve"])
def test_the_missing_extra_is_said_in_one_sentence(tmp_path: pathlib.Path, command: str) -> None:
    file = tmp_path / "fairpod.yaml"
    file.write_text(yaml.safe_dump(config_of("http://127.0.0.1:1", **TRACES)))
    done = python(WITHOUT_THE_EXTRA, command, "--config", str(file))
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == ("traces: requires the `otel` extra; run: pip install 'fairpod[otel]'\n")


def test_with_it_the_section_is_good(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "fairpod.yaml"
    file.write_text(yaml.safe_dump(config_of("http://127.0.0.1:1", **TRACES)))
    done = python(
        "import sys; from gateway.cli import main; sys.exit(main(sys.argv[1:]))", "check-config", "--config", str(file)
    )
    assert (done.returncode, done.stderr) == (0, "")
