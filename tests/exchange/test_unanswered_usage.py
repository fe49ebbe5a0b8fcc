"""A prompt that a worker may have read is charged, whether or not its client stays for the answer."""

from typing import Any

import anyio
import httpx
import pytest

from gateway.config.keys import key_line
from gateway.domain import EndpointState, Usage
from gateway.endpoints.gpu_time import AttemptCost, GpuTime
from gateway.errors import GatewayError, JobFailedError, NoWorkerError, UnreachableError, UpstreamTimeoutError
from gateway.exchange.unanswered_usage import unanswered_usage
from tests.factories import attempt
from tests.fakes.clock import FakeClock
from tests.fakes.runpod import FakeRunpod
from tests.stacks import KEY
from tests.subject import EVENTS, Subject, event, running

PROMPT = Usage(prompt_tokens=7, is_estimate=True)
CAP = 10_000
WAITING: list[Any] = [("IN_QUEUE", [])] * 1000
WORKING: list[Any] = [("IN_PROGRESS", [])] * 1000


class Attempts:
    def __init__(self) -> None:
        self.gpu = GpuTime(FakeClock(), lambda _event: None)
        self.cost = AttemptCost(attempt(), lambda _gpu_s: None)

    def usage(self, error: GatewayError | None = None) -> Usage | None:
        return unanswered_usage(self.cost, error, prompt_tokens=7)


def test_what_was_never_handed_over_costs_nothing() -> None:
    attempts = Attempts()
    assert attempts.usage() is None
    attempts.cost.open(attempts.gpu)
    attempts.cost.close(was_sent=False)
    assert attempts.usage() is None


def test_what_is_left_costs_its_prompt_unless_it_was_seen_to_wait() -> None:
    attempts = Attempts()
    time = attempts.cost.open(attempts.gpu)
    assert attempts.usage() == PROMPT
    time.queued()
    assert attempts.usage() is None
    time.started()
    assert attempts.usage() == PROMPT
    time.queued()
    assert attempts.usage() == PROMPT


@pytest.mark.parametrize(
    "error",
    [
        NoWorkerError(waited_s=1, state=EndpointState.WARM),
        JobFailedError("x"),
        UnreachableError("x", was_sent=True),
    ],
)
def test_a_failure_upstream_costs_nothing(error: GatewayError) -> None:
    attempts = Attempts()
    time = attempts.cost.open(attempts.gpu)
    assert attempts.usage(error) is None
    time.started()
    assert attempts.usage(error) is None


def test_a_worker_that_uses_up_its_time_costs_the_prompt() -> None:
    attempts = Attempts()
    time = attempts.cost.open(attempts.gpu)
    assert attempts.usage(UpstreamTimeoutError()) is None
    time.started()
    assert attempts.usage(UpstreamTimeoutError()) == PROMPT


def charged(subject: Subject) -> int:
    reading = subject.gateway._keys.quotas["acme"].tokens_reading(subject.gateway._clock.monotonic_s())
    assert reading is not None
    # To the nearest: the bucket fills while the request is served.
    return CAP - reading.remaining


async def left(runpod: FakeRunpod, *, after_s: float = 0.5, prompt: str = "Hi", **asked: Any) -> int:
    """Return the tokens that a tenant is charged whose client leaves after so long."""
    tenants = [{"name": "acme", "keys": [key_line(KEY)], "tokens_per_minute": CAP}]
    endpoint = {"route": asked.pop("route", "job"), "execution_timeout_s": 5, "cold_start_timeout_s": 5}
    async with running(runpod, endpoint=endpoint, tenants=tenants) as subject:
        call = subject.call(messages=[{"role": "user", "content": prompt}], **asked)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call.run, subject.gateway.app)
            await anyio.sleep(after_s)
            call.leave()
        return charged(subject)


PROMPT_4000 = "word " * 3200


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_before_the_first_output_pays_for_its_prompt(stream: bool) -> None:
    assert 3800 <= await left(FakeRunpod(pages=WORKING), prompt=PROMPT_4000, stream=stream) <= 4100


async def test_a_client_that_leaves_while_its_job_waits_pays_nothing() -> None:
    assert await left(FakeRunpod(pages=WAITING), prompt=PROMPT_4000, stream=True) == 0


async def test_a_whole_answer_that_is_left_is_charged_by_what_the_worker_wrote() -> None:
    pages: list[Any] = [("IN_PROGRESS", [EVENTS[0], event(delta={"content": "x" * 8000})]), *WORKING]
    assert 1900 <= await left(FakeRunpod(pages=pages), stream=False) <= 2100


@pytest.mark.parametrize("name", ["content", "reasoning_content", "reasoning", "refusal", "odd_field"])
async def test_every_part_of_a_stream_that_is_left_counts_as_a_token_at_least(name: str) -> None:
    parts = [event(delta={name: "x"}) for _ in range(1500)]
    runpod = FakeRunpod(pages=[("IN_PROGRESS", [EVENTS[0], *parts]), *WORKING])
    assert 1400 <= await left(runpod, stream=True) <= 1600


@pytest.mark.parametrize("name", ["content", "reasoning_content", "reasoning", "refusal"])
async def test_every_text_of_a_stream_that_is_left_counts_by_its_size(name: str) -> None:
    runpod = FakeRunpod(pages=[("IN_PROGRESS", [EVENTS[0], event(delta={name: "x" * 8000})]), *WORKING])
    assert 1900 <= await left(runpod, stream=True) <= 2100


async def test_tool_calls_of_a_stream_that_is_left_count() -> None:
    calls = [{"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "x" * 8000}}]
    runpod = FakeRunpod(pages=[("IN_PROGRESS", [EVENTS[0], event(delta={"tool_calls": calls})]), *WORKING])
    assert 1900 <= await left(runpod, stream=True) <= 2200


async def test_a_try_that_is_refused_does_not_make_the_one_before_it_free() -> None:
    """What the first endpoint's worker wrote is charged although the second endpoint cannot be reached."""
    pages: list[Any] = [("IN_PROGRESS", [EVENTS[0], event(delta={"content": "x" * 8000})]), ("FAILED", [])]
    runpod = FakeRunpod(pages=pages)
    refused = [httpx.ConnectError("refused") for _ in range(10)]
    runpod.answers = {"run": [(200, b'{"id":"job-1","status":"IN_QUEUE"}'), *refused]}
    runpod.running = {"job-1": 0}
    tenants = [{"name": "acme", "keys": [key_line(KEY)], "tokens_per_minute": CAP}]
    endpoints = [
        {"name": name, "id": "ep1", "base_url": "http://127.0.0.1:1/v2", "api_key": "k", "route": "job"}
        for name in ("first", "second")
    ]
    models = [{"id": "m", "endpoint": ["first", "second"]}]
    async with running(runpod, endpoints=endpoints, models=models, tenants=tenants) as subject:
        call = await subject.post()
        assert (call.status, call.headers["x-fairpod-endpoint"]) == (502, "second")
        assert 1800 <= charged(subject) <= 2100
