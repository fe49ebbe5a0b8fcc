from typing import Any

import pytest

from gateway.domain import Usage
from gateway.translate.messages.ending import stop_fields, usage_fields
from tests.factories import raw


@pytest.mark.parametrize(
    ("reason", "stopped_at", "has_tools", "expected"),
    [
        ("stop", None, False, ("end_turn", None)),
        ("stop", 128009, False, ("end_turn", None)),
        ("stop", "END", False, ("stop_sequence", "END")),
        ("stop", "other", False, ("end_turn", None)),
        # vLLM says `stop` where the client named the tool.
        ("stop", None, True, ("tool_use", None)),
        ("stop", "END", True, ("tool_use", None)),
        ("tool_calls", None, True, ("tool_use", None)),
        ("tool_calls", None, False, ("end_turn", None)),
        ("function_call", None, True, ("tool_use", None)),
        ("length", None, False, ("max_tokens", None)),
        ("length", None, True, ("max_tokens", None)),
        ("content_filter", None, False, ("refusal", None)),
        ("content_filter", None, True, ("refusal", None)),
    ],
)
def test_the_reason_of_the_end(reason: str, stopped_at: Any, has_tools: bool, expected: Any) -> None:
    stop = stop_fields(reason, raw(stopped_at), has_tools=has_tools, sequences={"END"})
    assert (stop["stop_reason"], stop["stop_sequence"]) == expected
    assert stop_fields(reason, None, has_tools=has_tools, sequences=())["stop_sequence"] is None


@pytest.mark.parametrize(
    ("counted", "cached"),
    [
        (None, 0),
        ({}, 0),
        (5, 0),
        ({"prompt_tokens_details": None}, 0),
        ({"prompt_tokens_details": {}}, 0),
        ({"prompt_tokens_details": {"cached_tokens": None}}, 0),
        ({"prompt_tokens_details": {"cached_tokens": -1}}, 0),
        ({"prompt_tokens_details": {"cached_tokens": 6}}, 6),
        ({"prompt_tokens_details": {"cached_tokens": 600}}, 10),
    ],
)
def test_cached_tokens_are_not_counted_twice(counted: Any, cached: int) -> None:
    usage = Usage(prompt_tokens=10, completion_tokens=4)
    assert usage_fields(usage, None if counted is None else raw(counted)) == {
        "input_tokens": 10 - cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached,
        "output_tokens": 4,
    }
