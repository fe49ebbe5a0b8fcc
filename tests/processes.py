"""Real `fairpod` processes, started for a test and ended by their id."""

import contextlib
import itertools
import os
import pathlib
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import yaml

from tests.suite_secrets import SUITE
from tests.waiting import BOUND_S, eventually

STOP_S_MAX = BOUND_S


PORTS = range(20_000, 32_000)
"""Below those that Linux and macOS give to outgoing connections and to whoever listens on any port.

Between the choice of one of those and the start of its server, which takes seconds, another connection may get it.
"""
_CHOICES = itertools.islice(itertools.cycle(PORTS), os.getpid() * 997 % len(PORTS), None)
"""Each process of a run begins at a place of its own, far from that of its neighbour."""


def free_port() -> int:
    """A port that nobody listens on, and that this process was not given before."""
    for port in itertools.islice(_CHOICES, len(PORTS)):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise OSError("every port is taken")


def fairpod(*arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; what it says holds no secret of the tests."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("RUNPOD_", "FAIRPOD_"))}
    done = subprocess.run(
        [sys.executable, "-m", "gateway", *arguments],
        capture_output=True,
        text=True,
        timeout=BOUND_S,
        env=clean | dict(environment or {}),
        check=False,
    )
    SUITE.check(f"fairpod {arguments[0]}", done.stdout + done.stderr)
    return done


class Served:
    """`fairpod serve` as a process that a test may kill and start again. Its log goes to a file in the directory."""

    def __init__(self, directory: pathlib.Path, config: dict[str, Any] | None, *options: str) -> None:
        self.port = free_port()
        self.log = directory / "out.log"
        self.process: subprocess.Popen[str]
        self._command = [sys.executable, "-m", "gateway", "serve", "--host", "127.0.0.1", "--port", str(self.port)]
        if config is not None:
            file = directory / "fairpod.yaml"
            file.write_text(yaml.safe_dump(config))
            self._command += ["--config", str(file)]
        self._command += options

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, environment: Mapping[str, str] | None = None) -> None:
        """Start it, and wait until it is ready."""
        with self.log.open("a") as out:
            self.process = subprocess.Popen(
                self._command,
                stdout=out,
                stderr=subprocess.STDOUT,
                text=True,
                env={**os.environ, **(environment or {})},
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        """End it without a word, and search its log.

        Raises:
            LeakError: The log holds what must not get out.
        """
        self.process.kill()
        self.process.wait(STOP_S_MAX)
        SUITE.check(self.log.name, self.log.read_text())

    def _wait_until_ready(self) -> None:
        def is_ready() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            with contextlib.suppress(httpx.TransportError):
                return httpx.get(f"{self.url}/readyz", timeout=BOUND_S).status_code == 200
            return False

        eventually(is_ready, or_show=self.log.read_text)


@contextlib.contextmanager
def served(
    directory: pathlib.Path,
    config: dict[str, Any] | None,
    *options: str,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Served]:
    """`fairpod serve`, ready."""
    made = Served(directory, config, *options)
    made.start(environment)
    try:
        yield made
    finally:
        made.kill()


@contextlib.contextmanager
def serving_process(
    directory: pathlib.Path, config: dict[str, Any] | None, *, environment: Mapping[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`fairpod serve`, ready; yields the process and its URL."""
    with served(directory, config, environment=environment) as made:
        yield made.process, made.url
