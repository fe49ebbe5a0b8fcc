import msgspec
import pytest

from gateway.domain import Usage
from gateway.errors import InvalidKeyError, InvalidRequestError
from gateway.translate.client_formats.anthropic_messages import ANTHROPIC_MESSAGES
from gateway.translate.client_formats.contract import ClientFormat
from gateway.translate.client_formats.openai_embeddings import OPENAI_EMBEDDINGS
from gateway.translate.client_formats.registry import CLIENT_FORMATS
from gateway.translate.error_body import error_answer
from tests.factories import client_request, fields_of

END = {False: b"data: [DONE]\n\n", True: b'event: message_stop\ndata: {"type":"message_stop"}\n\n'}


def is_anthropic(client_format: ClientFormat) -> bool:
    """Its ids have an underscore, and its streams end with an event that has a name."""
    return client_format is ANTHROPIC_MESSAGES


EVERY = pytest.mark.parametrize("client_format", CLIENT_FORMATS, ids=lambda each: each.name)


def test_each_has_its_own_name_path_and_schemas() -> None:
    for values in (
        [each.name for each in CLIENT_FORMATS],
        [each.path for each in CLIENT_FORMATS],
        [each.schemas.request_name for each in CLIENT_FORMATS],
        [each.schemas.answer_name for each in CLIENT_FORMATS],
    ):
        assert len(set(values)) == len(CLIENT_FORMATS)


@EVERY
def test_a_body_without_its_prompt_is_invalid(client_format: ClientFormat) -> None:
    name, _ = client_format.schemas.required
    with pytest.raises(InvalidRequestError, match=name):
        client_format.read(b'{"model": "m"}')


@EVERY
def test_answers_are_streamed_where_the_worker_generates_text(client_format: ClientFormat) -> None:
    request = client_request(client_format.api, stream=True)
    assert request.stream is client_format.api.has_choices is (client_format.open_stream is not None)
    if client_format.open_stream is not None:
        writer = client_format.open_stream(request, answer_id=client_format.answer_id("1"), created_s=2)
        field = {"delta": {"content": "Hi"}} if client_format.api.is_chat else {"text": "Hi"}
        event = writer.write(fields_of({"choices": [{"index": 0, **field, "finish_reason": "stop"}]}))
        assert f'"{client_format.id_prefix}{"_" if is_anthropic(client_format) else "-"}1"'.encode() in event
        assert writer.end().endswith(END[is_anthropic(client_format)])


@EVERY
def test_an_error_is_the_same_json_as_a_body_and_as_an_event(client_format: ClientFormat) -> None:
    answer = error_answer(InvalidKeyError(is_missing=True))
    body = client_format.error_body(answer)
    assert msgspec.json.decode(body)["error"]["message"] == answer.detail.message
    assert client_format.error_event(answer).endswith(b"data: " + body + b"\n\n")


def test_a_list_of_embeddings_has_neither_id_nor_time() -> None:
    whole = fields_of({"data": [{"index": 0, "object": "embedding", "embedding": [1.0]}]})
    request = client_request(OPENAI_EMBEDDINGS.api)
    body = OPENAI_EMBEDDINGS.finish(whole, request, answer_id="x", created_s=1, usage=Usage(prompt_tokens=4))
    assert set(msgspec.json.decode(body)) == {"object", "model", "data", "usage"}
