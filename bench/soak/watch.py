"""What a process holds, from outside: the kernel's account of it, its own metrics, and the emulator's jobs."""

import os
import pathlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from bench.processes import RUNPOD_KEY, Running

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """One process, as the kernel sees it."""

    rss_mb: float
    private_mb: float
    """Without what it shares with others: the pages of its libraries."""
    descriptors: int
    threads: int
    cpu_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What is in use at one moment. The gateway's own words, and the jobs that the emulator runs or queues."""

    permits: int
    tickets: int
    exchanges: int
    jobs: int


@dataclass(frozen=True, slots=True)
class Sample:
    """Both, so many seconds after the start."""

    at_s: float
    footprint: Footprint
    held: Held


def footprint(pid: int) -> Footprint:
    """What a process of this machine uses now."""
    proc = pathlib.Path("/proc") / str(pid)
    memory_kb = _numbers((proc / "smaps_rollup").read_text())
    # The second field, the command in brackets, may hold spaces.
    fields = (proc / "stat").read_text().rpartition(")")[2].split()
    return Footprint(
        rss_mb=memory_kb["Rss"] / 1024,
        private_mb=(memory_kb["Private_Clean"] + memory_kb["Private_Dirty"]) / 1024,
        descriptors=len(list((proc / "fd").iterdir())),
        threads=_numbers((proc / "status").read_text())["Threads"],
        cpu_s=(int(fields[11]) + int(fields[12])) / _TICKS,
    )


def _numbers(text: str) -> dict[str, int]:
    """The lines `Name: 12 kB` or `Name: 12`."""
    pairs = [line.partition(":") for line in text.splitlines()]
    return {name: int(value.split()[0]) for name, _, value in pairs if value.split() and value.split()[0].isdecimal()}


class Watch:
    """Asks the gateway and the emulator what they hold."""

    def __init__(self, http: aiohttp.ClientSession, *, gateway: Running, emulator: Running, ids: Sequence[str]) -> None:
        self._http = http
        self._gateway = gateway
        self._emulator = emulator
        self._ids = ids

    async def held(self) -> Held:
        """What is in use now."""
        ready = await self._json(f"{self._gateway.url}/readyz")
        families = await self.metrics()
        paths = [f"{self._emulator.url}/v2/{each}/health" for each in self._ids]
        jobs = [(await self._json(path))["jobs"] for path in paths]
        return Held(
            permits=int(total(families, "gateway_inflight_requests")),
            tickets=int(total(families, "gateway_queued_requests")),
            exchanges=ready["exchanges"],
            jobs=sum(each["inProgress"] + each["inQueue"] for each in jobs),
        )

    async def metrics(self) -> Sequence[Metric]:
        """A scrape."""
        async with self._http.get(f"{self._gateway.url}/metrics") as answer:
            return list(text_string_to_metric_families(await answer.text()))

    async def job_states(self) -> dict[str, str]:
        """All jobs that the emulator still knows, and what became of them."""
        jobs = await self._json(f"{self._emulator.url}/emulator/jobs")
        return {job["id"]: job["state"] for job in jobs}

    async def _json(self, url: str) -> Any:
        async with self._http.get(url, headers={"authorization": f"Bearer {RUNPOD_KEY}"}) as answer:
            answer.raise_for_status()
            return msgspec.json.decode(await answer.read())


def total(families: Sequence[Metric], name: str) -> float:
    """The sum of a metric over all its labels."""
    return sum(by_label(families, name, "").values())


def by_label(families: Sequence[Metric], name: str, label: str) -> Counter[str]:
    """A metric's values that are not zero, added up by one of its labels."""
    sums: Counter[str] = Counter()
    for family in families:
        for sample in family.samples:
            if sample.name == name and sample.value:
                sums[sample.labels.get(label, "")] += int(sample.value)
    return sums
