"""What a load is told and what it tells, as JSON between two processes."""

import msgspec


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """Streams that are opened before the load begins, and stay open while it runs."""

    body: str
    streams: int
    chunks: int
    """That each has to bring; fewer, or no end, is a stream that was lost."""
    is_awaited: bool = True
    """Whether the run waits for their ends; else they are hung up on, and none counts as lost."""


class LoadSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One run against one server. Clients keep their connections; each takes its turn among the keys."""

    port: int
    body: str
    keys: list[str]
    path: str = "/v1/chat/completions"
    clients: int = 1
    """Of a closed loop: each asks again when it has its answer. 0 only holds streams."""
    rate: float = 0.0
    """Requests a second of an open loop, whether or not the last ones are answered; 0 is a closed loop."""
    held: Held | None = None
    warmup_s: float = 0.5
    window_s: float = 3.0
    core: int
    """That the server runs on."""
    pids: list[int] = []
    """The processes whose CPU time and memory are read."""
    scrapes_metrics: bool = False
    """Whether `/metrics` is read each second, as an operator would."""


class LoadResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. Times are milliseconds and memory kilobytes, unless the name says otherwise."""

    requests: int
    chunks: int
    failures: int
    wall_s: float
    cpu_s: float
    others_cpu_s: float
    """Of the server's core, by processes that have nothing to do with it."""
    load_cpu_s: float
    """Of the load itself: where it comes near `wall_s`, the load was the bottleneck."""
    latency_p50: float
    latency_p99: float
    first_byte_p50: float
    first_byte_p99: float
    lateness_p99: float
    lateness_max: float
    held_lost: int
    rss_before: int
    rss_held: int
    """With the held streams open; without any, at the end."""
    rss_peak: int

    @property
    def cpu_us_per_request(self) -> float:
        """CPU microseconds of the processes for each answered request."""
        return self.cpu_s * 1e6 / max(1, self.requests)

    @property
    def cpu_us_per_chunk(self) -> float:
        """The same for each chunk, with its part of the request."""
        return self.cpu_s * 1e6 / max(1, self.chunks)

    @property
    def requests_per_s(self) -> float:
        """Throughput."""
        return self.requests / self.wall_s
