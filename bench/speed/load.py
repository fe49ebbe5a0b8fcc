"""The load, in a process of its own: reads a `LoadSpec` as JSON, runs it, writes a `LoadResult`."""

import asyncio
import gc
import itertools
import os
import resource
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence

import msgspec
import uvloop

from bench.speed import kernel
from bench.speed.client import Answer, Client, http_request
from bench.speed.load_spec import Held, LoadResult, LoadSpec
from bench.speed.measures import percentile

OPEN_AT_ONCE = 50
"""Held streams that are opened at the same time."""
HELD_S_MAX = 60.0
"""How long they may take to begin, or to end."""
LOOK_S = 0.002
RECONNECT_S = 0.05


class Load:
    """One run."""

    def __init__(self, spec: LoadSpec) -> None:
        self._spec = spec
        self._loop = asyncio.get_running_loop()
        self._requests = itertools.cycle([http_request(spec.path, spec.body, key) for key in spec.keys])
        self._answers: list[Answer] = []
        self._idle: deque[Client] = deque()
        self._clients: list[Client] = []
        self._is_over = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> LoadResult:
        """Warm up, measure, and let go."""
        spec = self._spec
        rss_before = kernel.rss_kb(spec.pids)
        held = None if spec.held is None else HeldStreams(spec.held, spec)
        if held is not None:
            await held.open()
        if spec.scrapes_metrics:
            self._begin(self._scrape())
        for _ in range(spec.clients):
            await self._new_client()
        if spec.rate:
            self._begin(self._ask_at_rate())
        else:
            for client in self._clients:
                client.ask(next(self._requests))
        await asyncio.sleep(spec.warmup_s)
        kernel.forget_peak(spec.pids)
        begun_s, own_begun_s = time.monotonic(), kernel.cpu_s([os.getpid()])
        cpu_begun_s, busy_begun_s = kernel.cpu_s(spec.pids), kernel.core_busy_s(spec.core)
        chunks_begun = self._chunks(held)
        await asyncio.sleep(spec.window_s)
        cpu_s, own_s = kernel.cpu_s(spec.pids) - cpu_begun_s, kernel.cpu_s([os.getpid()]) - own_begun_s
        busy_s = kernel.core_busy_s(spec.core) - busy_begun_s
        wall_s, chunks = time.monotonic() - begun_s, self._chunks(held) - chunks_begun
        rss_held, rss_peak = kernel.rss_kb(spec.pids), kernel.peak_rss_kb(spec.pids)
        self._is_over = True
        measured = [each for each in self._answers if begun_s <= each.end_s <= begun_s + wall_s]
        held_lost = 0 if held is None else await held.end()
        self._close()
        good = [each for each in measured if each.is_good]
        latencies = [1000 * (each.end_s - each.asked_s) for each in good]
        first_bytes = [1000 * (each.first_byte_s - each.asked_s) for each in good]
        streams = good if held is None else held.ended
        arrivals = [arrival for each in streams for arrival in each.arrivals]
        lateness = [1000 * late_s for at_s, late_s in arrivals if begun_s <= at_s <= begun_s + wall_s]
        return LoadResult(
            requests=len(good),
            chunks=chunks,
            failures=len(measured) - len(good),
            wall_s=wall_s,
            cpu_s=cpu_s,
            others_cpu_s=max(0.0, busy_s - cpu_s),
            load_cpu_s=own_s,
            latency_p50=percentile(latencies, 50),
            latency_p99=percentile(latencies, 99),
            first_byte_p50=percentile(first_bytes, 50),
            first_byte_p99=percentile(first_bytes, 99),
            lateness_p99=percentile(lateness, 99),
            lateness_max=max(lateness, default=0.0),
            held_lost=held_lost,
            rss_before=rss_before,
            rss_held=rss_held,
            rss_peak=rss_peak,
        )

    def _chunks(self, held: "HeldStreams | None") -> int:
        own = sum(each.chunks for each in self._answers) + sum(client.chunks for client in self._clients)
        return own + (held.chunks if held is not None else 0)

    async def _new_client(self) -> Client:
        client = Client(self._spec.port, self._ended)
        await client.connect()
        self._clients.append(client)
        return client

    def _ended(self, client: Client, answer: Answer) -> None:
        self._answers.append(answer)
        if self._is_over:
            return
        if not client.is_open or not answer.is_good:
            # A server that closes, or refuses, is asked again a little later.
            self._begin(self._again(client))
        elif self._spec.rate:
            self._idle.append(client)
        else:
            client.ask(next(self._requests))

    async def _again(self, client: Client) -> None:
        await asyncio.sleep(RECONNECT_S)
        if not client.is_open:
            await client.connect()
        if self._spec.rate:
            self._idle.append(client)
        else:
            client.ask(next(self._requests))

    async def _ask_at_rate(self) -> None:
        """An open loop: late answers make no gaps, and waiting counts from when a request was due."""
        self._idle.extend(self._clients)
        due_s = time.monotonic()
        while not self._is_over:
            client = self._idle.popleft() if self._idle else await self._new_client()
            client.ask(next(self._requests), due_s)
            due_s += 1 / self._spec.rate
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))

    async def _scrape(self) -> None:
        client = Client(self._spec.port, _ignore)
        await client.connect()
        request = http_request("/metrics", "", self._spec.keys[0], method="GET")
        while client.is_open:
            # A scrape that takes longer than a second puts the next one off.
            if not client.is_busy:
                client.ask(request)
            await asyncio.sleep(1.0)

    def _begin(self, work: "asyncio._CoroutineLike[None]") -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        for client in self._clients:
            client.close()


