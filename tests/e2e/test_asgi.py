"""The factory for other servers, run by uvicorn's own command."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml

from gateway.emulator.app import build_emulator
from gateway.emulator.settings import EmulatorSettings
from tests.processes import STOP_S_MAX, free_port
from tests.serving import serving
from tests.stacks import KEY, RUNPOD_KEY, config_of
from tests.waiting import eventually

pytestmark = pytest.mark.server
COMMAND = [sys.executable, "-m", "uvicorn", "--factory", "gateway.asgi:create_app", "--log-level", "warning"]


def test_uvicorns_command_serves_a_file(tmp_path: Path) -> None:
    with serving(build_emulator(EmulatorSettings(api_key=RUNPOD_KEY, wait_s_min=0.0))) as emulator_url:
        file = tmp_path / "fairpod.yaml"
        file.write_text(yaml.safe_dump(config_of(emulator_url)))
        url = f"http://127.0.0.1:{(port := free_port())}"
        environment = {**os.environ, "FAIRPOD_CONFIG": str(file)}
        process = subprocess.Popen([*COMMAND, "--port", str(port)], env=environment)
        try:
            eventually(lambda: is_ready(url))
            body = {"model": "m", "messages": [{"role": "user", "content": "count to 3"}]}
            answer = httpx.post(f"{url}/v1/chat/completions", json=body, headers={"authorization": f"Bearer {KEY}"})
            assert answer.json()["choices"][0]["message"]["content"] == "1 2 3"
        finally:
            process.terminate()
            process.wait(STOP_S_MAX)
        assert process.returncode in {0, -15}


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").status_code == 200
    except httpx.TransportError:
        return False


def test_without_a_file_a_key_is_asked_for() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FAIRPOD_")}
    environment |= {"RUNPOD_API_KEY": RUNPOD_KEY, "RUNPOD_ENDPOINT_ID": "ep1"}
    done = subprocess.run(
        [*COMMAND, "--port", "0"], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode != 0
    assert "FAIRPOD_API_KEY: is required" in done.stderr
