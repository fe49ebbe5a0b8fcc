"""Whatever JSON one of Anthropic's clients sends, and whatever chunks a worker: a message, or one of our errors."""

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import GatewayError, InvalidRequestError
from gateway.exchange.answer import understanding
from gateway.translate.messages.request import read_messages_request
from gateway.translate.messages.stream import MessageWriter
from tests.factories import fields_of
from tests.fuzz.cases import CASES, TIMEOUT, fuzzed
from tests.fuzz.replies import ODD, changed, encode
from tests.translate.messages.shapes import call, chunk, message_of, read_events, request, usage_chunk

IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAA="}}
ASKED: dict[str, Any] = {
    "model": "m",
    "max_tokens": 5,
    "stream": True,
    "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "Hi"}, IMAGE]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}},
            ],
        },
        {"role": "system", "content": "Be kind."},
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t", "is_error": True, "content": [IMAGE]},
                {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}},
                {"type": "search_result", "source": "s", "title": "t", "content": [{"type": "text", "text": "c"}]},
            ],
        },
    ],
    "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}}, {"type": "web_search_20250305"}],
    "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": True},
    "stop_sequences": ["x"],
    "thinking": {"type": "adaptive"},
    "output_config": {"effort": "high", "format": {"type": "json_schema", "schema": {}}},
    "metadata": {"user_id": "u"},
    "top_k": 3,
}
SAID = [
    chunk(role="assistant", content=""),
    chunk(reasoning="hm"),
    chunk(content="Hello"),
    call(0, '{"a":', id="c0", name="f"),
    call(1, "{}", id="c1", name="f"),
    call(0, "1}"),
    chunk("tool_calls"),
    usage_chunk(prompt_tokens_details={"cached_tokens": 1}),
]


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """A body in which one to three things are odd."""
    asked: Any = copy.deepcopy(ASKED)
    for _ in range(draw(st.integers(1, 3))):
        asked = changed(draw, asked, ODD)
    return encode(asked)


@TIMEOUT
@fuzzed(CASES)
@given(body=bodies())
def test_every_body_is_read_or_refused(body: bytes) -> None:
    try:
        read = read_messages_request(body)
    except InvalidRequestError as error:
        assert error.reason
    else:
        assert read.model
        assert "messages" in read.fields


@TIMEOUT
@fuzzed(CASES)
@given(data=st.data())
def test_every_answer_is_a_message_or_an_error(data: st.DataObject) -> None:
    said: list[Any] = copy.deepcopy(SAID)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(said) - 1))
        odd = changed(data.draw, said[at], [each for each in ODD if not isinstance(each, str) or "@" not in each])
        if isinstance(odd, dict):
            said[at] = odd
    writer = MessageWriter(request(tools=ASKED["tools"]), answer_id="msg-1", created_s=1)
    events = b""
    try:
        with understanding:
            for each in said:
                events += writer.write(fields_of(each))
            events += writer.end()
    except GatewayError:
        assert b"message_stop" not in events
    else:
        message_of(read_events(events))