def _ignore(_client: Client, _answer: Answer) -> None:
    """What metrics say is not measured."""


class HeldStreams:
    """Streams that stay open."""

    def __init__(self, held: Held, spec: LoadSpec) -> None:
        self._held = held
        self._spec = spec
        self._clients: list[Client] = []
        self.ended: list[Answer] = []

    @property
    def chunks(self) -> int:
        """That came so far."""
        return sum(each.chunks for each in self.ended) + sum(client.chunks for client in self._clients)

    async def open(self) -> None:
        """Open all, a few at a time, and wait until each has brought its first chunk.

        Raises:
            RuntimeError: They do not.
        """
        keys: Sequence[str] = self._spec.keys
        for number in range(self._held.streams):
            client = Client(self._spec.port, lambda _client, answer: self.ended.append(answer))
            await client.connect()
            client.ask(http_request(self._spec.path, self._held.body, keys[number % len(keys)]))
            self._clients.append(client)
            if number % OPEN_AT_ONCE == OPEN_AT_ONCE - 1:
                await self._until(self._have_begun)
        if not await self._until(self._have_begun):
            raise RuntimeError("some held streams did not begin")

    def _have_begun(self) -> bool:
        """Whether the newest have brought a first chunk; those that are closed never will."""
        return all(client.chunks or not client.is_open for client in self._clients[-OPEN_AT_ONCE:])

    async def end(self) -> int:
        """Wait for all to end, and say how many did not bring everything; or hang up."""
        if not self._held.is_awaited:
            for client in self._clients:
                client.close()
            return 0
        await self._until(lambda: len(self.ended) == len(self._clients))
        whole = sum(each.is_good and each.is_done_stream and each.chunks == self._held.chunks for each in self.ended)
        return len(self._clients) - whole

    @staticmethod
    async def _until(is_so: Callable[[], bool]) -> bool:
        """Wait for it, and not for ever."""
        for _ in range(int(HELD_S_MAX / LOOK_S)):
            if is_so():
                return True
            await asyncio.sleep(LOOK_S)
        return False


async def _main() -> None:
    spec = msgspec.json.decode(sys.stdin.buffer.read(), type=LoadSpec)
    sys.stdout.buffer.write(msgspec.json.encode(await Load(spec).run()))


if __name__ == "__main__":
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # What a load keeps it keeps to its end: looking for garbage would only make its own answers late.
    gc.disable()
    uvloop.run(_main())
