"""anthropic-python reads our events for what no emulated worker says: thoughts, refusals, calls in turns."""

import json
from typing import Any

import anthropic
import httpx2
import pytest
from anthropic.types import Message

from gateway.errors import OutputLostError
from gateway.translate.error_body import error_answer
from gateway.translate.messages.errors import error_event
from gateway.translate.messages.events import PING
from gateway.translate.messages.stream import MessageWriter
from tests.clients.anthropic_tools import say
from tests.factories import fields_of
from tests.translate.messages.shapes import call, chunk, request, usage_chunk

TOOLS = [{"name": "f", "input_schema": {}}]
CALLED = chunk("tool_calls")


def stream_of(*chunks: dict[str, Any], is_broken: bool = False) -> bytes:
    writer = MessageWriter(request(tools=TOOLS), answer_id="msg-1", created_s=1)
    data = PING + b"".join(writer.write(fields_of(each)) + PING for each in chunks)
    return data + (error_event(error_answer(OutputLostError("A part was lost."))) if is_broken else writer.end())


def read(data: bytes) -> Message:
    """What the SDK's helper makes of a stream."""
    headers = {"content-type": "text/event-stream"}
    transport = httpx2.MockTransport(lambda _request: httpx2.Response(200, content=data, headers=headers))
    with (
        httpx2.Client(transport=transport) as http,
        anthropic.Anthropic(base_url="http://gateway", api_key="k", max_retries=0, http_client=http) as client,
        client.messages.stream(model="m", max_tokens=9, messages=say("Hello")) as stream,
    ):
        return stream.get_final_message()


def test_thinking_then_text() -> None:
    message = read(stream_of(chunk(reasoning="h"), chunk(reasoning="m"), chunk(content="Yes."), chunk("stop")))
    thinking, text = message.content
    assert (thinking.type, thinking.thinking, thinking.signature) == ("thinking", "hm", "fairpod")
    assert (text.type, text.text, message.stop_reason) == ("text", "Yes.", "end_turn")


ARGUMENTS = json.dumps({"city": "Ōsaka"})
HEADS = [call(number, id=f"c{number}", name="f") for number in range(2)]


@pytest.mark.parametrize(
    "chunks",
    [
        [call(0, ARGUMENTS, id="c0", name="f"), call(1, ARGUMENTS, id="c1", name="f")],
        [*HEADS, *[call(number, letter) for letter in ARGUMENTS for number in range(2)]],
        [HEADS[0], *[call(0, letter) for letter in ARGUMENTS], HEADS[1], *[call(1, letter) for letter in ARGUMENTS]],
    ],
    ids=["with the name", "in turns", "one after the other"],
)
def test_two_calls(chunks: list[dict[str, Any]]) -> None:
    message = read(stream_of(chunk(content="Let me see."), *chunks, CALLED, usage_chunk()))
    assert [block.type for block in message.content] == ["text", "tool_use", "tool_use"]
    assert [(block.id, block.input) for block in message.content[1:]] == [
        ("c0", {"city": "Ōsaka"}),
        ("c1", {"city": "Ōsaka"}),
    ]
    assert (message.stop_reason, message.usage.input_tokens, message.usage.output_tokens) == ("tool_use", 9, 4)


def test_a_call_without_arguments_has_an_input() -> None:
    assert read(stream_of(HEADS[0], CALLED)).content[0].input == {}


def test_a_refusal() -> None:
    message = read(stream_of(chunk(refusal="No."), chunk("stop")))
    assert (message.content[0].text, message.stop_reason) == ("No.", "refusal")


def test_a_stream_that_breaks_off_raises() -> None:
    with pytest.raises(anthropic.APIStatusError, match="lost"):
        read(stream_of(chunk(content="Hel"), is_broken=True))
