import json

import msgspec
import pytest

from gateway.emulator.script.requests import Kind, UnknownInputError, read_request, texts


def read(job_input: dict):
    return read_request(json.dumps(job_input).encode())


@pytest.mark.parametrize(
    ("route", "kind"),
    [
        ("/v1/chat/completions", Kind.CHAT),
        ("v1/completions", Kind.COMPLETION),
        ("/v1/embeddings", Kind.EMBEDDING),
        ("/v1/models", Kind.MODELS),
        ("/v1/models/org/name", Kind.MODELS),
    ],
)
def test_both_passthroughs_name_their_route(route, kind):
    body = {"messages": [{"role": "user", "content": "x"}]}
    assert read({"openai_route": route, "openai_input": body}).kind is kind
    assert read({"route": route, "body": body}).kind is kind


def test_a_get_has_no_body():
    assert read({"openai_route": "/v1/models"}).kind is Kind.MODELS
    assert read({"openai_route": "/v1/models", "openai_input": None}).kind is Kind.MODELS


@pytest.mark.parametrize("job_input", [{}, {"text": "x"}, {"openai_route": "/v1/audio", "openai_input": {}}])
def test_an_input_that_no_worker_takes(job_input):
    with pytest.raises(UnknownInputError):
        read(job_input)


def test_a_field_of_the_wrong_type_is_refused():
    with pytest.raises(msgspec.ValidationError, match="messages"):
        read({"openai_route": "/v1/chat/completions", "openai_input": {"messages": "x"}})


def test_a_raw_input_only_heeds_its_sampling_params():
    request = read(
        {"prompt": "x", "max_tokens": 5, "stream": True, "sampling_params": {"max_tokens": 7, "n": 2, "stop": "y"}}
    )
    assert (request.kind, request.is_raw) == (Kind.COMPLETION, True)
    assert (request.model_request.max_tokens, request.model_request.n, request.model_request.stops) == (7, 2, ["y"])


def test_images_are_ignored_and_parts_are_joined():
    parts = [{"type": "text", "text": "what is"}, {"type": "image_url", "image_url": {"url": "data:"}}, "this"]
    request = read({"messages": [{"role": "user", "content": parts}]})
    assert request.model_request.text == "what is  this"


def test_the_text_is_the_last_user_message():
    messages = [
        {"role": "user", "content": "a"},
        {"role": "user", "content": "b"},
        {"role": "assistant", "content": None},
    ]
    assert read({"messages": messages}).model_request.text == "b"


def test_steering_words_in_the_message_or_the_model_name():
    body = {
        "model": "m#fail=handler",
        "messages": [{"role": "user", "content": "#fail-after=2 #interval=0.5 #deaths=1"}],
    }
    steering = read({"openai_route": "/v1/chat/completions", "openai_input": body}).steering
    assert (steering.fail, steering.fail_after, steering.interval, steering.deaths) == ("handler", 2, 0.5, 1)


def test_a_steering_word_that_makes_no_sense_is_ignored():
    assert read({"prompt": "#fail-after=many"}).steering.fail_after is None


@pytest.mark.parametrize(
    ("text", "read_as"),
    [
        (None, []),
        ("a b", ["a b"]),
        (["a", "b"], ["a", "b"]),
        ([1, 2], ["1 2"]),
        ([[1, 2], [3]], ["1 2", "3"]),
        ([], []),
    ],
)
def test_texts_and_token_ids(text, read_as):
    assert texts(text) == read_as
