"""What a worker is asked for a request of the Responses API, and what the client is told of it."""

import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import InvalidRequestError
from gateway.translate.request import worker_fields
from gateway.translate.responses.request import read_responses_request
from gateway.translate.responses.response_object import ObjectEncoder
from gateway.wire.json_bounds import DEPTH_MAX
from tests.effort import tries
from tests.factories import plain
from tests.translate.responses.events import asked

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
CODEX: dict[str, Any] = {
    "instructions": "You are a coding agent.",
    "input": [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Sandbox: read-only."}]},
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Be brief."}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "List the files."}]},
        {"type": "reasoning", "id": "rs_1", "summary": [], "content": None, "encrypted_content": "gAAA"},
        {
            "type": "function_call", "id": "fc_1", "status": "completed", "name": "exec_command",
            "arguments": '{"cmd":"ls"}', "call_id": "call_1",
        },
        {"type": "function_call_output", "id": "fco_1", "call_id": "call_1", "output": "README.md"},
    ],
    "tools": [
        *(
            {"type": "function", "name": name, "description": "d", "strict": False, "parameters": SCHEMA}
            for name in ("exec_command", "write_stdin", "update_plan", "view_image", "get_goal", "set_goal", "ask")
        ),
        {
            "type": "namespace", "name": "agents", "description": "d",
            "tools": [{"type": "function", "name": "spawn", "description": "d", "strict": False, "parameters": SCHEMA}],
        },
        {"type": "web_search", "external_web_access": True},
    ],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "reasoning": {"summary": "auto"},
    "store": False,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "key",
    "client_metadata": {"x": "y"},
}  # fmt: skip
"""The shape of Codex 0.171's request after a first tool call."""


def fields(**body: Any) -> dict[str, Any]:
    """The fields of the chat request, without the model and the mark of a stream."""
    made: dict[str, Any] = plain(asked(**body).fields)
    return {name: value for name, value in made.items() if name not in {"model", "stream"}}


def test_codex_is_understood() -> None:
    request = asked(**CODEX)
    made = fields(**CODEX)
    assert set(made) == {"messages", "tools", "tool_choice", "parallel_tool_calls", "prompt_cache_key"}
    system, user, assistant, tool = made["messages"]
    assert system == {"role": "system", "content": "You are a coding agent.\n\nSandbox: read-only.\n\nBe brief."}
    assert user == {"role": "user", "content": "List the files."}
    assert assistant["content"] is None
    assert assistant["tool_calls"][0]["id"] == tool["tool_call_id"] == "call_1"
    assert len(made["tools"]) == 8
    assert made["tools"][-1]["function"]["name"] == "agents__spawn"
    assert request.dropped_tools == ("web_search",)
    assert len(plain(request.echo)["tools"]) == 9


def test_a_text_is_a_message_and_fields_that_are_unknown_pass() -> None:
    assert fields(top_k=3, temperature=0, metadata={"a": "b"}, user=None) == {
        "messages": [{"role": "user", "content": "Hello"}], "top_k": 3, "temperature": 0, "metadata": {"a": "b"},
    }  # fmt: skip


def test_fields_with_other_names_are_renamed() -> None:
    made = fields(max_output_tokens=7, reasoning={"effort": "low", "summary": "auto"}, store=True, truncation="auto")
    assert made.pop("messages")
    assert made == {"max_completion_tokens": 7, "reasoning_effort": "low"}
    assert asked(max_output_tokens=7).max_tokens == 7
    for name in ("reasoning", "text"):
        with pytest.raises(InvalidRequestError, match=f"'{name}' must be an object"):
            asked(**{name: 5})


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, {"type": "json_object"}),
        (
            {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True, "description": None},
            {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": True}},
        ),
    ],
)
def test_the_format_of_the_text_is_the_response_format(given: Any, made: Any) -> None:
    assert fields(text={"format": given, "verbosity": "low"}).get("response_format") == made
    with pytest.raises(InvalidRequestError, match=r"'text.format' must be an object"):
        asked(text={"format": "json"})


def test_log_probabilities_are_asked_for_if_they_are_wanted() -> None:
    assert fields(top_logprobs=2)["logprobs"] is True
    assert fields(include=["message.output_text.logprobs"])["logprobs"] is True
    assert set(fields(top_logprobs=0, include=[])) == {"messages"}
    assert fields(top_logprobs=0, logprobs=True)["top_logprobs"] == 0
    with pytest.raises(InvalidRequestError, match="'include' must be a list of strings"):
        asked(include=5)


