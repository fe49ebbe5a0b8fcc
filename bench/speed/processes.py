"""Processes of the benchmark: each on its core, ended by its id."""

import contextlib
import os
import pathlib
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence

from bench.speed import kernel

ROOT = pathlib.Path(__file__).parent.parent.parent
CACHE = ROOT / ".bench"
"""Everything that is fetched, configured and logged; git ignores it."""
START_S_MAX = 60.0
STOP_S_MAX = 10.0
POLL_S = 0.005
_COMPILED = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""What is installed is compiled once, and so are these modules: its start is not what a first start would take."""


def cores() -> tuple[int, int]:
    """The core of the gateway under test, and that of all others.

    Raises:
        SystemExit: There is only one.
    """
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        raise SystemExit("The benchmark needs two cores: one for the gateway, one for the load.")
    return allowed[-1], allowed[0]


def allow_many_files() -> None:
    """Let this process and its children open as many files as the machine lets them."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Server:
    """A server process that listens on `port`."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], port: int) -> None:
        self.name = name
        self.port = port
        self.process = process

    @property
    def pids(self) -> list[int]:
        """The process and its children."""
        return kernel.tree(self.process.pid)


@contextlib.contextmanager
def server(
    name: str,
    command: Sequence[str | pathlib.Path],
    *,
    port: int,
    core: int,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """Start it, wait until it takes connections, and end it with its children. Its output goes to a file in the cache.

    Raises:
        RuntimeError: It did not come up; the message ends with the last lines of its output.
    """
    CACHE.mkdir(exist_ok=True)
    log = CACHE / f"{name}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*on_core(core), *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env={**_COMPILED, **(environment or {})},
            process_group=0,
        )
    try:
        _wait_for(process, port, log)
        yield Server(name, process, port)
    finally:
        _end(process)


def _wait_for(process: subprocess.Popen[bytes], port: int, log: pathlib.Path) -> None:
    end_s = time.monotonic() + START_S_MAX
    while time.monotonic() < end_s and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(POLL_S)
    told = log.read_text(errors="replace").splitlines()[-3:]
    raise RuntimeError(f"did not start within {START_S_MAX:g} s: {' / '.join(told)}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the group of processes that this one leads."""
    for told in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, told)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_S_MAX)
            return


def on_core(core: int) -> list[str]:
    """The beginning of a command that keeps it on one core."""
    return ["taskset", "--cpu-list", str(core)]


def own_python(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of ours."""
    return [sys.executable, "-m", module, *arguments]
