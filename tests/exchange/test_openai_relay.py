"""The OpenAI route."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest

from gateway.config.keys import key_line
from gateway.endpoints.circuit_breaker import FAILURES_MAX
from tests.exchange.test_exchange import COMPLETION, content
from tests.fakes.asgi import AsgiCall
from tests.fakes.runpod import FakeBody, FakeRunpod
from tests.stacks import KEY
from tests.subject import CHAT, EVENTS, PAGES, Subject, event, running

RELAY = {"route": "openai"}
STREAM = "".join(EVENTS).encode()


async def test_a_stream_is_relayed_however_it_is_cut() -> None:
    for size in (1, 7, 1000):
        pieces = [STREAM[at : at + size] for at in range(0, len(STREAM), size)]
        runpod = FakeRunpod(events=pieces)
        async with running(runpod, endpoint=RELAY) as subject:
            call = await subject.post(stream=True)
        assert content(call) == "Hello there"
        assert call.events[-1] == "[DONE]"
        assert [called for called, _ in runpod.calls] == ["openai"]
        assert runpod.calls[0][1] == CHAT.removeprefix("/")
        assert runpod.bodies[0]["model"] == "org/real-model"


async def test_a_whole_answer_is_relayed() -> None:
    async with running(FakeRunpod(events=[json.dumps(COMPLETION).encode()]), endpoint=RELAY) as subject:
        call = await subject.post()
        assert call.json["model"] == "m"
        assert "x-fairpod-job-id" not in call.headers
        streamed = await subject.post(stream=True)
        assert content(streamed) == "Hello"


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, b'{"error":{"message":"bad","code":400}}', 400),
        (404, b'{"error":{"message":"no model","code":404}}', 404),
        (404, b"", 502),
        (401, b"", 502),
        (429, b"", 503),
        (524, b"<html>", 502),
        (200, b'{"error":{"message":"bad","type":"BadRequestError","code":null}}', 400),
        (200, b"<html>", 502),
        (200, b"", 502),
        (200, b'{"choices":[', 502),
    ],
)
async def test_failures_carry_the_right_status(status: int, body: bytes, expected: int) -> None:
    runpod = FakeRunpod()
    runpod.answers = {"openai": [(status, body)] * 2}
    # After a 429 the next call waits: here, too long.
    async with running(runpod, endpoint={**RELAY, "queue_timeout_s": 0.05}) as subject:
        assert (await subject.post()).status == expected
        assert (await subject.post(stream=True)).status == expected


async def test_a_201_is_an_answer_and_a_302_says_what_it_is() -> None:
    runpod = FakeRunpod()
    runpod.answers = {"openai": [(201, json.dumps(COMPLETION).encode()), (201, STREAM), (302, b"<html>")]}
    async with running(runpod, endpoint=RELAY) as subject:
        assert (await subject.post()).json["choices"][0]["message"]["content"] == "Hello"
        assert content(await subject.post(stream=True)) == "Hello there"
        moved = await subject.post(stream=True)
        assert moved.status == 502
        assert moved.json["error"]["message"] == "Runpod answered with HTTP 302: redirects are not followed"


@pytest.mark.parametrize(
    "body",
    [
        b'{"output":{"error":"400: too hot"}}',
        b'{"errors":{"temperature":["too hot"]}}',
        b'{"error_code":400,"error_msg":"too hot"}',
        b'{"title":"too hot","status":400}',
        b'{"data":null,"error":{"message":"too hot","code":400}}',
        b'{"data":null,"message":"too hot","code":400}',
    ],
)
async def test_an_error_in_a_200_is_an_error_whatever_its_shape(body: bytes) -> None:
    async with running(FakeRunpod(events=[body]), endpoint=RELAY) as subject:
        for stream in (True, False):
            call = await subject.post(stream=stream)
            assert call.status == 400
            assert call.json["error"]["message"].endswith("too hot")


async def test_an_empty_error_beside_a_good_answer_is_none() -> None:
    body = {**COMPLETION, "error": {"message": "", "type": None, "code": None}}
    async with running(FakeRunpod(events=[json.dumps(body).encode()]), endpoint=RELAY) as subject:
        call = await subject.post()
        assert call.json["choices"][0]["message"]["content"] == "Hello"
        assert "error" not in call.json


async def test_a_stream_cut_short_is_an_error_event() -> None:
    runpod = FakeRunpod(events=[EVENTS[0].encode(), EVENTS[1].encode()])
    async with running(runpod, endpoint=RELAY) as subject:
        call = await subject.post(stream=True)
    assert content(call) == "Hello"
    assert "incomplete" in call.events[-1]["error"]["message"]


DAMAGED = b'data: {"id":"x","choices":[{"index":0,"delta":{"content":"lo\n\n'
ENGINE_ERROR = b'data: {"error":{"message":"temperature is too high","code":400}}\n\n'


@pytest.mark.parametrize(
    "tail",
    [
        # A worker that fails in the middle of an event writes its error behind the part that it has written.
        DAMAGED + ENGINE_ERROR,
        DAMAGED.strip() + ENGINE_ERROR,
        DAMAGED.strip() + ENGINE_ERROR.strip(),
        b"event: error\n" + ENGINE_ERROR,
        b'error: {"message": "temperature is too high", "code": 400}\n\n',
        ENGINE_ERROR + b"data: [DONE]\n\n",
    ],
)
async def test_a_damaged_event_does_not_hide_the_worker_s_own_error(tail: bytes) -> None:
    first = "".join(EVENTS[:2]).encode()
    async with running(FakeRunpod(events=[first, tail[:90], tail[90:]]), endpoint=RELAY) as subject:
        call = await subject.post(stream=True)
    assert content(call) == "Hello"
    assert call.events[-1]["error"]["message"] == "temperature is too high"


async def test_content_after_a_damaged_event_is_lost_output() -> None:
    pieces = [*(each.encode() for each in EVENTS[:2]), DAMAGED, *(each.encode() for each in EVENTS[2:])]
    async with running(FakeRunpod(events=pieces), endpoint=RELAY) as subject:
        call = await subject.post(stream=True)
        assert content(call) == "Hello"
        assert call.events[-1]["error"]["message"] == "The worker's answer is not valid JSON."
        assert (await subject.post()).status == 502


@pytest.mark.parametrize("cut", range(1, 8))
async def test_an_answer_that_begins_again_is_not_told_twice_wherever_it_was_cut(cut: int) -> None:
    """A worker died, and the next one began again: `data:` of the one before `data: {…}` of the other."""
    again = [event("second", delta={"role": "assistant", "content": ""}), event("second", delta={"content": "Hello"})]
    first = [event("first", **part) for part in ({"delta": {"role": "assistant"}}, {"delta": {"content": "Hello"}})]
    pieces = [*first, event("first", delta={"content": " there"})[:cut], *again, event("second", finish_reason="stop")]
    async with running(FakeRunpod(events=[each.encode() for each in pieces]), endpoint=RELAY) as subject:
        call = await subject.post(stream=True)
    assert content(call) == "Hello"
    assert "error" in call.events[-1]


@pytest.mark.parametrize("odd", [b"data: ping\n\n", b"data: null\n\n", b"data: 5\n\n", b"ping\n\n", b"data: []\n\n"])
async def test_a_frame_that_is_no_part_of_an_answer_does_not_end_it(odd: bytes) -> None:
    pieces = [piece for each in EVENTS for piece in (odd, each.encode())]
    async with running(FakeRunpod(events=pieces), endpoint=RELAY) as subject:
        for stream in (True, False):
            call = await subject.post(stream=stream)
            assert (content(call) if stream else call.json["choices"][0]["message"]["content"]) == "Hello there"


async def test_damage_after_the_end_of_the_answer_is_harmless() -> None:
    pieces = [*(each.encode() for each in EVENTS[:4]), DAMAGED]
    async with running(FakeRunpod(events=pieces), endpoint=RELAY) as subject:
        for stream in (True, False):
            call = await subject.post(stream=stream)
            assert (content(call) if stream else call.json["choices"][0]["message"]["content"]) == "Hello there"


async def test_a_missing_end_mark_is_forgiven_after_a_finish_reason() -> None:
    runpod = FakeRunpod(events=[each.encode() for each in EVENTS[:4]])
    async with running(runpod, endpoint=RELAY) as subject:
        assert (await subject.post(stream=True)).events[-1] == "[DONE]"


async def test_auto_takes_the_job_route_until_a_worker_has_shown_itself() -> None:
    runpod = FakeRunpod(pages=list(PAGES), events=[STREAM])
    async with running(runpod, endpoint={"route": "auto"}) as subject:
        assert (await subject.post(stream=True)).headers.get("x-fairpod-job-id")
        for _ in range(20):
            assert "x-fairpod-job-id" not in (await subject.post(stream=True)).headers
        assert runpod.count("health") == 0


async def test_auto_moves_to_the_job_route_when_nothing_was_started() -> None:
    runpod = FakeRunpod(pages=list(PAGES), health={"running": 1})
    failures: list[Any] = [(429, b""), httpx.ConnectError("refused")]
    async with running(runpod, endpoint={"route": "auto"}) as subject:
        await subject.post(stream=True)
        await anyio.sleep(0.01)
        for failure in failures:
            runpod.answers = {"openai": [failure]}
            call = await subject.post(stream=True)
            assert content(call) == "Hello there"
        runpod.answers = {"openai": [(524, b"<html>")]}
        # A worker may be at it already: no second job is started.
        assert (await subject.post(stream=True)).status == 502


class SlowRunpod(FakeRunpod):
    """One whose relayed requests are answered after `delay_s`."""

    delay_s = 0.0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if "/openai/" in request.url.path:
            await anyio.sleep(self.delay_s)
        return await super().handle_async_request(request)


BUDGETS = {"route": "openai", "cold_start_timeout_s": 5, "execution_timeout_s": 12}


def slow(delay_s: float, *, workers: int) -> SlowRunpod:
    runpod = SlowRunpod(events=[json.dumps(COMPLETION).encode()], health={"running": workers, "idle": 1})
    runpod.delay_s = delay_s
    return runpod


async def timed(subject: Subject, *, stream: bool) -> tuple[AsgiCall, float]:
    call, began_s = subject.call(stream=stream), anyio.current_time()
    with anyio.fail_after(100):
        await call.run(subject.gateway.app)
    return call, anyio.current_time() - began_s


@pytest.mark.parametrize("stream", [True, False])
async def test_without_a_worker_it_waits_as_long_as_a_job_does_and_shuts_out_nobody(*, stream: bool) -> None:
    async with running(slow(1000, workers=0), endpoint=BUDGETS) as subject:
        for _ in range(FAILURES_MAX + 1):
            call, waited_s = await timed(subject, stream=stream)
            assert (call.status, round(waited_s)) == (503, 5)
            assert call.json["error"]["code"] == "server_is_overloaded"
            assert "provisioned but scaled down" in call.json["error"]["message"]
            assert int(call.headers["retry-after"]) >= 1
        assert not subject.gateway._upstreams["chat"].is_down
        await anyio.sleep(1)
        assert subject.held() == {}


async def test_a_whole_answer_may_take_its_time_where_a_worker_has_it() -> None:
    async with running(slow(9, workers=1), endpoint=BUDGETS) as subject:
        call, _ = await timed(subject, stream=False)
        assert call.status == 200


async def test_a_stream_has_to_show_something_whoever_has_it() -> None:
    async with running(slow(9, workers=1), endpoint=BUDGETS) as subject:
        call, waited_s = await timed(subject, stream=True)
        assert (call.status, round(waited_s)) == (503, 5)


async def test_a_whole_answer_that_takes_too_long_is_not_said_to_be_cancelled() -> None:
    async with running(slow(1000, workers=1), endpoint=BUDGETS) as subject:
        for _ in range(FAILURES_MAX + 1):
            call, waited_s = await timed(subject, stream=False)
            assert call.status == 504
            assert 12 <= waited_s <= 14
            assert "cancelled" not in call.json["error"]["message"]
        assert not subject.gateway._upstreams["chat"].is_down


async def test_a_start_that_takes_too_long_on_one_route_is_not_waited_for_on_the_other() -> None:
    runpod = slow(1000, workers=0)
    async with running(runpod, endpoint={**BUDGETS, "route": "auto"}) as subject:
        upstream = subject.gateway._upstreams["chat"]
        upstream.workers.evidence_at_s = upstream.now_s
        call, waited_s = await timed(subject, stream=False)
        assert (call.status, round(waited_s), runpod.count("run")) == (503, 5, 0)


async def test_the_relay_of_a_request_that_times_out_on_the_line_shuts_out_nobody() -> None:
    runpod = FakeRunpod()
    runpod.answers = {"openai": [httpx.ReadTimeout("slow") for _ in range(2 * FAILURES_MAX)]}
    async with running(runpod, endpoint=RELAY) as subject:
        for _ in range(FAILURES_MAX + 1):
            assert (await subject.post()).status == 502
        assert not subject.gateway._upstreams["chat"].is_down


ABANDONED = [event(delta={"content": "Hello"}).encode()]


class RunningOn(FakeRunpod):
    """A Runpod on which a relayed request runs on when its caller is gone, and shows no more output."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        if "/openai/" in request.url.path:
            self.relayed_running += 1
            response.stream = Silent(response.stream, self.events)
        return response


