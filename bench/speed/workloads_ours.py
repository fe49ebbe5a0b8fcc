"""What only this gateway is asked: many tenants, many open streams, large bodies, the job route's delay, rest."""

import contextlib
import time

from msgspec.json import encode

from bench.speed import kernel
from bench.speed.cheap import emulator, probing
from bench.speed.first_chunk import ask_gateway, ask_runpod
from bench.speed.load_spec import Held
from bench.speed.peers import EMULATED, OURS, RELAY, Peer, fairpod
from bench.speed.readings import Subject
from bench.speed.sizes import STAMP, Asked, request_body
from bench.speed.stage import Stage, Way
from bench.speed.workloads_relay import CPU_CHUNK, CPU_REQUEST, OUTPUTS, PAGES

TENANT_FIRST_S = 1 / 400
"""A first request of each tenant is made before anything is measured: so long for each is enough."""
SCRAPE_EVERY_S = 15
"""As Prometheus' own example does; the chart's ServiceMonitor takes twice as long."""
SEEN = "the same with a scrape each second, µs"
UNSEEN = "the same without scrapes, µs"
SCRAPE = "CPU of one scrape, ms"
HELD_OPEN_S = 1 / 400
"""So long for each stream to open, with the others, is enough."""
LOST, KB_EACH, LATENESS = "streams lost", "memory of each, KB", "lateness of a chunk p99, ms"
FEW, MANY = "1 open", "many open"
QUIET = Asked(chunks=2, interval_s=30)
BODY_BYTES = {"1 KB": 1024, "100 KB": 100 * 1024, "10 MB": 10 * 1024 * 1024}
EXTRA, EXTRA_KB, STALL = "peak memory over the body", "peak memory, KB", "longest stall, ms"
ADDED_P50, ADDED_P99 = "added to the first chunk p50, ms", "added to the first chunk p99, ms"
REST, START = "memory at rest, MB", "start to first answer, s"
REST_S = 0.5
SMALL = request_body(Asked(), model=RELAY, is_stream=False)


def tenants(stage: Stage) -> None:
    """Whole relayed answers with 1, 100 and 10 000 tenants that all ask, with their part of a scrape now and then."""
    stage.end_peers()
    with contextlib.ExitStack() as stack:
        peers = {
            count: stack.enter_context(fairpod(stage.gateway_core, stage.upstream_port, tenants=count))
            for count in stage.scale.tenants
        }
        scrape_us: dict[int, float] = {}
        for count, peer in peers.items():
            stage.load(peer, SMALL, Way(warmup_s=count * TENANT_FIRST_S))
            # One each second, and nothing else to do.
            idle = stage.load(peer, SMALL, Way(clients=0))
            scrape_us[count] = 1e6 * idle.cpu_s / idle.wall_s
            stage.readings.add(Subject("tenants", str(count), OURS), SCRAPE, scrape_us[count] / 1000)
        for _ in range(stage.scale.rounds):
            for count, peer in peers.items():
                subject = Subject("tenants", str(count), OURS)
                seen, unseen = (stage.load(peer, SMALL, Way(scrapes_metrics=is_seen)) for is_seen in (True, False))
                part_us = scrape_us[count] / (SCRAPE_EVERY_S * unseen.requests_per_s)
                stage.readings.add(subject, CPU_REQUEST, unseen.cpu_us_per_request + part_us)
                stage.readings.add(subject, UNSEEN, unseen.cpu_us_per_request)
                stage.readings.add(subject, SEEN, seen.cpu_us_per_request)


def held(stage: Stage) -> None:
    """Many streams at one chunk a second, all at once: what each weighs, and whether their chunks come in time."""
    stage.end_peers()
    scale = stage.scale
    with fairpod(stage.gateway_core, stage.upstream_port) as ours:
        stage.load(ours, SMALL, Way(window_s=1))
        opening_s = 3 + scale.held_streams * HELD_OPEN_S
        asked = Asked(chunks=int(scale.held_window_s + opening_s), interval_s=1)
        streams = Held(
            body=request_body(asked, model=RELAY, is_stream=True).decode(),
            streams=scale.held_streams,
            chunks=asked.chunks,
        )
        result = stage.load(ours, SMALL, Way(clients=0, held=streams, warmup_s=1, window_s=scale.held_window_s))
    subject = Subject("held", f"{scale.held_streams} streams", OURS)
    stage.readings.add(subject, LOST, result.held_lost)
    stage.readings.add(subject, KB_EACH, (result.rss_held - result.rss_before) / scale.held_streams)
    stage.readings.add(subject, LATENESS, result.lateness_p99)
    stage.readings.add(subject, CPU_CHUNK, result.cpu_us_per_chunk)


