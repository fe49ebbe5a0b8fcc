"""A collector that is away, slow or unwilling costs a bounded queue and one line, and holds nobody up."""

import json
import logging
import pathlib
from collections.abc import Iterator
from typing import Any

import anyio
import httpx
import pytest

from gateway.events import Settled, Trace
from gateway.observability import traces as module
from gateway.observability.traces import SPANS_MAX, TraceExporter
from gateway.translate.client_formats.openai_chat import OPENAI_CHAT
from tests.fakes.clock import FakeClock
from tests.fakes.collector import Collector, collecting
from tests.observability.test_metrics import settled
from tests.processes import STOP_S_MAX, free_port, served
from tests.stacks import KEY, config_of, stack
from tests.waiting import BOUND_S, eventually_here

pytestmark = pytest.mark.server

CLOSE_S = 0.5
NOWHERE = "http://user:a-password@127.0.0.1:1"


class Said:
    """What would be logged."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, event: str, **fields: Any) -> None:
        self.lines.append((event, fields))


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as made:
        yield made


def traces_to(url: str, said: Said) -> TraceExporter:
    return TraceExporter(
        endpoint=url, headers={"x-key": "a-key"}, sample_ratio=1, service_name="x", clock=FakeClock(), say=said
    )


def ended(traces: TraceExporter) -> Settled:
    """A traced exchange that is over."""
    context = traces.begin(OPENAI_CHAT, [], 2.0)
    times = {"queued_at_s": 0.0, "turn_at_s": 0.1, "sent_at_s": 0.1, "accepted_at_s": 0.2}
    return settled(trace=Trace(context=context, is_stream=True, **times))


async def test_an_outage_is_said_once_and_its_end_once(collector: Collector) -> None:
    said = Said()
    traces = traces_to(collector.url, said)
    collector.status = 401
    for number in range(1, 4):
        traces.observe(ended(traces))
        await eventually_here(lambda n=number: len(collector.requests) == n)
    await eventually_here(lambda: said.lines)
    assert said.lines == [("traces.disconnected", {"status": 401})]
    collector.status = 200
    traces.observe(ended(traces))
    await eventually_here(lambda: len(said.lines) == 2)
    await traces.aclose()
    assert said.lines[1:] == [("traces.connected", {})]


async def test_nothing_else_is_written_of_it(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    said = Said()
    traces = traces_to(NOWHERE, said)
    traces.observe(ended(traces))
    await eventually_here(lambda: said.lines)
    for _ in range(SPANS_MAX + 1):
        traces.observe(ended(traces))
    await traces.aclose()
    assert said.lines == [("traces.disconnected", {"status": None})]
    assert capfd.readouterr() == ("", "")
    assert caplog.text == ""
    logging.getLogger("opentelemetry").warning("quiet")
    assert capfd.readouterr() == ("", "")


async def test_what_waits_for_the_collector_is_bounded(collector: Collector) -> None:
    collector.may_answer.clear()
    traces = traces_to(collector.url, Said())
    for _ in range(2 * SPANS_MAX):
        traces.observe(ended(traces))
    assert len(traces._processor._batch_processor._queue) <= SPANS_MAX
    collector.may_answer.set()
    await traces.aclose()


async def test_a_collector_that_takes_its_time_does_not_hold_up_the_end(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is closed before the collector answers, and not before its own time is over."""
    monkeypatch.setattr(module, "CLOSE_S_MAX", CLOSE_S)
    collector.may_answer.clear()
    traces = traces_to(collector.url, Said())
    for _ in range(SPANS_MAX):
        traces.observe(ended(traces))
    began_s, turns = anyio.current_time(), 0
    is_closed = anyio.Event()

    async def close() -> None:
        await traces.aclose()
        is_closed.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(close)
        while not is_closed.is_set():
            turns += 1
            await anyio.sleep(CLOSE_S / 100)
    assert collector.requests == []
    assert anyio.current_time() - began_s >= CLOSE_S
    # The event loop went on meanwhile.
    assert turns > 2


def ask(url: str) -> httpx.Response:
    body = {"model": "m", "messages": [{"role": "user", "content": "count to 3"}], "stream": True}
    headers = {"authorization": f"Bearer {KEY}"}
    return httpx.post(f"{url}/v1/chat/completions", json=body, headers=headers, timeout=BOUND_S)


def test_a_server_that_stops_sends_what_waits(collector: Collector) -> None:
    with stack(traces={"endpoint": collector.url}) as running:
        answer = ask(running.url)
        assert answer.status_code == 200
    spans = collector.spans()
    assert spans[0].attributes["fairpod.job_id"] == answer.headers["x-fairpod-job-id"]
    assert [span.name for span in spans[1:]] == ["admission wait", "runpod queue", "first chunk", "generate"]
    assert spans[0].start_s < spans[0].end_s


def test_a_process_whose_collector_is_away_serves_and_stops(tmp_path: pathlib.Path) -> None:
    with stack() as running:
        config = config_of(running.emulator_url, traces={"endpoint": f"http://127.0.0.1:{free_port()}"})
        with served(tmp_path, config) as gateway:
            for _ in range(3):
                assert ask(gateway.url).status_code == 200
            gateway.process.terminate()
            assert gateway.process.wait(STOP_S_MAX) == 0
    lines = [json.loads(line) for line in gateway.log.read_text().splitlines()]
    events = [line["event"] for line in lines]
    assert events.count("exchange.settled") == 3
    told = {
        "gateway.started",
        "gateway.memory",
        "exchange.settled",
        "attempt.settled",
        "gateway.draining",
        "gateway.drained",
        "traces.disconnected",
    }
    assert set(events) <= told