class Silent(httpx.AsyncByteStream):
    """Some bytes of a body, and then nothing more."""

    def __init__(self, body: Any, pieces: list[bytes]) -> None:
        self._body = body
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece
        await anyio.sleep_forever()

    async def aclose(self) -> None:
        await self._body.aclose()


async def leave_one(subject: Subject, *, stream: bool = True) -> None:
    call = subject.call(stream=stream)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call.run, subject.gateway.app)
        await anyio.sleep(2)
        call.leave()


@pytest.mark.parametrize("events", [ABANDONED, []])
async def test_a_request_that_was_left_holds_seat_and_place_until_health_shows_that_it_is_over(
    events: list[bytes],
) -> None:
    runpod = RunningOn(events=events, health={"running": 1})
    tenants = [{"name": "acme", "keys": [key_line(KEY)], "max_in_flight": 1}]
    async with running(runpod, endpoint=RELAY, tenants=tenants) as subject:
        upstream = subject.gateway._upstreams["chat"]
        await leave_one(subject)
        await anyio.sleep(20)
        assert subject.held() == {"work held": {"acme": 1}}
        assert (await subject.post()).status == 429
        # Its tenant is charged for as long as its worker may be busy with it.
        assert upstream.gpu.running == 1
        runpod.relayed_running = 0
        await anyio.sleep(1)
        assert subject.held() == {}
        assert upstream.gpu.running == 0