def beside_held(stage: Stage) -> None:
    """Whole relayed answers while one stream is open, and while many are, all quiet."""
    stage.end_peers()
    for _ in range(stage.scale.rounds):
        for variant, count in ((FEW, 1), (MANY, stage.scale.held_streams)):
            streams = Held(
                body=request_body(QUIET, model=RELAY, is_stream=True).decode(),
                streams=count,
                chunks=QUIET.chunks,
                is_awaited=False,
            )
            with fairpod(stage.gateway_core, stage.upstream_port) as ours:
                result = stage.load(ours, SMALL, Way(held=streams))
            stage.readings.add(Subject("beside-held", variant, OURS), CPU_REQUEST, result.cpu_us_per_request)


def bodies(stage: Stage) -> None:
    """Bodies of 1 KB, 100 KB and 10 MB, one at a time: memory at the peak, and how long others have to wait."""
    stage.end_peers()
    for _ in range(stage.scale.rounds):
        for variant, size in BODY_BYTES.items():
            body = request_body(Asked(), model=RELAY, is_stream=False, prompt_bytes=size)
            with fairpod(stage.gateway_core, stage.upstream_port) as ours:
                stage.load(ours, SMALL, Way(clients=1, window_s=0.5))
                with probing(ours.server.port, "/livez", core=stage.other_core) as probe:
                    result = stage.load(ours, body, Way(clients=1, warmup_s=0))
            subject = Subject("bodies", variant, OURS)
            extra_kb = result.rss_peak - result.rss_before
            stage.readings.add(subject, EXTRA_KB, extra_kb)
            stage.readings.add(subject, EXTRA, extra_kb * 1024 / size)
            stage.readings.add(subject, STALL, probe.slowest_ms[0])


def jobs_emulated(stage: Stage) -> None:
    """Streams of 64 outputs over the emulator's job API, in pages of 1, 8 and 64 at most, fewer where it is late."""
    stage.end_peers()
    said = f'say "{" ".join([STAMP.decode()] * OUTPUTS)}"'
    body = encode({"model": EMULATED, "stream": True, "messages": [{"role": "user", "content": said}]})
    for page in PAGES:
        with (
            emulator(stage.other_core, "--page-outputs-max", str(page)) as emulated,
            fairpod(stage.gateway_core, stage.upstream_port, emulator_port=emulated.port) as ours,
        ):
            for _ in range(stage.scale.rounds):
                result = stage.load(ours, body, Way())
                subject = Subject("jobs-emulated", f"pages of {page}", OURS)
                stage.readings.add(subject, CPU_CHUNK, result.cpu_us_per_chunk)


def first_chunk(stage: Stage) -> None:
    """The job route before the emulator, whose worker takes 20 ms for a token: the first chunk, and its own page."""
    stage.end_peers()
    with (
        emulator(stage.other_core, "--token-interval-s", "0.02") as emulated,
        fairpod(stage.gateway_core, stage.upstream_port, emulator_port=emulated.port) as ours,
    ):
        body = request_body(Asked(), model=EMULATED, is_stream=True)
        samples = [
            (ask_gateway(ours.server.port, body, ours.keys[0]), ask_runpod(emulated.port, EMULATED, body))
            for _ in range(stage.scale.trials)
        ]
    added_ms = sorted(1000 * (through_s - own_s) for through_s, own_s in samples[len(samples) // 10 :])
    subject = Subject("first-chunk", "emulator", OURS)
    stage.readings.add(subject, ADDED_P50, added_ms[len(added_ms) // 2])
    stage.readings.add(subject, ADDED_P99, added_ms[len(added_ms) * 99 // 100])


def rest(stage: Stage) -> None:
    """From the start of the process to its first answer, and its memory when it has nothing to do."""
    stage.end_peers()
    for _ in range(max(3, stage.scale.rounds)):
        begun_s = time.monotonic()
        with fairpod(stage.gateway_core, stage.upstream_port) as ours:
            _ask_once(ours)
            took_s = time.monotonic() - begun_s
            time.sleep(REST_S)
            resident_kb = kernel.rss_kb(ours.server.pids)
        subject = Subject("rest", "", OURS)
        stage.readings.add(subject, START, took_s)
        stage.readings.add(subject, REST, resident_kb / 1024)


def _ask_once(ours: Peer) -> None:
    ask_gateway(ours.server.port, request_body(Asked(), model=RELAY, is_stream=True), ours.keys[0])
