"""The relay beside other gateways: whole answers, streams, and the first byte at half load."""

from collections.abc import Callable

from bench.speed.load_spec import LoadResult
from bench.speed.peers import BARE, DIRECT, ENVOY, JOBS, LITELLM, NGINX, OURS, RELAY, Peer
from bench.speed.processes import Server
from bench.speed.readings import Readings, Subject
from bench.speed.sizes import Asked, request_body
from bench.speed.stage import Stage, Way

CHUNKS = "chunks a second"
CPU_REQUEST, CPU_CHUNK = "CPU per request, µs", "CPU per chunk, µs"
FIRST_BYTE_P50, FIRST_BYTE_P99 = "first byte p50, ms", "first byte p99, ms"
CLIENTS = 32
"""Where the targets are."""
STREAM = Asked(chunks=50, interval_s=0.004)
SHORT_STREAM = Asked(chunks=10, interval_s=0.004)
OUTPUTS = 64
PAGES = (1, 8, 64)
HALF = 0.5


def clients_name(clients: int) -> str:
    """A variant's name."""
    return "1 client" if clients == 1 else f"{clients} clients"


def relay(stage: Stage) -> None:
    """Whole answers of 1 KB over Runpod's /openai route, in a closed loop."""
    body = request_body(Asked(), model=RELAY, is_stream=False)

    def note(subject: Subject, result: LoadResult) -> None:
        stage.readings.add(subject, CPU_REQUEST, result.cpu_us_per_request)

    _side_by_side(stage, "relay", body, note)


def stream(stage: Stage) -> None:
    """Streams of 50 chunks, 4 ms apart, over the same route."""
    body = request_body(STREAM, model=RELAY, is_stream=True)

    def note(subject: Subject, result: LoadResult) -> None:
        stage.readings.add(subject, CPU_CHUNK, result.cpu_us_per_chunk)
        stage.readings.add(subject, CHUNKS, result.chunks / result.wall_s)

    _side_by_side(stage, "stream", body, note)


def _side_by_side(stage: Stage, workload: str, body: bytes, note: Callable[[Subject, LoadResult], None]) -> None:
    """Every gateway under every number of clients, in turn. A peer that fails once is not asked again."""
    peers = stage.peers(OURS, BARE, LITELLM, ENVOY, NGINX)
    loads = [(clients, name) for clients in stage.scale.clients for name in peers]
    for _ in range(stage.scale.rounds):
        for clients, name in list(loads):
            subject = Subject(workload, clients_name(clients), name)
            try:
                result = stage.load(peers[name], body, Way(clients=clients))
            except RuntimeError as error:
                if name == OURS:
                    raise
                loads.remove((clients, name))
                stage.readings.missing[f"{name}, {workload}, {subject.variant}"] = str(error)
                continue
            note(subject, result)
            _add_usual(stage.readings, subject, result, clients)


def _add_usual(readings: Readings, subject: Subject, result: LoadResult, clients: int) -> None:
    readings.add(subject, "requests a second", result.requests_per_s)
    readings.add(subject, "peak memory, MB", result.rss_peak / 1024)
    if result.requests >= clients:
        # Fewer answers than clients would be the quick ones among them.
        readings.add(subject, FIRST_BYTE_P50, result.first_byte_p50)
        readings.add(subject, "p50, ms", result.latency_p50)
        readings.add(subject, "p99, ms", result.latency_p99)


def jobs(stage: Stage) -> None:
    """Streams of 64 outputs over Runpod's job API, in pages of 1, 8 and 64; relayed streams beside them."""
    ours = stage.peers(OURS)[OURS]
    bodies = {
        f"pages of {page}": request_body(Asked(chunks=OUTPUTS, page=page), model=JOBS, is_stream=True) for page in PAGES
    }
    bodies["relayed"] = request_body(STREAM, model=RELAY, is_stream=True)
    for _ in range(stage.scale.rounds):
        for variant, body in bodies.items():
            result = stage.load(ours, body, Way(clients=CLIENTS))
            subject = Subject("jobs", variant, OURS)
            stage.readings.add(subject, CPU_CHUNK, result.cpu_us_per_chunk)
            stage.readings.add(subject, "requests a second", result.requests_per_s)


def first_byte(stage: Stage) -> None:
    """The first byte of a short stream at half of what the core could do, in an open loop, and without a gateway."""
    ours = stage.peers(OURS)[OURS]
    direct = Peer(server=Server(DIRECT, ours.server.process, stage.upstream_port))
    body = request_body(SHORT_STREAM, model=RELAY, is_stream=True)
    for _ in range(stage.scale.rounds):
        capacity = 1e6 / stage.load(ours, body, Way(clients=8)).cpu_us_per_request
        way = Way(clients=8, rate=HALF * capacity)
        for name, peer in ((DIRECT, direct), (OURS, ours)):
            result = stage.load(peer, body, way)
            subject = Subject("first-byte", "half load", name)
            stage.readings.add(subject, FIRST_BYTE_P50, result.first_byte_p50)
            stage.readings.add(subject, FIRST_BYTE_P99, result.first_byte_p99)
            stage.readings.add(subject, "requests a second", result.requests_per_s)
