"""What of a body reaches the worker, under which name, and what is refused."""

from typing import Any

import pytest

from gateway.errors import InvalidRequestError
from gateway.translate.messages.request import read_count_request, read_messages_request, stop_sequences
from gateway.translate.prompt import refuse_beyond_text
from gateway.translate.request import worker_fields
from gateway.wire.openai import encode
from tests.factories import plain
from tests.translate.messages.shapes import SAY, request

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


def sent(**asked: Any) -> dict[str, Any]:
    return plain(request(**asked).fields)


def test_a_plain_request_is_a_plain_chat_completion() -> None:
    assert sent() == {"model": "m", "messages": SAY, "max_tokens": 64, "stream": True}
    assert sent(stream=...) == {"model": "m", "messages": SAY, "max_tokens": 64}


def test_what_it_interprets_is_what_a_chat_completion_interprets() -> None:
    read = request()
    assert (read.model, read.stream, read.max_tokens, read.expected_choices) == ("m", True, 64, 1)
    assert not read.wants_usage
    assert not request(stream=False).stream


def test_a_stream_asks_the_worker_for_its_usage() -> None:
    assert plain(worker_fields(request(), upstream_model="real"))["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"temperature": 0.5}, {"temperature": 0.5}),
        ({"top_p": 0.9, "top_k": 4}, {"top_p": 0.9, "top_k": 4}),
        ({"stop_sequences": ["a", "b"]}, {"stop": ["a", "b"]}),
        ({"stop_sequences": []}, {}),
        ({"min_p": 0.1, "chat_template_kwargs": {"x": 1}}, {"min_p": 0.1, "chat_template_kwargs": {"x": 1}}),
        ({"metadata": {"user_id": "u"}}, {}),
        ({"cache_control": {"type": "ephemeral"}, "service_tier": "auto", "context_management": {"edits": []}}, {}),
        ({"container": "c", "mcp_servers": [], "inference_geo": "eu", "n": 3, "stream_options": {}}, {}),
        ({"temperature": None}, {}),
        ({"output_config": {"effort": "max"}}, {"reasoning_effort": "high"}),
        ({"output_config": {"effort": "low"}, "thinking": {"type": "adaptive"}}, {"reasoning_effort": "low"}),
        ({"output_config": {"effort": "high"}, "thinking": {"type": "disabled"}}, {}),
        ({"output_config": {"effort": "unheard of"}}, {}),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, {}),
        ({"output_config": {}}, {}),
        ({"output_config": {"effort": "max"}, "reasoning_effort": "medium"}, {"reasoning_effort": "medium"}),
    ],
)
def test_fields_are_renamed_passed_or_left_out(given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert sent(**given) == sent() | expected


@pytest.mark.parametrize("place", ["output_config", "output_format"])
def test_the_form_of_an_answer(place: str) -> None:
    form = {"type": "json_schema", "schema": SCHEMA}
    given = {"format": form} if place == "output_config" else form
    assert sent(**{place: given})["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": SCHEMA},
    }


REFUSED = [
    ({"model": ...}, "model", "missing_required_parameter"),
    ({"messages": ...}, "messages", "missing_required_parameter"),
    ({"max_tokens": ...}, "max_tokens", "missing_required_parameter"),
    ({"model": ""}, "model", "invalid_value"),
    ({"model": 5}, "model", "invalid_type"),
    ({"messages": []}, "messages", "invalid_value"),
    ({"messages": "Hello"}, "messages", "invalid_type"),
    ({"max_tokens": "many"}, "max_tokens", "invalid_type"),
    ({"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]}, "messages[0].content[0].text", None),
    ({"output_format": {"type": "xml"}}, "output_config", "unsupported_value"),
]


@pytest.mark.parametrize(("given", "param", "code"), REFUSED)
def test_what_is_refused(given: dict[str, Any], param: str, code: str | None) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        request(**given)
    assert caught.value.param == param
    assert code in {None, caught.value.code}


@pytest.mark.parametrize(
    "body", [b"{", b"null", b"[]", b'{"model":"m\xff"}', b'{"a":' + b"[" * 200 + b"]" * 200 + b"}"]
)
def test_what_is_no_body(body: bytes) -> None:
    with pytest.raises(InvalidRequestError):
        read_messages_request(body)


def test_only_a_count_needs_no_maximum_of_tokens() -> None:
    body = {"model": "m", "messages": SAY}
    assert read_count_request(encode(body)).max_tokens is None


def test_tokens_are_estimated_by_the_whole_prompt_and_not_by_the_size_of_images() -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 400_000}}
    assert request(system="x" * 4000).prompt_tokens > 1000
    assert request(tools=[{"name": "f", "description": "x" * 4000, "input_schema": {}}]).prompt_tokens > 1000
    assert 1000 < request(messages=[{"role": "user", "content": [image]}]).prompt_tokens < 1100


def test_the_memory_of_a_request_is_that_of_the_larger_body() -> None:
    quotes = {"type": "tool_use", "id": "t", "name": "f", "input": {"a": '"' * 5000}}
    body = encode({"model": "m", "max_tokens": 1, "messages": [{"role": "assistant", "content": [quotes]}]})
    read = read_messages_request(body)
    assert read.body_bytes > len(body)
    assert request(metadata={"user_id": "u" * 5000}).body_bytes > 5000


def test_a_worker_that_only_continues_text_is_not_given_tools() -> None:
    refuse_beyond_text(request())
    with pytest.raises(InvalidRequestError, match="tools"):
        refuse_beyond_text(request(tools=[{"name": "f", "input_schema": {}}]))


def test_the_texts_that_end_an_answer() -> None:
    assert stop_sequences(request()) == frozenset()
    assert stop_sequences(request(stop_sequences=["a"])) == {"a"}
