"""A few seconds of the benchmark against this gateway alone: its numbers hold together, and nothing is left over."""

import os
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from bench.speed import stage as staging
from bench.speed.cheap import probing
from bench.speed.fetching import MissingError
from bench.speed.load_spec import Held
from bench.speed.peers import JOBS, LITELLM, OURS, RELAY, Peer, PeerKind
from bench.speed.processes import server
from bench.speed.sizes import Asked, request_body
from bench.speed.stage import QUICK, Stage, Way, staged

pytestmark = pytest.mark.server

SOON = {"warmup_s": 0.3, "window_s": 0.7}


def test_a_short_run_of_everything() -> None:
    allowed = os.sched_getaffinity(0)
    with staged(QUICK) as stage:
        ours = stage.peers(OURS)[OURS]
        pids = ours.server.pids
        whole = stage.load(ours, request_body(Asked(), model=RELAY, is_stream=False), Way(clients=4, **SOON))
        paged = request_body(Asked(chunks=16, page=8), model=JOBS, is_stream=True)
        with probing(ours.server.port, "/livez", core=stage.other_core) as probe:
            jobs = stage.load(ours, paged, Way(clients=2, rate=20, **SOON))
        asked = Asked(chunks=8, interval_s=0.2)
        body = request_body(asked, model=RELAY, is_stream=True).decode()
        held = stage.load(ours, b"", Way(clients=0, held=Held(body=body, streams=10, chunks=asked.chunks), **SOON))
    assert whole.failures == jobs.failures == held.held_lost == 0
    assert 10 < whole.cpu_us_per_request < 100_000
    assert 0 < whole.cpu_s <= 1.1 * whole.wall_s
    assert 0 < whole.latency_p50 <= whole.latency_p99
    assert 0 < jobs.first_byte_p50 <= jobs.latency_p50
    assert jobs.chunks == pytest.approx(16 * jobs.requests, abs=64)
    assert held.chunks > 10
    assert 0 < held.lateness_p99 <= held.lateness_max
    assert 30_000 < held.rss_held <= held.rss_peak
    assert probe.slowest_ms[0] > 0
    assert os.sched_getaffinity(0) == allowed
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_a_peer_that_cannot_be_had_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_core: int, _port: int) -> AbstractContextManager[Peer]:
        raise MissingError("no such package")

    monkeypatch.setattr(staging, "KINDS", [PeerKind(LITELLM, "1", start)])
    stage = Stage(QUICK, upstream_port=1, gateway_core=0, other_core=0)
    assert stage.peers(LITELLM) == {}
    assert stage.readings.missing == {LITELLM: "no such package"}


def test_a_server_that_does_not_start_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("bench.speed.processes.CACHE", tmp_path)
    failing = server("x", [sys.executable, "-c", "raise SystemExit('no')"], port=1, core=0)
    with pytest.raises(RuntimeError, match="no"):
        failing.__enter__()