def test_without_functions_nothing_is_said_of_tools() -> None:
    made = fields(tools=[{"type": "web_search"}], tool_choice="auto", parallel_tool_calls=True)
    assert set(made) == {"messages"}


def test_a_stream_asks_the_worker_for_its_usage_whatever_the_client_sent() -> None:
    request = asked(stream_options={"include_obfuscation": False})
    assert plain(worker_fields(request, upstream_model="x"))["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize(
    ("given", "param", "code"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id", "previous_response_not_found"),
        ({"background": True}, "background", "unsupported_value"),
        ({"conversation": "conv_1"}, "conversation", "unsupported_value"),
        ({"prompt": {"id": "p"}}, "prompt", "unsupported_value"),
        ({"context_management": [{}]}, "context_management", "unsupported_value"),
        ({"n": 2}, "n", "unsupported_value"),
        ({"input": None}, "input", "missing_required_parameter"),
        ({"input": []}, "input", "invalid_value"),
        ({"input": 5}, "input", "invalid_type"),
        ({"input": [{"type": "item_reference", "id": "i"}]}, "input[0]", "unsupported_value"),
        ({"stream": "yes"}, "stream", "invalid_type"),
        ({"model": ""}, "model", "invalid_value"),
    ],
)
def test_what_cannot_be_done_is_refused(given: dict[str, Any], param: str, code: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        asked(**given)
    assert (caught.value.param, caught.value.code) == (param, code)


def test_what_asks_for_nothing_is_accepted() -> None:
    assert asked(
        previous_response_id=None, background=False, conversation=None, n=1, store=True, include=None, tools=[]
    )


def test_deep_nesting_is_refused() -> None:
    deep: Any = "x"
    for _ in range(DEPTH_MAX):
        deep = [deep]
    with pytest.raises(InvalidRequestError, match="nested"):
        asked(metadata=deep)


def test_a_request_that_is_not_json_is_refused() -> None:
    for body in (b"{", b"[]", b"\xff"):
        with pytest.raises(InvalidRequestError):
            read_responses_request(body)
    assert msgspec.json.encode(asked().model) == b'"m"'


NAMES = [
    "type", "role", "content", "text", "name", "namespace", "call_id", "arguments", "output", "input", "summary",
    "refusal", "image_url", "file_data", "file_id", "tools", "function", "parameters", "mode", "format", "effort",
]  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=8,
)
KINDS = [
    "message", "function_call", "custom_tool_call", "function_call_output", "reasoning", "item_reference", "function",
    "custom", "namespace", "web_search", "allowed_tools", "input_text", "output_text", "refusal", "input_image",
    "input_file", "json_schema", "text",
]  # fmt: skip
OBJECTS = st.dictionaries(st.sampled_from(NAMES), VALUES | st.sampled_from(KINDS), max_size=6)
TYPED = st.builds(lambda kind, fields: {"type": kind, **fields}, st.sampled_from(KINDS), OBJECTS)
BODIES = st.fixed_dictionaries(
    {"input": st.text(max_size=3) | st.lists(TYPED, min_size=1, max_size=4) | VALUES},
    optional={
        **dict.fromkeys(("tools", "include"), st.lists(TYPED, max_size=3) | VALUES),
        **dict.fromkeys(("tool_choice", "text", "reasoning", "instructions"), TYPED | VALUES),
        **dict.fromkeys(("top_logprobs", "max_output_tokens", "n", "background", "stream"), VALUES),
    },
)


@settings(max_examples=tries(1000))
@given(BODIES)
def test_whatever_a_client_sends_is_read_or_refused(body: dict[str, Any]) -> None:
    """What was read can be answered: the object repeats it."""
    try:
        request = read_responses_request(msgspec.json.encode({"model": "m", **body}))
    except InvalidRequestError:
        return
    messages = plain(request.fields)["messages"]
    assert all(each["role"] in {"system", "user", "assistant", "tool"} for each in messages)
    opened = ObjectEncoder(request, answer_id="resp_1", created_s=1).open()
    assert msgspec.json.decode(opened)["status"] == "in_progress"


@pytest.mark.parametrize("text", ["\\ud800", "\\ud800x", "a\\udc00"])
def test_a_string_that_is_not_unicode_is_refused_or_passed_on(text: str) -> None:
    body = f'{{"model":"m","instructions":"{text}","input":[{{"role":"system","content":"{text}"}}]}}'
    with contextlib.suppress(InvalidRequestError):
        read_responses_request(body.encode())
