from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import msgspec
import pytest

from gateway import apis
from gateway.apis import ModelKind
from gateway.domain import Usage
from gateway.errors import InvalidKeyError, InvalidRequestError
from gateway.translate import client_formats
from gateway.translate.client_formats.contract import ClientFormat
from gateway.translate.client_formats.openai_embeddings import OPENAI_EMBEDDINGS
from gateway.translate.client_formats.openai_stream import OPENAI_STREAM
from gateway.translate.client_formats.registry import CLIENT_FORMATS
from gateway.translate.error_body import error_answer
from tests.factories import client_request, fields_of

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
    name, _ = client_format.schemas.required
    prompt: Any = "Hi" if name != "messages" else [{"role": "user", "content": "Hi"}]
    request = client_format.read(msgspec.json.encode({"model": "m", "stream": True, "max_tokens": 5, name: prompt}))
    stream = client_format.stream
    assert request.stream is client_format.api.has_choices is (stream is not None)
    if stream is not None:
        writer = stream.open(request, answer_id=client_format.answer_id("1"), created_s=2)
        assert stream.comment or writer.idle()
        field = {"delta": {"content": "Hi"}} if client_format.api.is_chat else {"text": "Hi"}
        event = writer.write(fields_of({"choices": [{"index": 0, **field, "finish_reason": "stop"}]}))
        assert f'"{client_format.id_prefix}1"'.encode() in event
        assert b"Hi" in event
        assert (b"content-type", stream.media_type.encode() + b"; charset=utf-8") in stream.headers
        assert writer.is_whole
        if stream is OPENAI_STREAM:
            assert writer.end().endswith(b"data: [DONE]\n\n")


@EVERY
def test_an_error_says_the_same_as_a_body_and_as_an_event(client_format: ClientFormat) -> None:
    answer = error_answer(InvalidKeyError(is_missing=False))
    body = client_format.error_body(answer)
    assert "Incorrect API key" in msgspec.json.decode(body)["error"]["message"]
    if client_format.stream is OPENAI_STREAM:
        assert msgspec.json.decode(body)["error"]["code"] == answer.code == "invalid_api_key"
        assert client_format.stream.error(answer) == b"data: " + body + b"\n\n"


def test_no_format_is_forgotten() -> None:
    """A module that defines a format is in the registry; every API is served, and every kind of model has an API."""
    modules = [
        import_module(f"{client_formats.__name__}.{each.name}") for each in iter_modules(client_formats.__path__)
    ]
    defined = [value for each in modules for value in vars(each).values() if isinstance(value, ClientFormat)]
    assert {each.name for each in defined} == {each.name for each in CLIENT_FORMATS}
    rows = [value for value in vars(apis).values() if isinstance(value, apis.Api)]
    assert {each.path for each in rows} == {each.api.path for each in CLIENT_FORMATS}
    assert {each.kind for each in rows} == set(ModelKind)


def test_a_list_of_embeddings_has_neither_id_nor_time() -> None:
    whole = fields_of({"data": [{"index": 0, "object": "embedding", "embedding": [1.0]}]})
    request = client_request(OPENAI_EMBEDDINGS.api)
    body = OPENAI_EMBEDDINGS.finish(whole, request, answer_id="x", created_s=1, usage=Usage(prompt_tokens=4))
    assert set(msgspec.json.decode(body)) == {"object", "model", "data", "usage"}
