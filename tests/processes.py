"""Real `fairpod` processes, started for a test and ended by their id."""

import contextlib
import os
import pathlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import yaml

START_S_MAX = 20.0
STOP_S_MAX = 20.0


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def fairpod(*arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("RUNPOD_", "FAIRPOD_"))}
    return subprocess.run(
        [sys.executable, "-m", "gateway", *arguments],
        capture_output=True,
        text=True,
        timeout=START_S_MAX,
        env=clean | dict(environment or {}),
        check=False,
    )


@contextlib.contextmanager
def serving_process(
    directory: pathlib.Path, config: dict[str, Any] | None, *, environment: Mapping[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`fairpod serve`, ready; yields the process and its URL. It writes its log to a file in the directory."""
    port = free_port()
    command = [sys.executable, "-m", "gateway", "serve", "--host", "127.0.0.1", "--port", str(port)]
    if config is not None:
        file = directory / "fairpod.yaml"
        file.write_text(yaml.safe_dump(config))
        command += ["--config", str(file)]
    with (directory / "out.log").open("w") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, text=True, env={**os.environ, **(environment or {})}
        )
    try:
        _wait_until_ready(process, f"http://127.0.0.1:{port}", directory)
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait(STOP_S_MAX)


def _wait_until_ready(process: subprocess.Popen[str], url: str, directory: pathlib.Path) -> None:
    end = time.monotonic() + START_S_MAX
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/readyz").status_code == 200:
                return
        time.sleep(0.02)
    raise AssertionError((directory / "out.log").read_text())
