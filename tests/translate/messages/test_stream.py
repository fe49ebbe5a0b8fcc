"""The events of a stream, and the flaws of other gateways that each made a client fail or ask twice."""

from typing import Any

import pytest

from gateway.errors import JobFailedError, OutputLostError
from gateway.translate.chunk_template import ChunkTemplate
from gateway.translate.messages.stream import MessageWriter
from tests.factories import fields_of
from tests.translate.messages.shapes import call, chunk, message_of, read_events, request, usage_chunk, written

ROLE = chunk(role="assistant", content="")
END = chunk("stop")


def content(*chunks: dict[str, Any]) -> list[dict[str, Any]]:
    return message_of(written(*chunks))["content"]


def writer(**asked: Any) -> MessageWriter:
    return MessageWriter(request(**asked), answer_id="msg-1", created_s=1)


def test_the_events_of_a_text() -> None:
    events = written(ROLE, chunk(content="Hel"), chunk(content="lo"), END, usage_chunk())
    assert [event["type"] for event in events] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    start, *_, delta, _ = events
    message = start["message"]
    assert (message["id"], message["type"], message["role"], message["model"]) == ("msg_1", "message", "assistant", "m")
    assert (message["content"], message["stop_reason"], message["stop_sequence"]) == ([], None, None)
    assert message["usage"]["input_tokens"] == message["usage"]["output_tokens"] == 0
    assert delta["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    assert (delta["usage"]["input_tokens"], delta["usage"]["output_tokens"]) == (9, 4)


def test_the_input_is_told_at_the_start_if_the_worker_counted_it_by_then() -> None:
    first = {**ROLE, "usage": {"prompt_tokens": 9, "completion_tokens": 0}}
    assert written(first, chunk(content="a"), END)[0]["message"]["usage"]["input_tokens"] == 9


def test_usage_is_told_even_if_the_worker_never_counted() -> None:
    usage = message_of(written(chunk(content="x" * 40), END))["usage"]
    assert usage["output_tokens"] == 10
    assert usage["input_tokens"] > 0


def test_text_after_the_last_count_is_estimated() -> None:
    made = writer()
    made.write(fields_of({**chunk(content="a"), "usage": {"prompt_tokens": 9, "completion_tokens": 1}}))
    assert made.settled_usage().completion_tokens == 1
    made.write(fields_of(chunk(content="x" * 40)))
    usage = made.settled_usage()
    assert (usage.prompt_tokens, usage.completion_tokens, usage.is_estimate) == (9, 11, True)
    made.write(fields_of(usage_chunk()))
    made.write(fields_of(END))
    assert made.is_whole
    assert made.settled_usage().completion_tokens == 4


def test_silence_is_broken_by_a_ping_at_any_place() -> None:
    made = writer()
    data = made.idle() + made.write(fields_of(ROLE)) + made.idle() + made.write(fields_of(chunk(content="a")))
    events = read_events(data + made.idle() + made.write(fields_of(END)) + made.end())
    assert [event["type"] for event in events].count("ping") == 3
    assert message_of(events)["content"] == [{"type": "text", "text": "a"}]


def test_choices_that_nobody_asked_for_are_not_told() -> None:
    other = {"choices": [{"index": 1, "delta": {"content": "x"}, "finish_reason": None}]}
    assert content(chunk(content="a"), other, END) == [{"type": "text", "text": "a"}]


def test_a_chunk_without_choices_has_no_events() -> None:
    assert writer().write(fields_of({"choices": []})) == b""


def test_a_worker_that_restarts_its_answer_is_a_failure() -> None:
    made = writer()
    for said in ({"role": "assistant", "content": "a"}, {"content": "b"}):
        made.write(fields_of({**chunk(**said), "id": "first"}))
    with pytest.raises(OutputLostError, match="restarted"):
        made.write(fields_of({**chunk(role="assistant", content="a"), "id": "second"}))


@pytest.mark.parametrize("chunks", [[ROLE], [ROLE, call(0, '{"a":', id="c", name="f"), chunk("tool_calls")]])
def test_what_is_not_whole_has_no_end(chunks: list[Any]) -> None:
    made = writer()
    for each in chunks:
        made.write(fields_of(each))
    with pytest.raises(OutputLostError):
        made.end()


def test_a_worker_that_gives_up_is_a_failure() -> None:
    made = writer()
    made.write(fields_of(chunk(content="a")))
    with pytest.raises(JobFailedError):
        made.write(fields_of(chunk("abort")))


ARGUMENTS = '{"city": "Ōsaka", "days": [1, 2]}'
INPUT = {"city": "Ōsaka", "days": [1, 2]}


def tool_use(number: int = 0, given: Any = None) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"c{number}", "name": "f", "input": INPUT if given is None else given}


