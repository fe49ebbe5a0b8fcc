import tracemalloc
from typing import Any

import msgspec
import pytest

from gateway.apis import CHAT_COMPLETIONS, COMPLETIONS, EMBEDDINGS, Api
from gateway.errors import InvalidRequestError
from gateway.translate.request import (
    COMPLETION_TOKENS_GUESS,
    read_request,
    tokens_to_reserve,
    tool_names,
    worker_fields,
)
from tests.factories import client_request, plain


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        (b"", None, "invalid_json"),
        (b"{", None, "invalid_json"),
        (b"null", None, "invalid_type"),
        (b"[]", None, "invalid_type"),
        (b'"x"', None, "invalid_type"),
        (b"\xff\xfe", None, "invalid_json"),
        (b'{"model":"m","messages":[{"content":"\xff"}]}', None, "invalid_json"),
        (b"[" * 200_000, None, "invalid_json"),
        (b'{"model":"m","messages":' + b"[" * 200_000, None, "invalid_json"),
        (b'{"model":"m","messages":[{}],"temperature":NaN}', None, "invalid_json"),
        (b"{}", "model", "missing_required_parameter"),
        (b'{"model":"m"}', "messages", "missing_required_parameter"),
        (b'{"model":3,"messages":[{}]}', "model", "invalid_type"),
        (b'{"model":"","messages":[{}]}', "model", "invalid_value"),
        (b'{"model":"m","messages":"hi"}', "messages", "invalid_type"),
        (b'{"model":"m","messages":null}', "messages", "invalid_type"),
        (b'{"model":"m","messages":[]}', "messages", "invalid_value"),
        (b'{"model":"m","messages":[ \n ]}', "messages", "invalid_value"),
        (b'\xef\xbb\xbf{"model":"m","messages":[{}]}', None, "invalid_json"),
        (b'{"model":"m","messages":[{"content":"\\ud800"}]}', None, "invalid_json"),
        (b'{"model":"m","messages":[{"content":"\x00"}]}', None, "invalid_json"),
        (b'{"model":"m","messages":[{}],"max_tokens":1' + b"0" * 100_000 + b"}", "max_tokens", "invalid_type"),
        (b'{"model":"m","messages":[{}],"max_tokens":1e999}', "max_tokens", "invalid_type"),
        (b'{"model":"m","messages":[{}],"x":' + b"[" * 200 + b"]" * 200 + b"}", None, "invalid_json"),
        (b'{"model":"m","messages":[{}],"n":0}', "n", "invalid_value"),
        (b'{"model":"m","messages":[{}],"n":1000}', "n", "invalid_value"),
        (b'{"model":"m","messages":[{}],"n":"two"}', "n", "invalid_type"),
        (b'{"model":"m","messages":[{}],"stream":"yes"}', "stream", "invalid_type"),
        (b'{"model":"m","messages":[{}],"stream_options":[]}', "stream_options", "invalid_type"),
        (b'{"model":"m","messages":[{}],"encoding_format":"hex"}', "encoding_format", "invalid_value"),
    ],
)
def test_a_bad_body_is_explained(body: bytes, param: str | None, code: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        read_request(CHAT_COMPLETIONS, body)
    assert (caught.value.param, caught.value.code) == (param, code)


def test_the_message_names_types_and_never_values() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        read_request(CHAT_COMPLETIONS, b'{"model":"m","messages":"a secret prompt"}')
    assert "secret" not in caught.value.reason


def test_each_api_needs_its_own_field() -> None:
    for api, name in ((COMPLETIONS, "prompt"), (EMBEDDINGS, "input")):
        with pytest.raises(InvalidRequestError) as caught:
            read_request(api, b'{"model":"m"}')
        assert caught.value.param == name


def test_unknown_fields_reach_the_worker_untouched() -> None:
    extra = {"top_k": 5, "chat_template_kwargs": {"enable_thinking": False}, "guided_json": {"a": [1, 2.50]}}
    body = plain(worker_fields(client_request(**extra), upstream_model="org/real"))
    assert body.items() >= extra.items()
    assert body["model"] == "org/real"


def test_numbers_keep_their_digits() -> None:
    request = read_request(CHAT_COMPLETIONS, b'{"model":"m","messages":[{}],"seed":12345678901234567890,"t":1.10}')
    body = msgspec.json.encode(worker_fields(request, upstream_model="m"))
    assert b'"seed":12345678901234567890' in body
    assert b'"t":1.10' in body


def test_a_stream_always_asks_for_usage() -> None:
    asked = worker_fields(client_request(stream=True), upstream_model="m")
    assert plain(asked)["stream_options"] == {"include_usage": True}
    asked = worker_fields(
        client_request(stream=True, stream_options={"include_usage": False, "continuous_usage_stats": True}),
        upstream_model="m",
    )
    assert plain(asked)["stream_options"] == {"include_usage": True, "continuous_usage_stats": True}


def test_stream_options_without_a_stream_are_dropped() -> None:
    request = client_request(stream_options={"include_usage": True})
    assert "stream_options" not in worker_fields(request, upstream_model="m")
    assert not request.wants_usage


def test_the_newer_name_of_the_length_wins() -> None:
    assert client_request(max_tokens=5, max_completion_tokens=7).max_tokens == 7
    assert client_request(max_tokens=5).max_tokens == 5
    assert client_request().max_tokens is None


@pytest.mark.parametrize("tokens", [0, -1])
def test_a_length_is_the_worker_s_to_judge(tokens: int) -> None:
    """0 with `echo` asks for the prompt alone (vllm#9336), -1 for no maximum (llama-cpp-python#111)."""
    request = client_request(COMPLETIONS, max_tokens=tokens)
    assert request.max_tokens == tokens
    assert plain(worker_fields(request, upstream_model="m"))["max_tokens"] == tokens


@pytest.mark.parametrize(
    ("api", "field", "code"),
    [
        (COMPLETIONS, {"prompt": None}, "missing_required_parameter"),
        (COMPLETIONS, {"prompt": []}, "invalid_value"),
        (COMPLETIONS, {"prompt": {}}, "invalid_type"),
        (EMBEDDINGS, {"input": None}, "missing_required_parameter"),
        (EMBEDDINGS, {"input": []}, "invalid_value"),
        (EMBEDDINGS, {"input": 5}, "invalid_type"),
    ],
)
def test_what_no_worker_can_answer_costs_no_job(api: Api, field: dict[str, Any], code: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        client_request(api, **field)
    assert (caught.value.param, caught.value.code) == (next(iter(field)), code)


@pytest.mark.parametrize(
    ("prompt", "count"),
    [("x", 1), ("", 1), (["x", "y"], 2), ([1, 2, 3], 1), ([[1, 2], [3]], 2), (["x"], 1), ([" [", "]"], 2)],
)
def test_choices_are_expected_for_each_prompt(prompt: Any, count: int) -> None:
    assert client_request(COMPLETIONS, prompt=prompt).expected_choices == count
    assert client_request(COMPLETIONS, prompt=prompt, n=3).expected_choices == 3 * count
    # Embeddings know no `n`.
    assert client_request(EMBEDDINGS, input=prompt, n=3).expected_choices == count
    assert client_request(n=2).expected_choices == 2


@pytest.mark.parametrize(
    ("fields", "choices"),
    [
        ({"prompt": "x"}, 1),
        ({"prompt": ["x"] * 100}, 100),
        ({"prompt": [[1]] * 100, "n": 3}, 300),
        ({"prompt": "x", "n": 128}, 128),
        ({"prompt": "x", "n": 2, "best_of": 20}, 20),
        ({"prompt": ["x"] * 3, "n": 5, "best_of": "2"}, 15),
        ({"prompt": ["x"] * 3, "best_of": -7}, 3),
    ],
)
def test_every_prompt_and_every_sequence_is_reserved_for(fields: dict[str, Any], choices: int) -> None:
    given = client_request(COMPLETIONS, max_tokens=1000, **fields)
    assert tokens_to_reserve(given) == given.prompt_tokens + 1000 * choices
    for unbounded in (None, -1):
        guessed = client_request(COMPLETIONS, max_tokens=unbounded, **fields)
        assert tokens_to_reserve(guessed) == guessed.prompt_tokens + COMPLETION_TOKENS_GUESS * choices


def test_all_prompts_of_a_request_are_reserved_for() -> None:
    for api, name in ((COMPLETIONS, "prompt"), (EMBEDDINGS, "input")):
        one, many = (client_request(api, max_tokens=0, **{name: ["x" * 400] * count}) for count in (1, 100))
        assert tokens_to_reserve(many) == pytest.approx(100 * tokens_to_reserve(one), rel=0.02)
    assert tokens_to_reserve(client_request(EMBEDDINGS, input=["x" * 400] * 100)) >= 10_000
    assert tokens_to_reserve(client_request(n=4, max_completion_tokens=50)) >= 200


def test_vllm_s_other_prompts_are_taken() -> None:
    messages = [{"role": "user", "content": "x"}]
    embedded = client_request(EMBEDDINGS, input=..., messages=messages)
    assert embedded.expected_choices == 1
    assert plain(worker_fields(embedded, upstream_model="m"))["messages"] == messages
    assert client_request(EMBEDDINGS, input=None, messages=messages).expected_choices == 1
    for prompt in (..., None):
        assert client_request(COMPLETIONS, prompt=prompt, prompt_embeds=["AAAA", "BBBB"]).expected_choices == 2
        assert client_request(COMPLETIONS, prompt=prompt, prompt_embeds="AAAA").expected_choices == 1
    for api, field in ((EMBEDDINGS, {"input": ..., "messages": []}), (COMPLETIONS, {"prompt": ...})):
        with pytest.raises(InvalidRequestError):
            client_request(api, **field)


def test_the_names_of_tools_are_read_where_they_can_be() -> None:
    tools = [{"type": "function", "function": {"name": name}} for name in ("f", "g", "")] + [{"type": "x"}]
    assert tool_names(client_request(tools=tools)) == {"f", "g"}
    for odd in (None, 5, [5], [{"function": 5}]):
        assert tool_names(client_request(tools=odd)) == frozenset()
    assert tool_names(client_request()) == frozenset()


def test_embeddings_never_stream() -> None:
    assert not client_request(EMBEDDINGS, stream=True).stream


def test_of_a_field_that_comes_twice_only_the_last_reaches_the_worker() -> None:
    request = read_request(CHAT_COMPLETIONS, b'{"model":"a","n":9,"messages":[{}],"model":"b","n":1}')
    assert (request.model, request.n) == ("b", 1)
    assert msgspec.json.encode(worker_fields(request, upstream_model="m")).count(b'"n"') == 1


def test_a_list_of_very_many_things_is_not_taken_apart() -> None:
    tracemalloc.start()
    read_request(CHAT_COMPLETIONS, b'{"model":"m","messages":[' + b"1," * 1_000_000 + b"1]}")
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 20_000_000
