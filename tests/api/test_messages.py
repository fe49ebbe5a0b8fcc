"""A message from its request to its end, where the endpoint is cold, fails or is slow."""

from typing import Any

from gateway.exchange.client_response import KeepAliveIntervals
from tests.fakes.asgi import AsgiCall
from tests.fakes.runpod import FakeRunpod
from tests.subject import PAGES, running
from tests.translate.messages.shapes import message_of, read_events

QUICK = KeepAliveIntervals(comment_s=0.03, chunk_s=0.1, blank_s=0.03)
COLD: list[Any] = [("IN_QUEUE", []), ("IN_QUEUE", [])]
FAILS = {"status": "FAILED", "error": "boom"}


async def asked(*pages: Any, status: dict[str, Any] | None = None, **fields: Any) -> tuple[AsgiCall, FakeRunpod]:
    """A request whose job has these pages."""
    runpod = FakeRunpod(pages=list(pages))
    runpod.status = status or runpod.status
    async with running(runpod, intervals=QUICK) as subject:
        call = await subject.post("/v1/messages", max_tokens=9, **fields)
        # A job that failed for us may still run: its seat is held until it is cancelled.
        await subject.gateway.exchanges._services.jobs.flush()
        assert subject.held() == {}
    return call, runpod


def events_of(call: AsgiCall) -> list[dict[str, Any]]:
    """The events, without comments."""
    frames = call.body.split(b"\n\n")[:-1]
    return read_events(b"".join(frame + b"\n\n" for frame in frames if not frame.startswith(b":")))


async def test_a_cold_stream_pings_and_then_answers() -> None:
    call, runpod = await asked(*COLD, *PAGES, stream=True)
    events = events_of(call)
    assert events[0]["type"] == "ping"
    message = message_of(events)
    assert message["content"] == [{"type": "text", "text": "Hello there"}]
    assert message["id"] == f"msg_{call.headers['request-id']}"
    assert call.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert runpod.bodies[0]["input"]["openai_route"] == "/v1/chat/completions"
    assert runpod.bodies[0]["input"]["openai_input"]["max_tokens"] == 9


async def test_a_cold_whole_answer_is_one_message() -> None:
    call, _ = await asked(*COLD, *PAGES, stream=False)
    assert call.body.startswith(b"\n")
    assert (call.json["content"], call.json["stop_reason"]) == ([{"type": "text", "text": "Hello there"}], "end_turn")
    assert call.json["usage"]["output_tokens"] == 2


async def test_a_failure_before_the_first_byte_has_a_status() -> None:
    call, _ = await asked(("FAILED", []), status=FAILS, stream=True)
    assert (call.status, call.json["error"]["type"]) == (502, "api_error")
    assert call.json["request_id"] == call.headers["request-id"]


async def test_a_failure_after_it_is_an_event_and_no_end() -> None:
    for pages in ([*COLD, ("FAILED", [])], [*PAGES[:2], *COLD, ("FAILED", [])]):
        call, _ = await asked(*pages, status=FAILS, stream=True)
        events = events_of(call)
        assert call.status == 200
        assert (events[-1]["type"], events[-1]["error"]["type"]) == ("error", "api_error")
        assert not {"message_delta", "message_stop"} & {event["type"] for event in events}


async def test_a_stream_that_is_cut_short_is_a_failure() -> None:
    role, *_ = PAGES
    call, _ = await asked(role, *COLD, ("COMPLETED", []), stream=True)
    events = events_of(call)
    assert (events[0]["type"], events[-1]["type"]) == ("message_start", "error")


async def test_metadata_is_neither_sent_nor_a_label() -> None:
    _, runpod = await asked(*PAGES, stream=True, metadata={"user_id": "secret-user"})
    assert "secret-user" not in str(runpod.bodies)
