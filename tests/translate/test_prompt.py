import pytest

from gateway.apis import COMPLETIONS, EMBEDDINGS
from gateway.errors import InvalidRequestError
from gateway.translate.prompt import flatten, refuse_beyond_text, sampling_params
from tests.factories import client_request, plain

MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "Two "}, {"type": "text", "text": "parts"}]},
    {"role": "assistant", "content": None},
]


def test_a_conversation_becomes_one_prompt() -> None:
    assert flatten(client_request(messages=MESSAGES)) == "SYSTEM: Be brief.\nUSER: Two parts\nASSISTANT: \nASSISTANT:"
    assert flatten(client_request(COMPLETIONS, prompt="as it is")) == "as it is"


@pytest.mark.parametrize("messages", [[{"content": "x"}], [3], [{"role": "user", "content": 5}]])
def test_an_odd_message_is_refused(messages: object) -> None:
    with pytest.raises(InvalidRequestError, match="messages"):
        flatten(client_request(messages=messages))


def test_a_picture_is_refused() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:"}}
    with pytest.raises(InvalidRequestError, match="only text"):
        flatten(client_request(messages=[{"role": "user", "content": [image]}]))


def test_a_list_of_prompts_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="single string"):
        flatten(client_request(COMPLETIONS, prompt=["a", "b"]))


def test_sampling_parameters_keep_their_names_and_others_stay_out() -> None:
    request = client_request(temperature=0.5, top_k=3, stop=["x"], user="me", seed=None, max_completion_tokens=7)
    assert plain(sampling_params(request)) == {"temperature": 0.5, "top_k": 3, "stop": ["x"], "max_tokens": 7}


@pytest.mark.parametrize(
    "asked", [{"tools": [{"type": "function"}]}, {"response_format": {"type": "json_object"}}, {"logprobs": True}]
)
def test_what_would_be_ignored_is_refused(asked: dict[str, object]) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        refuse_beyond_text(client_request(**asked))
    assert caught.value.param == next(iter(asked))


@pytest.mark.parametrize(
    "asked", [{"tools": []}, {"response_format": {"type": "text"}}, {"logprobs": False}, {"tools": None}]
)
def test_what_asks_for_nothing_passes(asked: dict[str, object]) -> None:
    refuse_beyond_text(client_request(**asked))


def test_embeddings_are_refused() -> None:
    with pytest.raises(InvalidRequestError):
        refuse_beyond_text(client_request(EMBEDDINGS))
