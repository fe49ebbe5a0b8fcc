"""Determine the memory limit of this process, and divide it among the kinds of data.

Everything that a client, a worker or a tenant can make the process store is limited, and the limits together fit into
the memory: a process that is killed for lack of memory ends every stream, and cancels no job.
"""

import itertools
import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import msgspec

Read = Callable[[str], str | None]
"""Function that returns the text of a file, or None if it cannot be read."""

MIB = 1024 * 1024
BASE_BYTES = 80 * 1024 * 1024
"""Memory in bytes of an idle process: 62 MB after its start (bench/results/speed.md), plus the metrics of tenants."""
WORK_BYTES = 64 * 1024 * 1024
"""Memory in bytes that one step of the event loop allocates and releases, such as a list of a million values
(`wire.items`) or an outline of a large body (`wire.json_bounds`). No two steps overlap."""
CONNECTION_BYTES = 8 * 1024
"""Memory in bytes of an idle client connection: 7.5 KB by tracemalloc (docs/performance.md)."""
MARGIN = 0.1
"""Fraction that stays free, for memory that the allocator keeps and for underestimates."""
CONNECTIONS_PART_MAX = 0.2
"""Maximum fraction for connections: with little memory, not all allowed connections can be provided for."""
STREAM_BYTES = 64 * 1024
"""Memory in bytes of an answer in progress that is not counted in its room: `upstream.job_api.UNCOUNTED_BYTES`."""
STREAMS_PART_MAX = 0.2
PARTS_BYTES_MIN = 32 * 1024 * 1024
"""Minimum memory in bytes of requests and answers together; with less, large requests could not be served."""
MACHINE_PART = 0.5
"""Fraction of the machine's memory that is used if the process has no limit, because other processes run there."""
REQUESTS_BYTES_MAX = 2 * 1024**3
BODIES_MIN = 4
"""Number of bodies of the maximum size that requests have room for in any case, if there is memory for them."""
ANSWERS_BYTES_MAX = 1024**3
KEPT_BYTES_MAX = 128 * 1024 * 1024
UNLIMITED_BYTES = 2**60
"""Bytes from which a limit means none: cgroup v1 writes about 2**63, rounded down to a page, for "no limit"."""


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """Describe the memory limit of this process in bytes."""

    size: int
    source: str
    """Source of the size: `memory_bytes_max`, `cgroup`, `rlimit` or `machine`."""


class MemoryPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the memory limit of each kind of data, in bytes."""

    memory: Memory
    requests: int
    """Limit for requests and their bodies, from the first byte until the answer ends."""
    answers: int
    """Limit for data read from Runpod and not passed on yet: pages, events, and answers in one piece."""
    kept: int
    """Limit for answers that are kept for an `Idempotency-Key`."""
    bytes_min: int
    """Minimum memory for all of this, a multiple of 1 MiB. With less the process may be killed."""


def plan_of(memory: Memory, *, connections_max: int, body_bytes_max: int, seats: int = 0) -> MemoryPlan:
    """Divide the memory: half is for requests, 30 % for answers, 20 % for kept answers, each with a maximum.

    `seats` is the number of requests that all endpoints serve at once.
    """
    parts = max(_parts_of(memory.size, connections_max, seats), PARTS_BYTES_MIN)
    sizes = itertools.count(MIB, MIB)
    return MemoryPlan(
        memory=memory,
        requests=min(parts * 5 // 10, max(REQUESTS_BYTES_MAX, BODIES_MIN * body_bytes_max)),
        answers=min(parts * 3 // 10, ANSWERS_BYTES_MAX),
        kept=min(parts * 2 // 10, KEPT_BYTES_MAX),
        bytes_min=next(size for size in sizes if _parts_of(size, connections_max, seats) >= PARTS_BYTES_MIN),
    )


def _parts_of(size: int, connections_max: int, seats: int) -> int:
    """Return the bytes that `size` bytes of memory leave for requests and answers; it may be negative."""
    connections = min(connections_max * CONNECTION_BYTES, int(size * CONNECTIONS_PART_MAX))
    streams = min(seats * STREAM_BYTES, int(size * STREAMS_PART_MAX))
    return int(size * (1 - MARGIN)) - BASE_BYTES - WORK_BYTES - connections - streams


def memory_of(bytes_max: int | None, *, processes: int = 1) -> Memory:
    """Return the memory limit of this process: the configured size, or its part of the system's limit.

    `processes` is the number of processes that share the system's limit.
    """
    if bytes_max is not None:
        return Memory(size=bytes_max, source="memory_bytes_max")
    if (size := cgroup_limit(_read)) is not None:
        return Memory(size=size // processes, source="cgroup")
    if (size := _lowest(_rlimits())) is not None:
        # An rlimit applies to each process separately.
        return Memory(size=size, source="rlimit")
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Memory(size=int(machine * MACHINE_PART) // processes, source="machine")


def cgroup_limit(read: Read) -> int | None:
    """Return the lowest limit of the process's control groups in bytes, of version 2 or 1; None if there is none.

    The limit of a group applies to all groups below it. In a container the groups above are not visible, and the path
    may be that of the host (cgroup v1 without a namespace), so the root is read in any case.

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
    """Yield a path and all its parents, the root as an empty string."""
    if ".." in path.split("/"):
        # The group is outside of this cgroup namespace (cgroup_namespaces(7)).
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
