"""The command line, whatever the command."""

import contextlib
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml

from tests.processes import STOP_S_MAX, free_port
from tests.stacks import config_of
from tests.waiting import BOUND_S, eventually

pytestmark = pytest.mark.server


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_gateway_serves_without_its_standard_streams(closed: str, tmp_path: Path) -> None:
    file, port = tmp_path / "fairpod.yaml", free_port()
    file.write_text(yaml.safe_dump(config_of("http://127.0.0.1:1", drain_s=0)))
    command = [sys.executable, "-m", "gateway", "serve", "--config", str(file), "--host", "127.0.0.1"]
    shell = ["sh", "-c", f'exec "$@" {closed}', "sh", *command, "--port", str(port)]
    with (tmp_path / "out.log").open("w") as out:
        process = subprocess.Popen(shell, stdout=out, stderr=out)

    def lives() -> bool:
        assert process.poll() is None, (tmp_path / "out.log").read_text()
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"http://127.0.0.1:{port}/livez", timeout=BOUND_S).status_code == 200
        return False

    try:
        eventually(lives)
        streams = [Path(f"/proc/{process.pid}/fd/{number}").readlink() for number in range(3)]
        assert not [each for each in streams if str(each).startswith("socket:")]
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_S_MAX) == 0
    finally:
        process.kill()
        process.wait(STOP_S_MAX)
