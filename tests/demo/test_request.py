"""What the worker accepts, what it passes on, what it refuses."""

import json

import pytest

from gateway.demo.request import CHAT_STOPS, MAX_TOKENS_DEFAULT, ListModels, RequestError, read

MESSAGES = [{"role": "user", "content": "hi"}]


def chat(**fields):
    return read({"openai_route": "/v1/chat/completions", "openai_input": {"messages": MESSAGES, **fields}})


def text(**fields):
    return read({"openai_route": "/v1/completions", "openai_input": {"prompt": "hi", **fields}})


def test_a_chat_always_streams_and_stops_at_the_next_question():
    body = json.loads(chat(stop="end").body)
    assert body["stream"] is True
    assert body["stop"] == ["end", *CHAT_STOPS]
    assert body["messages"] == MESSAGES
    assert body["max_tokens"] == MAX_TOKENS_DEFAULT


def test_a_continuation_has_only_the_stops_it_asks_for():
    assert json.loads(text().body)["stop"] == []
    assert json.loads(text(stop=["a", "b"]).body)["stop"] == ["a", "b"]


def test_sampling_fields_are_passed_on_and_others_are_not():
    body = json.loads(chat(temperature=0, top_p=0.5, seed=7, n=2, user="u", grammar="x", id_slot=3).body)
    assert {name: body[name] for name in ("temperature", "top_p", "seed", "n")} == {
        "temperature": 0, "top_p": 0.5, "seed": 7, "n": 2,
    }  # fmt: skip
    assert not {"user", "grammar", "id_slot"} & set(body)


def test_max_completion_tokens_is_the_newer_name_and_wins():
    assert json.loads(chat(max_tokens=5, max_completion_tokens=3).body)["max_tokens"] == 3


def test_stream_and_usage_are_read():
    request = chat(stream=True, stream_options={"include_usage": True})
    assert (request.stream, request.includes_usage) == (True, True)
    assert not chat().includes_usage


def test_the_model_list_is_a_route():
    assert read({"openai_route": "/v1/models"}) == ListModels()


@pytest.mark.parametrize(
    ("fields", "message", "status"),
    [
        ({"messages": []}, "at least one message", 400),
        ({"messages": "hi"}, "messages", 400),
        ({"messages": [{"role": "user", "content": "\ud800"}]}, "surrogates", 400),
        ({"max_tokens": 0}, "max_tokens", 400),
        ({"temperature": "hot"}, "temperature", 400),
        ({"n": 5}, "`int` <= 4", 400),
        ({"tools": [{"type": "function"}]}, "tools", 400),
        ({"model": "other"}, "`other` does not exist", 404),
    ],
)
def test_what_cannot_be_done_is_refused(fields, message, status):
    with pytest.raises(RequestError, match=message) as refusal:
        chat(**fields)
    assert refusal.value.status == status


@pytest.mark.parametrize("fields", [{"prompt": ""}, {"logprobs": 1}])
def test_what_cannot_be_continued_is_refused(fields):
    with pytest.raises(RequestError):
        text(**fields)


@pytest.mark.parametrize("job_input", [None, "x", {}, {"openai_route": "/v1/audio"}, {"prompt": "raw vLLM shape"}])
def test_other_inputs_are_refused(job_input):
    with pytest.raises(RequestError):
        read(job_input)
