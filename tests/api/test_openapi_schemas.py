"""The schemas accept what a request may be, and nothing that is refused."""

from typing import Any

import jsonschema_rs
import pytest

from gateway.api.openapi_schemas import ref, schemas
from gateway.apis import CHAT_COMPLETIONS, COMPLETIONS, EMBEDDINGS, Api
from gateway.errors import InvalidRequestError
from gateway.translate.client_formats.registry import CLIENT_FORMATS
from gateway.translate.request import read_request
from gateway.wire.openai import encode

COMPONENTS = {"components": {"schemas": schemas()}}
GOOD: dict[Api, dict[str, Any]] = {
    CHAT_COMPLETIONS: {"model": "m", "messages": [{"role": "user", "content": "Hi"}]},
    COMPLETIONS: {"model": "m", "prompt": "Hi"},
    EMBEDDINGS: {"model": "m", "input": "Hi"},
}
OPTIONAL = ["stream", "stream_options", "n", "max_tokens", "max_completion_tokens", "encoding_format"]
REQUEST_NAMES = {each.api: each.schemas.request_name for each in CLIENT_FORMATS if each.path == each.api.path}
"""Formats of the same form as their API; those of another form have required fields of their own."""
BAD: list[tuple[Api | None, str, Any]] = [
    *((None, "n", value) for value in (0, 129, "1")),
    *((None, "model", value) for value in ("", "x" * 513, None)),
    *((CHAT_COMPLETIONS, "messages", value) for value in ([], None, "Hi", {})),
    (None, "encoding_format", "hex"),
    (None, "stream", "yes"),
    (None, "stream_options", 5),
    *((None, name, "5") for name in ("max_tokens", "max_completion_tokens")),
]


def fits(api: Api, body: dict[str, Any]) -> bool:
    return jsonschema_rs.is_valid({**ref(REQUEST_NAMES[api]), **COMPONENTS}, body)


@pytest.mark.parametrize("api", GOOD)
def test_a_usual_request_fits(api: Api) -> None:
    assert fits(api, GOOD[api])
    read_request(api, encode(GOOD[api]))


@pytest.mark.parametrize(
    ("api", "field", "value"),
    [(api, field, value) for only, field, value in BAD for api in ([only] if only else GOOD)],
)
def test_what_does_not_fit_is_refused(api: Api, field: str, value: Any) -> None:
    body = GOOD[api] | {field: value}
    assert not fits(api, body)
    with pytest.raises(InvalidRequestError):
        read_request(api, encode(body))


@pytest.mark.parametrize("api", GOOD)
@pytest.mark.parametrize("field", OPTIONAL)
def test_an_optional_field_may_be_null(api: Api, field: str) -> None:
    body = GOOD[api] | {field: None}
    assert fits(api, body)
    read_request(api, encode(body))


@pytest.mark.parametrize("api", GOOD)
def test_a_required_field_may_be_neither_null_nor_missing(api: Api) -> None:
    for field in GOOD[api]:
        assert not fits(api, GOOD[api] | {field: None})
        assert not fits(api, {name: value for name, value in GOOD[api].items() if name != field})


@pytest.mark.parametrize(
    ("api", "value"),
    [
        *((COMPLETIONS, value) for value in ("", ["a", "b"], [1, 2], [[1], [2]])),
        *((EMBEDDINGS, value) for value in ("", ["a", "b"], [1, 2], [[1], [2]])),
    ],
)
def test_a_prompt_and_an_input_are_texts_or_lists(api: Api, value: Any) -> None:
    (name,) = set(GOOD[api]) - {"model"}
    assert fits(api, GOOD[api] | {name: value})
    read_request(api, encode(GOOD[api] | {name: value}))


def test_an_empty_list_is_no_input() -> None:
    assert not fits(EMBEDDINGS, {"model": "m", "input": []})


@pytest.mark.parametrize("value", [0, -1, 1])
def test_the_worker_judges_the_number_of_tokens(value: int) -> None:
    assert fits(CHAT_COMPLETIONS, GOOD[CHAT_COMPLETIONS] | {"max_tokens": value})
    assert fits(COMPLETIONS, GOOD[COMPLETIONS] | {"max_completion_tokens": value})


@pytest.mark.parametrize("api", GOOD)
def test_fields_of_the_others_and_unknown_ones_pass(api: Api) -> None:
    others = {name: None for body in GOOD.values() for name in body if name not in GOOD[api]}
    body = GOOD[api] | others | {"temperature": 0.5, "unknown": {"x": []}}
    assert fits(api, body)
    read_request(api, encode(body))


def test_every_format_has_its_schemas() -> None:
    names = {name for each in CLIENT_FORMATS for name in (each.schemas.request_name, each.schemas.answer_name)}
    assert len(names) == 2 * len(CLIENT_FORMATS)
    assert names < set(schemas())
    assert set(GOOD) == set(REQUEST_NAMES)
