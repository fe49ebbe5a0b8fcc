from typing import Any

import pytest

from gateway.errors import OutputLostError
from gateway.translate.messages.events import BlockDelta, BlockEvent, BlockStart
from gateway.translate.messages.reader import MessageReader
from gateway.wire.openai import decode_string
from tests.factories import fields_of
from tests.translate.messages.shapes import request


def read(*said: dict[str, Any], reason: str = "stop", **ending: Any) -> tuple[list[BlockEvent], dict[str, Any]]:
    """The events of these deltas, and why the message ended."""
    reader = MessageReader(request(stop_sequences=["END"]))
    events = [event for each in said for event in reader.read(fields_of(each))]
    last_events, stop = reader.end(fields_of({"finish_reason": reason, **ending}))
    return events + last_events, stop


def texts(events: list[BlockEvent]) -> list[tuple[str, str]]:
    return [(event.kind, decode_string(event.text)) for event in events if isinstance(event, BlockDelta)]


def call(arguments: str, **more: Any) -> dict[str, Any]:
    return {"tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}, **more}]}


def test_each_kind_of_content_has_its_block() -> None:
    events, stop = read({"content": "Yes.", "reasoning": "hm"})
    assert texts(events) == [("thinking", "hm"), ("text", "Yes.")]
    assert stop == {"stop_reason": "end_turn", "stop_sequence": None}


@pytest.mark.parametrize("delta", [{"reasoning_content": "a"}, {"reasoning": "a", "reasoning_content": "a"}])
def test_both_names_of_the_reasoning_are_one_thought(delta: dict[str, str]) -> None:
    assert texts(read(delta)[0]) == [("thinking", "a")]


@pytest.mark.parametrize("delta", [{"content": None}, {"content": ""}, {"reasoning": {"odd": 1}}, {"tool_calls": []}])
def test_what_is_no_text_is_no_block(delta: dict[str, Any]) -> None:
    assert read(delta)[0] == []


def test_a_refusal_is_text_and_a_reason() -> None:
    events, stop = read({"content": None, "refusal": "No."})
    assert texts(events) == [("text", "No.")]
    assert stop["stop_reason"] == "refusal"
    assert read({"refusal": "No"}, reason="length")[1]["stop_reason"] == "max_tokens"


def test_a_call_may_come_in_fragments_or_whole() -> None:
    more = {"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]}
    for said, expected in (([call('{"a":', index=0), more], ['{"a":', "1}"]), ([call('{"a":1}')], ['{"a":1}'])):
        events, stop = read(*said)
        assert events[0] == BlockStart(0, {"type": "tool_use", "id": "c", "name": "f", "input": {}})
        assert texts(events) == [("tool_use", each) for each in expected]
        assert stop["stop_reason"] == "tool_use"


def test_a_call_of_a_kind_that_was_not_offered_has_nothing_to_tell() -> None:
    events, stop = read({"tool_calls": [{"index": 0, "id": "c", "type": "custom", "custom": {"name": "f"}}]})
    assert (events, stop["stop_reason"]) == ([], "end_turn")


@pytest.mark.parametrize("name", ["stop_reason", "matched_stop"])
def test_where_it_stopped_is_told(name: str) -> None:
    assert read({"content": "a"}, **{name: "END"})[1] == {"stop_reason": "stop_sequence", "stop_sequence": "END"}


def test_only_the_maximum_of_tokens_may_cut_a_call() -> None:
    assert read(call('{"a":'), reason="length")[1]["stop_reason"] == "max_tokens"
    with pytest.raises(OutputLostError, match="not a JSON object"):
        read(call('{"a":'))
