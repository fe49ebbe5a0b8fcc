"""Traces as a collector gets them, from a gateway over a fake Runpod."""

import contextlib
import itertools
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import pytest

from gateway.observability import traces
from gateway.observability.traces import TraceExporter
from gateway.translate.client_formats.openai_embeddings import OPENAI_EMBEDDINGS
from gateway.wire.traceparent import read_traceparent
from tests.exchange.test_exchange import COMPLETION
from tests.fakes.clock import FakeClock
from tests.fakes.collector import Collector, SentSpan, collecting
from tests.fakes.runpod import FakeRunpod
from tests.stacks import KEY, RUNPOD_KEY
from tests.subject import EVENTS, Subject, answering, running
from tests.suite_secrets import SUITE
from tests.virtual_time import LoopClock
from tests.waiting import BOUND_S

pytestmark = [pytest.mark.server, pytest.mark.virtual_time]

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-00"
SERVER, INTERNAL = 2, 1


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as made:
        yield made


@pytest.fixture(autouse=True)
def _patient_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine it may take long to send what waits."""
    monkeypatch.setattr(traces, "CLOSE_S_MAX", BOUND_S)


@contextlib.asynccontextmanager
async def traced(runpod: FakeRunpod, collector: Collector, **options: Any) -> AsyncIterator[Subject]:
    """A gateway whose spans have arrived when the block is left."""
    section = {"endpoint": collector.url, **options.pop("traces", {})}
    async with running(runpod, traces=section, **options) as subject:
        try:
            yield subject
        finally:
            assert subject.gateway._traces is not None
            await subject.gateway._traces.aclose()


def the_request(spans: list[SentSpan]) -> SentSpan:
    (found,) = [span for span in spans if span.kind == SERVER]
    return found


async def test_a_request_is_one_trace_below_its_callers(collector: Collector) -> None:
    begun_s = LoopClock().unix_s()
    options = {"headers": {"authorization": "a-collectors-key"}, "service_name": "edge"}
    async with traced(answering(), collector, traces=options) as subject:
        call = await subject.post(stream=True, headers={"traceparent": SAMPLED, "tracestate": "a=b"})
    spans = collector.spans()
    whole = the_request(spans)
    assert [span.name for span in spans] == ["chat m", "admission wait", "runpod queue", "first chunk", "generate"]
    assert {span.trace_id for span in spans} == {TRACE}
    assert whole.parent_id == SPAN
    assert {span.parent_id for span in spans if span is not whole} == {whole.span_id}
    assert {span.kind for span in spans if span is not whole} == {INTERNAL}
    assert len({span.span_id for span in spans}) == 5
    assert whole.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "runpod",
        "gen_ai.request.model": "m",
        "gen_ai.request.stream": True,
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.usage.output_tokens": 2,
        "http.request.method": "POST",
        "http.route": "/v1/chat/completions",
        "http.response.status_code": 200,
        "fairpod.request_id": call.headers["x-request-id"],
        "fairpod.tenant": "acme",
        "fairpod.endpoint": "chat",
        "fairpod.route": "job",
        "fairpod.job_id": "job-1",
        "fairpod.outcome": "completed",
        "fairpod.gpu_s": whole.attributes["fairpod.gpu_s"],
        "fairpod.tokens_estimated": False,
    }
    assert 0 < float(str(whole.attributes["fairpod.gpu_s"])) < 60
    assert not any(span.is_failed for span in spans)
    assert {span.resource["service.name"] for span in spans} == {"edge"}
    assert {span.scope for span in spans} == {"fairpod"}
    assert begun_s - 0.001 <= whole.start_s <= whole.end_s <= LoopClock().unix_s() + 0.001
    path, headers, _ = collector.requests[0]
    assert (path, headers["authorization"]) == ("/v1/traces", "a-collectors-key")


async def test_runpod_is_told_of_the_span_where_work_begins_and_of_no_other_header(collector: Collector) -> None:
    for route, operation in (("job", "run"), ("openai", "openai")):
        runpod = answering()
        async with traced(runpod, collector, endpoint={"route": route}) as subject:
            await subject.post(stream=True, headers={"traceparent": SAMPLED, "tracestate": "a=b", "baggage": "c=d"})
        whole = the_request([span for span in collector.spans() if span.attributes.get("fairpod.route") == route])
        for (called, _), headers in zip(runpod.calls, runpod.headers, strict=True):
            told = f"00-{TRACE}-{whole.span_id}-01" if called == operation else None
            assert headers.get("traceparent") == told, called
            assert not {"tracestate", "baggage"} & headers.keys()


async def test_parts_follow_each_other_within_the_whole(collector: Collector) -> None:
    runpod = answering()
    # Longer than it took as we saw it: the clocks are two.
    runpod.status["delayTime"] = 3_600_000
    async with traced(runpod, collector) as subject:
        await subject.post(stream=True)
    whole, *parts = collector.spans()
    assert [part.name for part in parts] == ["admission wait", "runpod queue", "first chunk", "generate"]
    for before, after in itertools.pairwise(parts):
        assert before.end_s <= after.start_s + 1e-6
    assert all(whole.start_s <= part.start_s <= part.end_s <= whole.end_s for part in parts)
    assert parts[-1].end_s == pytest.approx(whole.end_s, abs=1e-6)


async def test_a_whole_answer_has_no_first_chunk_and_a_relayed_one_no_queue(collector: Collector) -> None:
    runpod = FakeRunpod(pages=[("IN_PROGRESS", []), ("COMPLETED", [COMPLETION])])
    async with traced(runpod, collector) as subject:
        await subject.post()
    assert [span.name for span in collector.spans()] == ["chat m", "admission wait", "runpod queue", "generate"]
    collector.requests.clear()
    async with traced(answering(), collector, endpoint={"route": "openai"}) as subject:
        await subject.post(stream=True)
    assert [span.name for span in collector.spans()] == ["chat m", "admission wait", "first chunk", "generate"]


async def test_failures_name_their_error_and_their_outcome(collector: Collector) -> None:
    runpod = FakeRunpod(pages=[("IN_PROGRESS", EVENTS[:2]), ("FAILED", [])])
    runpod.status = {"status": "FAILED", "error": "handler: boom \ntraceback: my secret"}
    async with traced(runpod, collector) as subject:
        await subject.post(stream=True)
    whole = the_request(collector.spans())
    assert whole.is_failed
    assert whole.attributes["error.type"] == "JobFailedError"
    assert whole.attributes["fairpod.outcome"] == "upstream_failed"
    assert whole.attributes["http.response.status_code"] == 502
    assert b"boom" not in collector.requests[0][2]


async def test_a_request_that_was_at_fault_is_no_failure_of_ours(collector: Collector) -> None:
    async with traced(answering(), collector) as subject:
        await subject.post(model="a-name-that-a-client-chose")
    (whole,) = collector.spans()
    assert whole.name == "chat"
    assert whole.attributes["error.type"] == "UnknownModelError"
    assert whole.attributes["http.response.status_code"] == 404
    assert not whole.is_failed
    assert "gen_ai.request.model" not in whole.attributes
    assert b"a-name-that" not in collector.requests[0][2]


async def test_a_client_that_leaves_in_the_line_waited_to_its_end(collector: Collector) -> None:
    runpod = FakeRunpod(pages=[("IN_QUEUE", [])] * 1000)
    async with traced(runpod, collector, endpoint={"max_in_flight": 1}) as subject:
        holder, waiter = subject.call(stream=True), subject.call(stream=True, headers={"traceparent": SAMPLED})
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(holder.run, subject.gateway.app)
            while not runpod.running:
                await anyio.sleep(0.01)
            tasks.start_soon(waiter.run, subject.gateway.app)
            await anyio.sleep(0.1)
            waiter.leave()
            await anyio.sleep(0.05)
            holder.leave()
    whole, wait = [span for span in collector.spans() if span.trace_id == TRACE]
    assert whole.attributes["error.type"] == "client_left"
    assert not whole.is_failed
    assert wait.name == "admission wait"
    assert wait.end_s == whole.end_s
    assert wait.end_s - wait.start_s >= 0.09


@pytest.mark.parametrize(
    ("ratio", "traceparent", "is_exported"),
    [(0, None, False), (0, SAMPLED, True), (0, UNSAMPLED, False), (1, None, True), (1, UNSAMPLED, False)],
)
async def test_the_caller_decides_what_is_recorded_and_else_the_ratio(
    collector: Collector, ratio: float, traceparent: str | None, is_exported: bool
) -> None:
    runpod = answering()
    async with traced(runpod, collector, traces={"sample_ratio": ratio}) as subject:
        await subject.post(stream=True, headers={"traceparent": traceparent} if traceparent else {})
    assert bool(collector.spans()) is is_exported
    told = read_traceparent(runpod.headers[0]["traceparent"].encode())
    assert told is not None
    assert told.is_sampled is is_exported
    assert (f"{told.trace_id:032x}" == TRACE) is (traceparent is not None)


async def test_about_the_ratio_is_recorded(collector: Collector) -> None:
    places = TraceExporter(
        endpoint=collector.url, headers={}, sample_ratio=0.25, service_name="x", clock=FakeClock(), say=print
    )
    begun = [places.begin(OPENAI_EMBEDDINGS, [], 2.0) for _ in range(4000)]
    await places.aclose()
    assert 850 < sum(each.own.is_sampled for each in begun) < 1150
    assert len({each.own.trace_id for each in begun}) == 4000
    assert begun[0].received_at_s == FakeClock().unix_s() - 2.0


@pytest.mark.parametrize("value", [SAMPLED.upper(), SAMPLED + "-x", "x" * 20_000, f"00-{'0' * 32}-{SPAN}-01"])
async def test_a_malformed_header_is_ignored(collector: Collector, value: str) -> None:
    runpod = answering()
    async with traced(runpod, collector) as subject:
        call = await subject.post(stream=True, headers={"traceparent": value})
    assert call.status == 200
    whole = the_request(collector.spans())
    assert whole.parent_id == ""
    assert whole.trace_id not in {TRACE, "0" * 32}


async def test_two_headers_are_as_good_as_none(collector: Collector) -> None:
    async with traced(answering(), collector) as subject:
        call = subject.call(stream=True)
        call.scope["headers"] += [(b"traceparent", SAMPLED.encode())] * 2
        await call.run(subject.gateway.app)
    assert the_request(collector.spans()).parent_id == ""


async def test_who_has_no_key_leaves_no_spans(collector: Collector) -> None:
    async with traced(answering(), collector) as subject:
        call = await subject.post(key="fp-of-a-stranger", headers={"traceparent": SAMPLED})
    assert call.status == 401
    assert collector.requests == []


async def test_nothing_that_was_said_and_no_key_is_exported(collector: Collector) -> None:
    async with traced(answering(), collector, traces={"headers": {"x-key": "a-collectors-key"}}) as subject:
        for stream in (True, False):
            await subject.post(stream=stream, messages=[{"role": "user", "content": "my question"}], user="my-user")
        await subject.post("/v1/completions", prompt="my question")
        await subject.post("/v1/embeddings", input="my question")
    sent = b"".join(body for _, _, body in collector.requests)
    names = {span.name for span in collector.spans() if span.kind == SERVER}
    assert names == {"chat m", "text_completion m", "embeddings m"}
    for word in (
        b"my question",
        b"my-user",
        b"Hello",
        b"there",
        KEY.encode(),
        RUNPOD_KEY.encode(),
        b"a-collectors-key",
    ):
        assert word not in sent, word
    SUITE.check("what is exported", sent.decode("utf-8", errors="replace"))


async def test_a_repeated_request_has_a_span_of_its_own(collector: Collector) -> None:
    async with traced(answering(), collector) as subject:
        for _ in range(2):
            await subject.post(stream=True, headers={"idempotency-key": "k"})
    wholes = [span for span in collector.spans() if span.kind == SERVER]
    assert len({span.trace_id for span in wholes}) == 2
    assert [span.attributes.get("fairpod.job_id") for span in wholes] == ["job-1", None]


async def test_the_log_names_the_trace(collector: Collector, capfd: pytest.CaptureFixture[str]) -> None:
    async with traced(answering(), collector) as subject:
        await subject.post(stream=True, headers={"traceparent": SAMPLED})
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "exchange.settled" in line]
    assert f'"trace_id": "{TRACE}"' in line
