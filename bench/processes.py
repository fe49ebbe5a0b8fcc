"""The emulator and the gateway as real processes, started for a measurement and ended by their id."""

import contextlib
import os
import pathlib
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from typing import Any

import yaml

START_S_MAX = 30.0
STOP_S_MAX = 20.0
POLL_S = 0.05
RUNPOD_KEY = "rpa_bench"


class Running:
    """One process that answers."""

    def __init__(self, url: str, pid: int, log: pathlib.Path) -> None:
        self.url = url
        self.pid = pid
        self.log = log
        """All that it wrote, to stdout and stderr."""


@contextlib.contextmanager
def emulator(directory: pathlib.Path, *options: str, name: str = "emulator") -> Iterator[Running]:
    """`fairpod emulator` without limits of its own beyond the published ones."""
    command = ["emulator", "--api-key", RUNPOD_KEY, *options]
    with _running(command, directory / f"{name}.log", "/emulator/limits") as running:
        yield running


@contextlib.contextmanager
def gateway(directory: pathlib.Path, config: dict[str, Any]) -> Iterator[Running]:
    """`fairpod serve` with this configuration."""
    file = directory / "fairpod.yaml"
    file.write_text(yaml.safe_dump(config))
    with _running(["serve", "--config", str(file)], directory / "gateway.log", "/readyz") as running:
        yield running


@contextlib.contextmanager
def _running(command: Sequence[str], log: pathlib.Path, ready_path: str) -> Iterator[Running]:
    port = _free_port()
    where = ["--host", "127.0.0.1", "--port", str(port)]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("RUNPOD_", "FAIRPOD_"))}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway", *command, *where], stdout=out, stderr=subprocess.STDOUT, env=clean
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_until_ready(process, url + ready_path, log)
        yield Running(url, process.pid, log)
    finally:
        process.terminate()
        try:
            process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_S_MAX)


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: pathlib.Path) -> None:
    """Return when the process answers.

    Raises:
        RuntimeError: It ended, or took too long; the text is its log.
    """
    end_s = time.monotonic() + START_S_MAX
    while time.monotonic() < end_s and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=POLL_S * 20):  # noqa: S310 - our own.
            return
        time.sleep(POLL_S)
    raise RuntimeError(log.read_text())


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
