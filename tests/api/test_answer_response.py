"""Signs of life, and failures after the first byte."""

import asyncio
from typing import Any

import anyio

from gateway.exchange.client_response import KeepAliveIntervals
from tests.fakes.asgi import AsgiCall
from tests.fakes.runpod import FakeRunpod
from tests.subject import PAGES, running

QUICK = KeepAliveIntervals(comment_s=0.03, chunk_s=0.1, blank_s=0.03)
COLD: list[Any] = [("IN_QUEUE", []), ("IN_QUEUE", [])]
FAILS = {"status": "FAILED", "error": "boom"}


async def silent_first(*pages: Any, stream: bool, status: dict[str, Any] | None = None) -> AsgiCall:
    """A request whose job is cold for a while."""
    runpod = FakeRunpod(pages=[*COLD, *pages])
    runpod.status = status or runpod.status
    async with running(runpod, intervals=QUICK) as subject:
        return await subject.post(stream=stream)


async def test_a_cold_stream_shows_life_and_then_answers() -> None:
    call = await silent_first(*PAGES, stream=True)
    frames = call.body.split(b"\n\n")
    assert frames[0] == b": keep-alive"
    chunks = [each for each in call.events if isinstance(each, dict)]
    idle = [each for each in chunks if each["choices"][0]["delta"] == {} and not each["choices"][0]["finish_reason"]]
    assert len(idle) >= 2
    assert call.events[-1] == "[DONE]"
    assert {each["id"] for each in chunks} == {chunks[0]["id"]}


async def test_every_silence_is_counted_from_its_own_beginning() -> None:
    silence: list[Any] = [("IN_PROGRESS", [])]
    call = await silent_first(PAGES[0], *silence, PAGES[1], *silence, *PAGES[2:], stream=True)
    chunks = [each for each in call.events if isinstance(each, dict)]
    is_idle = [each["choices"][0]["delta"] == {} and not each["choices"][0]["finish_reason"] for each in chunks]
    assert "".join("i" if idle else "x" for idle in is_idle).strip("i").count("xi") == 2


async def test_a_sign_that_is_slow_to_be_read_keeps_its_place() -> None:
    """What the exchange writes waits behind it; and a client that goes meanwhile takes its job along."""
    runpod = FakeRunpod(pages=[("IN_QUEUE", []), ("IN_QUEUE", []), *PAGES])
    async with running(runpod, intervals=QUICK) as subject:
        call = subject.call(stream=True)
        send = call.send

        async def slow(message: dict[str, Any]) -> None:
            if b": keep-alive" in message.get("body", b""):
                await anyio.sleep(0.5)
            await send(message)

        call.send = slow  # type: ignore[method-assign]
        with anyio.fail_after(5):
            await call.run(subject.gateway.app)
        assert call.body.startswith(b": keep-alive")
        assert call.events[-1] == "[DONE]"


async def test_a_client_that_goes_while_a_sign_is_written_counts_as_gone() -> None:
    runpod = FakeRunpod(pages=[("IN_QUEUE", [])] * 1000)
    async with running(runpod, intervals=QUICK) as subject:
        call = subject.call(stream=True)

        async def stuck(_message: dict[str, Any]) -> None:
            call.leave()
            await anyio.sleep_forever()

        with anyio.fail_after(5):
            await subject.gateway.app(call.scope, call.receive, stuck)  # type: ignore[arg-type]
            await subject.gateway.exchanges._services.jobs.flush()
        assert subject.held() == {}
        assert runpod.running == {}


async def test_a_failure_after_a_sign_of_life_is_an_event() -> None:
    call = await silent_first(("FAILED", []), stream=True, status=FAILS)
    assert call.status == 200
    assert "error" in call.events[-1]
    assert call.is_complete


async def test_a_cold_whole_answer_begins_with_blank_lines() -> None:
    completion = {"choices": [{"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}]}
    call = await silent_first(("COMPLETED", [completion]), stream=False)
    assert call.body.startswith(b"\n")
    assert "content-length" not in call.headers
    assert call.json["choices"][0]["message"]["content"] == "x"


async def test_a_late_failure_of_a_whole_answer_breaks_the_connection() -> None:
    call = await silent_first(("FAILED", []), stream=False, status=FAILS)
    assert call.status == 200
    assert not call.is_complete
    assert b"error" not in call.body


async def test_a_quick_answer_shows_no_life_before_it() -> None:
    async with running(FakeRunpod(pages=list(PAGES)), intervals=QUICK) as subject:
        call = await subject.post(stream=True)
    assert b": keep-alive" not in call.body


async def test_a_bug_is_told_to_the_log_and_not_to_the_client() -> None:
    class Broken(FakeRunpod):
        def _page(self, job_id: str) -> dict[str, Any]:
            raise ZeroDivisionError(job_id)

    async with running(Broken(pages=list(PAGES))) as subject:
        call = await subject.post(stream=True)
        assert call.status == 500
        assert call.json["error"]["code"] == "server_error"
        assert b"ZeroDivision" not in call.body
        assert b"gateway_bugs_total 1.0" in subject.gateway._metrics.render()[0]
        with anyio.fail_after(2):
            await subject.gateway.exchanges._services.jobs.flush()
        assert subject.held() == {}


async def test_a_bug_in_mid_stream_ends_with_an_error_event() -> None:
    class Broken(FakeRunpod):
        def _page(self, job_id: str) -> dict[str, Any]:
            page = super()._page(job_id)
            if self.running.get(job_id, 0) > 2:
                raise ZeroDivisionError(job_id)
            return page

    async with running(Broken(pages=list(PAGES))) as subject:
        call = await subject.post(stream=True)
        assert call.events[-1]["error"]["code"] == "server_error"
        assert call.is_complete
        assert b"gateway_bugs_total 1.0" in subject.gateway._metrics.render()[0]


async def test_a_client_that_leaves_after_its_answer_cancels_nothing() -> None:
    runpod = FakeRunpod(pages=list(PAGES))
    async with running(runpod) as subject:
        call = subject.call(stream=True)
        call.on_send = lambda: call.leave() if call.is_complete else None
        with anyio.fail_after(5):
            await call.run(subject.gateway.app)
        await asyncio.sleep(0.01)
        assert runpod.count("cancel") == 0
        assert runpod.count("status") == 1
        assert b'outcome="completed"' in subject.gateway._metrics.render()[0]
