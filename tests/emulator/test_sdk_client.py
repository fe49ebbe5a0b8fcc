"""Runpod's own client SDK, unmodified and in a process of its own, against the job API."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from gateway.emulator.app import build_emulator
from gateway.emulator.settings import EmulatorSettings
from tests.emulator.support import content, read_events
from tests.serving import serving

pytestmark = pytest.mark.server

SCRIPT = pathlib.Path(__file__).with_name("sdk_client.py")


@pytest.fixture(scope="module")
def seen(tmp_path_factory) -> dict:
    home = tmp_path_factory.mktemp("home")
    with serving(build_emulator(EmulatorSettings(api_key="rp_test", worker_concurrency=1))) as base:
        process = subprocess.run(
            [sys.executable, str(SCRIPT), f"{base}/v2"],
            env=os.environ | {"HOME": str(home)},
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


def test_health(seen):
    assert set(seen["health"]) == {"jobs", "workers"}


def test_run_sync(seen):
    assert seen["run_sync"][0]["choices"][0]["message"]["content"] == "You said: hello"


def test_stream_and_status(seen):
    assert content(read_events("".join(seen["stream"]))) == "1 2 3"
    assert (seen["status"], seen["output"]) == ("COMPLETED", seen["stream"])


def test_cancel(seen):
    assert (seen["queued"], seen["cancel"]["status"], seen["cancelled"]) == ("IN_QUEUE", "CANCELLED", "CANCELLED")
    assert seen["cancel_running"]["status"] == "CANCELLED"


def test_purge(seen):
    assert seen["purge"] == {"removed": 2, "status": "completed"}


def test_a_wrong_key(seen):
    assert "401" in seen["unauthorized"]
