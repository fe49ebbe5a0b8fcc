"""Streams of the Responses API through whole exchanges: silence, attempts that fail, and failures after the head."""

from typing import Any

import anyio
import httpx

from gateway.exchange.client_response import KeepAliveIntervals
from tests.fakes.asgi import AsgiCall
from tests.fakes.runpod import FakeRunpod
from tests.subject import PAGES, Subject, event, running
from tests.translate.responses.events import Client, events

QUICK = KeepAliveIntervals(comment_s=0.03, chunk_s=0.1, blank_s=0.03)
KEEP_ALIVE = b": keep-alive\n\n"
COLD: list[Any] = [("IN_QUEUE", []), ("IN_QUEUE", [])]
FAILS = {"status": "FAILED", "error": "boom"}


def told(call: AsgiCall) -> list[dict[str, Any]]:
    """The events of a stream, without comments."""
    assert call.status == 200
    assert call.is_complete
    return events(call.body.replace(KEEP_ALIVE, b""))


def call_of(subject: Subject, **more: Any) -> AsgiCall:
    return subject.call("/v1/responses", input="Hi", stream=True, **more)


async def respond(subject: Subject, **more: Any) -> AsgiCall:
    call = call_of(subject, **more)
    with anyio.fail_after(30):
        await call.run(subject.gateway.app)
    return call


class SlowRelay(FakeRunpod):
    """Its OpenAI route fails after a silence, before any output."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if "/openai/" in request.url.path:
            await anyio.sleep(1.0)
            raise httpx.ConnectError("refused")
        return await super().handle_async_request(request)


async def test_a_silent_stream_shows_life_and_then_answers() -> None:
    silence: list[Any] = [("IN_PROGRESS", [])]
    runpod = FakeRunpod(pages=[*COLD, *PAGES[:2], *silence, *PAGES[2:]])
    async with running(runpod, intervals=QUICK) as subject:
        call = await respond(subject)
    assert call.body.startswith(KEEP_ALIVE)
    seen = told(call)
    assert sum(each["type"] == "response.in_progress" for each in seen) > 3
    client = Client().read(seen)
    assert client.output == client.final["output"]
    assert client.final["output"][0]["content"][0]["text"] == "Hello there"


async def test_an_attempt_that_fails_in_silence_leaves_no_gap_to_the_next() -> None:
    runpod = SlowRelay(pages=list(PAGES), health={"running": 1})
    async with running(runpod, intervals=QUICK, endpoint={"route": "auto"}) as subject:
        assert (await subject.post(stream=True)).status == 200
        await anyio.sleep(0.01)
        call = await respond(subject)
    seen = told(call)
    assert [each["type"] for each in seen].count("response.created") == 1
    assert [each["type"] for each in seen].count("response.in_progress") > 2
    assert Client().read(seen).final["status"] == "completed"
    assert runpod.count("run") == 2


async def test_a_failure_in_silence_is_a_failed_response() -> None:
    runpod = FakeRunpod(pages=[*COLD, ("FAILED", [])])
    runpod.status = FAILS
    async with running(runpod, intervals=QUICK) as subject:
        final = Client().read(told(await respond(subject))).final
    assert (final["status"], final["output"], final["error"]["code"]) == ("failed", [], "server_error")


async def test_a_failure_in_the_page_of_good_outputs_loses_none_of_them() -> None:
    broken = event(delta={}, finish_reason="error")
    pages: list[Any] = [*PAGES[:2], ("IN_PROGRESS", [event(delta={"content": " the"}) + broken])]
    async with running(FakeRunpod(pages=pages), intervals=QUICK) as subject:
        client = Client().read(told(await respond(subject)))
    assert client.final["status"] == "failed"
    assert client.final["output"][0]["content"][0]["text"] == client.output[0]["content"][0]["text"] == "Hello the"


async def test_all_who_joined_are_told_the_same_failure() -> None:
    runpod = FakeRunpod(pages=[*PAGES[:2], ("FAILED", [])])
    runpod.status = FAILS
    async with running(runpod) as subject:
        calls = [call_of(subject, headers={"idempotency-key": "k"}) for _ in range(3)]
        async with anyio.create_task_group() as tasks:
            for call in calls:
                tasks.start_soon(call.run, subject.gateway.app)
        assert len({call.body for call in calls}) == 1
        assert Client().read(told(calls[0])).final["status"] == "failed"
        assert runpod.count("run") == 1
        assert subject.held() == {}


async def test_those_who_join_a_silent_one_all_see_its_beginning() -> None:
    """An idle event is sent to one client, and would be missing from the others' streams and from every replay."""
    async with running(FakeRunpod(pages=[*COLD, *PAGES]), intervals=QUICK) as subject:
        calls = [call_of(subject, headers={"idempotency-key": "k"}) for _ in range(2)]
        async with anyio.create_task_group() as tasks:
            for call in calls:
                tasks.start_soon(call.run, subject.gateway.app)
        replay = await respond(subject, headers={"idempotency-key": "k"})
        for call in (*calls, replay):
            assert Client().read(told(call)).final["status"] == "completed"
        assert calls[0].body.startswith(KEEP_ALIVE)
        assert replay.headers["idempotent-replayed"] == "true"


async def test_a_whole_response_and_its_errors_are_those_of_http() -> None:
    runpod = FakeRunpod(pages=list(PAGES))
    async with running(runpod) as subject:
        good = await subject.post("/responses", input="Hi", tools=[{"type": "web_search"}])
        assert (good.status, good.json["output"][0]["content"][0]["text"]) == (200, "Hello there")
        assert good.headers["x-fairpod-dropped-tools"] == "web_search"
        assert good.json["id"] == f"resp_{good.headers['x-request-id']}"
        runpod.status, runpod.pages = FAILS, [("FAILED", [])]
        assert (await subject.post("/v1/responses", input="Hi")).status == 502
        assert (await subject.post("/v1/responses", input="Hi", stream=True)).status == 502
        refused = await subject.post("/v1/responses", input="Hi", background=True)
        assert (refused.status, refused.json["error"]["param"]) == (400, "background")
        missing = await subject.post("/v1/responses/resp_1/cancel")
        assert (missing.status, missing.json["error"]["code"]) == (404, "unknown_url")
