"""The processes beside the gateway, all on the core that the gateway does not have."""

import contextlib
import json
import subprocess
from collections.abc import Iterator

import msgspec

from bench.speed.load_spec import LoadResult, LoadSpec
from bench.speed.processes import ROOT, Server, free_port, on_core, own_python, server

LOAD_S_MAX = 180.0


@contextlib.contextmanager
def upstream(core: int) -> Iterator[Server]:
    """The cheap upstream."""
    port = free_port()
    with server("upstream", own_python("bench.speed.upstream", str(port)), port=port, core=core) as made:
        yield made


@contextlib.contextmanager
def emulator(core: int, *flags: str) -> Iterator[Server]:
    """The repository's own emulator: one event to an output, no limits."""
    port = free_port()
    fast = ("--slices", "events", "--no-limits-enforced", "--worker-concurrency", "1000")
    command = own_python("gateway", "emulator", "--port", str(port), *fast, *flags)
    with server("emulator", command, port=port, core=core) as made:
        yield made


def run_load(spec: LoadSpec, *, core: int) -> LoadResult:
    """Run a load to its end.

    Raises:
        RuntimeError: It failed, or nothing was answered, or more than one request in a hundred was not.
    """
    done = subprocess.run(
        [*on_core(core), *own_python("bench.speed.load")],
        input=msgspec.json.encode(spec),
        capture_output=True,
        cwd=ROOT,
        timeout=LOAD_S_MAX,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"the load failed: {done.stderr.decode(errors='replace').strip().splitlines()[-1:]}")
    result = msgspec.json.decode(done.stdout, type=LoadResult)
    if not (result.requests or result.chunks) and spec.clients:
        raise RuntimeError("nothing was answered")
    if result.failures > result.requests / 100:
        raise RuntimeError(f"{result.failures} requests failed, {result.requests} did not")
    return result


class Probe:
    """The slowest answers of a path while the body of the `with` runs; known when it has ended."""

    def __init__(self) -> None:
        self.slowest_ms: list[float] = []


@contextlib.contextmanager
def probing(port: int, path: str, *, core: int) -> Iterator[Probe]:
    """Ask for this path again and again."""
    probe = Probe()
    with subprocess.Popen(
        [*on_core(core), *own_python("bench.speed.prober", str(port), path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    ) as process:
        try:
            yield probe
            told, _ = process.communicate(b"\n", timeout=LOAD_S_MAX)
            probe.slowest_ms = json.loads(told)
        finally:
            process.kill()
