import os
import resource

import pytest

from gateway import memory_plan as memory
from gateway.memory_plan import Memory, MemoryPlan, cgroup_limit, memory_of, plan_of

MI = 1024 * 1024
CHART = Memory(size=512 * MI, source="cgroup")


def limit(files: dict[str, str]) -> int | None:
    return cgroup_limit(files.get)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"/proc/self/cgroup": ""}, None),
        ({"/proc/self/cgroup": "0::/\n"}, None),
        ({"/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/memory.max": "536870912\n"}, 512 * MI),
        ({"/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/memory.max": "max\n"}, None),
        (
            {
                "/proc/self/cgroup": "0::/a/b\n",
                "/sys/fs/cgroup/a/b/memory.max": "max\n",
                "/sys/fs/cgroup/a/memory.max": "4000\n",
                "/sys/fs/cgroup/memory.max": "5000\n",
            },
            4000,
        ),
        (
            {
                "/proc/self/cgroup": "0::/a\n",
                "/sys/fs/cgroup/a/memory.max": "4000\n",
                "/sys/fs/cgroup/a/memory.high": "3000\n",
            },
            3000,
        ),
        # A container of cgroup v1 that sees the host's path, and its own group as the root.
        (
            {
                "/proc/self/cgroup": "12:cpu,cpuacct:/docker/1\n4:memory:/docker/1\n0::/\n",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes": "268435456\n",
            },
            256 * MI,
        ),
        (
            {
                "/proc/self/cgroup": "4:hugetlb,memory:/k/pod\n",
                "/sys/fs/cgroup/memory/k/pod/memory.limit_in_bytes": "7000\n",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            },
            7000,
        ),
        ({"/proc/self/cgroup": "0::/../other\n", "/sys/fs/cgroup/memory.max": "8000\n"}, 8000),
        ({"/proc/self/cgroup": "nonsense\n0::/\n", "/sys/fs/cgroup/memory.max": "-5\n"}, None),
        ({"/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/memory.max": "0\n"}, None),
    ],
)
def test_the_lowest_limit_of_the_groups_holds(files: dict[str, str], expected: int | None) -> None:
    assert limit(files) == expected


def test_what_is_configured_comes_first_then_the_group_then_the_process_then_the_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert memory_of(5 * MI, processes=2) == Memory(size=5 * MI, source="memory_bytes_max")
    files = {"/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/memory.max": str(512 * MI)}
    monkeypatch.setattr(memory, "_read", files.get)
    assert memory_of(None) == CHART
    assert memory_of(None, processes=4).size == 128 * MI
    files.clear()
    rlimits = {resource.RLIMIT_AS: (8 * MI, -1), resource.RLIMIT_DATA: (resource.RLIM_INFINITY, -1)}
    monkeypatch.setattr(resource, "getrlimit", rlimits.get)
    assert memory_of(None, processes=4) == Memory(size=8 * MI, source="rlimit")
    rlimits[resource.RLIMIT_AS] = (resource.RLIM_INFINITY, -1)
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 1000}.get)
    assert memory_of(None) == Memory(size=4096 * 500, source="machine")


def test_files_that_are_missing_are_no_limit() -> None:
    assert memory._read("/no/such/file") is None
    assert memory._read("/proc/self/cgroup") is not None


@pytest.mark.parametrize("size", [448, 512, 1024, 8192])
def test_all_parts_and_what_is_beside_them_fit(size: int) -> None:
    plan = plan_of(Memory(size=size * MI, source="cgroup"), connections_max=10_000, body_bytes_max=20 * MI)
    beside = memory.BASE_BYTES + memory.WORK_BYTES + 10_000 * memory.CONNECTION_BYTES
    assert plan.requests + plan.answers + plan.kept + beside <= size * MI * (1 - memory.MARGIN)


def test_with_the_chart_s_limit_a_tenant_alone_can_send_the_largest_body_and_is_answered() -> None:
    plan = plan_of(CHART, connections_max=10_000, body_bytes_max=20 * MI)
    assert plan.requests >= memory.BODIES_MIN * 20 * MI
    assert plan.answers >= 64 * MI
    assert plan.kept >= 40 * MI


def test_in_little_memory_there_is_something_for_each() -> None:
    little = Memory(size=64 * MI, source="cgroup")
    plan = plan_of(little, connections_max=10_000, body_bytes_max=20 * MI)
    parts = {"requests": 16 * MI, "answers": 32 * MI * 3 // 10, "kept": 32 * MI * 2 // 10}
    assert plan == MemoryPlan(memory=little, **parts, bytes_min=plan.bytes_min)


def test_much_memory_is_not_all_taken() -> None:
    machine = Memory(size=1024 * 1024 * MI, source="machine")
    plan = plan_of(machine, connections_max=10_000, body_bytes_max=20 * MI)
    parts = {"requests": 2048 * MI, "answers": 1024 * MI, "kept": 128 * MI}
    assert plan == MemoryPlan(memory=machine, **parts, bytes_min=plan.bytes_min)
    assert plan_of(machine, connections_max=1, body_bytes_max=1024 * MI).requests == 4096 * MI


def test_answers_that_are_not_counted_by_themselves_have_room_by_the_seats() -> None:
    few, many, no_end = (
        plan_of(CHART, connections_max=1000, body_bytes_max=20 * MI, seats=seats) for seats in (0, 1000, 10**6)
    )
    assert few.requests + few.answers + few.kept - (many.requests + many.answers + many.kept) == pytest.approx(
        1000 * 64 * 1024, abs=3
    )
    assert no_end.requests + no_end.answers + no_end.kept > 0.3 * CHART.size


@pytest.mark.parametrize(("connections_max", "seats"), [(1, 0), (1000, 100), (10_000, 0), (10**6, 10**6)])
def test_the_least_memory_is_the_first_that_holds_all_parts(connections_max: int, seats: int) -> None:
    def left_bytes(size: int) -> int:
        connections = min(connections_max * memory.CONNECTION_BYTES, size * memory.CONNECTIONS_PART_MAX)
        streams = min(seats * memory.STREAM_BYTES, size * memory.STREAMS_PART_MAX)
        return int(size * (1 - memory.MARGIN) - connections - streams) - memory.BASE_BYTES - memory.WORK_BYTES

    plan = plan_of(CHART, connections_max=connections_max, body_bytes_max=20 * MI, seats=seats)
    assert left_bytes(plan.bytes_min) >= memory.PARTS_BYTES_MIN > left_bytes(plan.bytes_min - MI)
