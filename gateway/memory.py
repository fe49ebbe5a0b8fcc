"""How much memory this process may use, and what of it each kind of data may take.

What a client, a worker or a tenant can make the process keep has a limit of its own, and all of them together fit into
what there is: a process that is killed for its memory ends every stream, and cancels no job.
"""

import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import msgspec

Read = Callable[[str], str | None]
"""The text of a file, or None where it cannot be read."""

BASE_BYTES = 80 * 1024 * 1024
"""What a process takes that serves nobody: 62 MB after its start (bench/results/speed.md), and metrics of tenants."""
WORK_BYTES = 64 * 1024 * 1024
"""What one step takes for itself and gives back at its end, such as a list of a million values (`wire.items`), or the
outline of a large body (`wire.json_bounds`). Steps do not overlap."""
CONNECTION_BYTES = 8 * 1024
"""What an idle connection of a client takes: 7.5 KB by tracemalloc (docs/performance.md)."""
MARGIN = 0.1
"""What stays free: memory that the allocator holds for later, and what is counted too low."""
CONNECTIONS_PART_MAX = 0.2
"""In little memory not all connections that are allowed can be provided for."""
STREAM_BYTES = 64 * 1024
"""What an answer under way may hold without being counted in its room: `upstream.job_api.UNCOUNTED_BYTES`."""
STREAMS_PART_MAX = 0.2
PARTS_BYTES_MIN = 32 * 1024 * 1024
"""What requests and answers have in any case; in less, nothing of some size could be served."""
MACHINE_PART = 0.5
"""Of the machine's memory, where nothing limits the process: others live there."""
REQUESTS_BYTES_MAX = 2 * 1024**3
BODIES_MIN = 4
"""So many of the largest bodies have room in any case, where there is memory for them."""
ANSWERS_BYTES_MAX = 1024**3
KEPT_BYTES_MAX = 128 * 1024 * 1024
UNLIMITED_BYTES = 2**60
"""What cgroup v1 says for "no limit" is about 2**63, rounded down to a page."""


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """What this process may use."""

    size: int
    source: str
    """Who says so: `memory_bytes_max`, `cgroup`, `rlimit` or `machine`."""


class MemoryPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What each kind of data may take, in bytes."""

    memory: Memory
    requests: int
    """The bodies of requests, from their first byte until their answers end, and what a request takes by itself."""
    answers: int
    """What is read of Runpod and was not passed on yet: pages, events, and answers in one piece."""
    kept: int
    """Answers that are kept for an `Idempotency-Key`."""


def plan_of(memory: Memory, *, connections_max: int, body_bytes_max: int, seats: int = 0) -> MemoryPlan:
    """Divide what there is. Half is for requests, as nothing is answered that could not be read.

    `seats` is how many requests all endpoints serve at once.
    """
    connections = min(connections_max * CONNECTION_BYTES, int(memory.size * CONNECTIONS_PART_MAX))
    streams = min(seats * STREAM_BYTES, int(memory.size * STREAMS_PART_MAX))
    parts = int(memory.size * (1 - MARGIN)) - BASE_BYTES - WORK_BYTES - connections - streams
    parts = max(parts, PARTS_BYTES_MIN)
    return MemoryPlan(
        memory=memory,
        requests=min(parts * 5 // 10, max(REQUESTS_BYTES_MAX, BODIES_MIN * body_bytes_max)),
        answers=min(parts * 3 // 10, ANSWERS_BYTES_MAX),
        kept=min(parts * 2 // 10, KEPT_BYTES_MAX),
    )


def memory_of(bytes_max: int | None, *, processes: int = 1) -> Memory:
    """Return what this process may use: what the configuration says, else its part of what the system tells.

    `processes` is how many of them share the system's limit.
    """
    if bytes_max is not None:
        return Memory(size=bytes_max, source="memory_bytes_max")
    if (size := cgroup_limit(_read)) is not None:
        return Memory(size=size // processes, source="cgroup")
    if (size := _lowest(_rlimits())) is not None:
        # It holds for each process by itself.
        return Memory(size=size, source="rlimit")
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Memory(size=int(machine * MACHINE_PART) // processes, source="machine")


def cgroup_limit(read: Read) -> int | None:
    """Return the lowest limit of the process's control groups, of version 2 or 1; None if there is none.

    A limit of a group holds for those below it. In a container the groups above are not to be seen, and the path may
    be that of the host (cgroup v1 without a namespace): the root is looked at in any case.

    Source: the kernel's "Control Group v2" (`memory.max`, `memory.high`: a word or bytes) and "Memory Resource
    Controller" (`memory.limit_in_bytes`).
    """
    limits: list[str | None] = []
    for line in (read("/proc/self/cgroup") or "").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            for above in _with_those_above(path):
                limits += [read(f"/sys/fs/cgroup{above}/{name}") for name in ("memory.max", "memory.high")]
        elif "memory" in controllers.split(","):
            limits += [read(f"/sys/fs/cgroup/memory{above}/memory.limit_in_bytes") for above in _with_those_above(path)]
    return _lowest(int(text) for text in limits if text is not None and text.strip().isdecimal())


def _with_those_above(path: str) -> Iterator[str]:
    """Return a path and all above it, the root as an empty text."""
    if ".." in path.split("/"):
        # A group outside of what this namespace shows (cgroup_namespaces(7)).
        path = "/"
    for each in (PurePosixPath(path), *PurePosixPath(path).parents):
        yield "" if str(each) == "/" else str(each)


def _rlimits() -> Iterator[int]:
    for name in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
        limit, _ = resource.getrlimit(name)
        if limit != resource.RLIM_INFINITY:
            yield limit


def _lowest(limits: Iterator[int]) -> int | None:
    return min((limit for limit in limits if 0 < limit < UNLIMITED_BYTES), default=None)


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text()
    except OSError:
        return None