async def test_what_health_does_not_tell_is_held_until_the_longest_time_of_a_request() -> None:
    runpod = RunningOn(events=ABANDONED)
    runpod.answers = {"health": [(500, b"")] * 10_000}
    endpoint = {**RELAY, "cold_start_timeout_s": 50, "execution_timeout_s": 100}
    async with running(runpod, endpoint=endpoint) as subject:
        await leave_one(subject)
        await anyio.sleep(95)
        assert subject.held() == {"work held": {"acme": 1}}
        await anyio.sleep(10)
        assert subject.held() == {}


async def test_jobs_of_requests_under_way_are_not_taken_for_one_that_was_left() -> None:
    runpod = RunningOn(events=ABANDONED, health={"running": 2})
    async with running(runpod, endpoint=RELAY) as subject, anyio.create_task_group() as tasks:
        tasks.start_soon(subject.call(stream=True).run, subject.gateway.app)
        await anyio.sleep(2)
        await leave_one(subject)
        await anyio.sleep(5)
        assert subject.held()["work held"] == {"acme": 2}
        runpod.relayed_running = 1
        await anyio.sleep(1)
        assert subject.held()["work held"] == {"acme": 1}
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("reply", [httpx.ReadError("broken"), (502, b"<html>"), (200, b"<html>")])
async def test_a_job_whose_submission_was_not_answered_may_run_and_holds_a_seat(reply: Any) -> None:
    runpod = FakeRunpod()
    runpod.answers = {"run": [reply]}
    runpod.relayed_running = 1
    async with running(runpod) as subject:
        assert (await subject.post()).status >= 500
        await anyio.sleep(5)
        assert subject.held() == {"work held": {"acme": 1}}
        runpod.relayed_running = 0
        await anyio.sleep(1)
        assert subject.held() == {}


class EndlessRunpod(FakeRunpod):
    """Every relayed request is answered with the same piece once a second, for ever."""

    def __init__(self, piece: bytes) -> None:
        super().__init__()
        self._piece = piece

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        if "/openai/" in request.url.path:
            response.stream = EndlessBody(self._piece, self._closed)
        return response


class EndlessBody(FakeBody):
    def __init__(self, piece: bytes, on_close: Callable[[], None]) -> None:
        super().__init__([], on_close)
        self._piece = piece

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            await anyio.sleep(1)
            yield self._piece


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("piece", [b": comment\n\n", b" ", b"\n", b"x"])
async def test_an_answer_that_trickles_without_an_end_is_over_when_its_time_is(piece: bytes, stream: bool) -> None:
    times = {"cold_start_timeout_s": 3, "execution_timeout_s": 3}
    async with running(EndlessRunpod(piece), endpoint=RELAY | times) as subject:
        began_s = anyio.current_time()
        call = await subject.post(stream=stream)
        assert call.status in {502, 504}
        assert anyio.current_time() - began_s <= 6.5
        # /health shows that its job is over.
        await anyio.sleep(1)
        assert subject.held() == {}