def test_arguments_that_come_with_the_name_are_not_lost() -> None:
    assert content(call(0, ARGUMENTS, id="c0", name="f"), chunk("tool_calls")) == [tool_use()]


def test_arguments_in_many_pieces_are_not_lost_where_the_block_changes() -> None:
    letters = [call(0, letter) for letter in ARGUMENTS]
    following = [call(1, id="c1", name="f"), *[call(1, letter) for letter in ARGUMENTS]]
    chunks = [chunk(content="Let me see."), call(0, id="c0", name="f"), *letters, *following, chunk("tool_calls")]
    assert content(*chunks) == [{"type": "text", "text": "Let me see."}, tool_use(0), tool_use(1)]


def test_interleaved_calls_are_two_blocks() -> None:
    asked = request(tools=[{"name": "f", "input_schema": {}}])
    chunks = [call(0, id="c0", name="f"), call(1, id="c1", name="f")]
    chunks += [call(number, letter) for letter in ARGUMENTS for number in (1, 0)]
    events = written(*chunks, chunk("tool_calls"), asked=asked)
    assert message_of(events)["content"] == [tool_use(0), tool_use(1)]


def test_an_empty_list_of_calls_is_no_call() -> None:
    assert content(chunk(content="a", tool_calls=[]), END) == [{"type": "text", "text": "a"}]


def test_a_call_without_arguments_has_an_input() -> None:
    for said in ("", "{}", "null"):
        assert content(call(0, said, id="c0", name="f"), chunk("tool_calls")) == [tool_use(given={})]


def test_an_empty_text_before_a_call_is_no_block() -> None:
    assert content(ROLE, chunk(content=""), call(0, ARGUMENTS, id="c0", name="f"), chunk("tool_calls")) == [tool_use()]


def test_reasoning_is_a_block_of_its_own_in_the_only_message() -> None:
    events = written(chunk(role="assistant", content="", reasoning="h"), chunk(reasoning="m"), chunk(content="Y"), END)
    assert [event["type"] for event in events].count("message_start") == 1
    assert message_of(events)["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": "fairpod"},
        {"type": "text", "text": "Y"},
    ]


def test_the_text_of_the_first_chunk_is_not_lost() -> None:
    assert content(chunk(role="assistant", content="Hel"), chunk(content="lo"), END) == [
        {"type": "text", "text": "Hello"}
    ]


def test_the_text_of_the_last_chunk_is_not_lost() -> None:
    assert content(chunk(content="Hel"), chunk("stop", content="lo")) == [{"type": "text", "text": "Hello"}]


def test_a_whole_answer_in_one_chunk_is_a_stream() -> None:
    whole = {"choices": [{"index": 0, "message": {"content": "Hello"}, "finish_reason": "stop"}]}
    assert content(whole) == [{"type": "text", "text": "Hello"}]


def test_a_repeated_chunk_is_written_without_reading_it_once_its_block_is_open() -> None:
    template = ChunkTemplate({}, b'[{"index":0,"finish_reason":null,"delta":{"content":"', b'"}}]')
    fast, plain = writer(), writer()
    for number in range(4):
        text = b"word %d" % number
        assert fast.write_templated(template, text) == plain.write(template.filled(text))
        # The first one also begins the message and its block.
        assert (fast._template is template) is (number > 0)
    assert fast.text_bytes == plain.text_bytes
