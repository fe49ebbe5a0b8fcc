import base64
import struct
from typing import Any

import msgspec
import pytest

from gateway.apis import EMBEDDINGS
from gateway.domain import Usage
from gateway.errors import OutputLostError
from gateway.translate.embeddings import finish_embeddings
from tests.factories import client_request, fields_of

NUMBERS = [0.5, -1.25]
TEXT = base64.b64encode(struct.pack("<2f", *NUMBERS)).decode()


def finish(embedding: Any, **asked: Any) -> Any:
    whole = {
        "object": "list",
        "data": [{"object": "embedding", "embedding": embedding, "index": 0}],
        "model": "org/real",
    }
    request = client_request(EMBEDDINGS, **asked)
    return msgspec.json.decode(finish_embeddings(fields_of(whole), request, usage=Usage(prompt_tokens=4)))


@pytest.mark.parametrize("given", [NUMBERS, TEXT])
def test_each_encoding_becomes_the_one_asked_for(given: object) -> None:
    assert finish(given, encoding_format="base64")["data"][0]["embedding"] == TEXT
    assert finish(given, encoding_format="float")["data"][0]["embedding"] == NUMBERS
    assert finish(given)["data"][0]["embedding"] == NUMBERS


def test_the_answer_carries_the_client_s_model_and_both_counts() -> None:
    answer = finish(NUMBERS)
    assert answer["model"] == "m"
    assert answer["usage"] == {"prompt_tokens": 4, "total_tokens": 4}


@pytest.mark.parametrize("given", ["not base64!", "AAA=", "AAA", None, {}, ["x"]])
def test_anything_else_is_a_failure(given: object) -> None:
    with pytest.raises(OutputLostError):
        finish(given, encoding_format="float")


def finished(*data: dict[str, Any], count: int = 2, encoding: str | None = "base64") -> list[Any]:
    request = client_request(EMBEDDINGS, input=["x"] * count, encoding_format=encoding)
    body = finish_embeddings(fields_of({"data": list(data)}), request, usage=Usage())
    return [item["index"] for item in msgspec.json.decode(body)["data"]]


def item(index: int | None = None, **more: Any) -> dict[str, Any]:
    return {"object": "embedding", "embedding": NUMBERS, **({} if index is None else {"index": index}), **more}


@pytest.mark.parametrize("encoding", [None, "float", "base64"])
@pytest.mark.parametrize(
    ("given", "indexes"),
    [
        ((None, None), [0, 1]),
        ((None, 1), [0, 1]),
        ((1, None), [1, 0]),
        ((0, 0), [0, 1]),
        ((1, 0), [1, 0]),
        ((1, 2), [0, 1]),
        ((-1, 0), [0, 1]),
        (("1", "0"), [1, 0]),
        ((1.0, 0.0), [1, 0]),
        (("x", 0), [1, 0]),
    ],
)
def test_every_vector_has_its_index(given: tuple[Any, ...], indexes: list[int], encoding: str | None) -> None:
    """spring-ai#7020: an index that is left out is no 0 for all."""
    assert finished(*map(item, given), encoding=encoding) == indexes


@pytest.mark.parametrize("own", [None, "list", 5, {}])
def test_the_object_of_an_embedding_is_ours(own: Any) -> None:
    request = client_request(EMBEDDINGS)
    body = finish_embeddings(fields_of({"data": [item(0, object=own)]}), request, usage=Usage())
    assert msgspec.json.decode(body)["data"] == [{"object": "embedding", "index": 0, "embedding": NUMBERS}]


def test_missing_padding_is_added() -> None:
    """Go's RawStdEncoding and JavaScript's helpers leave it out; Python's decoder refuses that."""
    bare = TEXT.rstrip("=")
    assert bare != TEXT
    assert finish(bare, encoding_format="base64")["data"][0]["embedding"] == TEXT
    assert finish(bare, encoding_format="float")["data"][0]["embedding"] == NUMBERS


def test_base64_for_urls_becomes_the_standard_one() -> None:
    standard = base64.b64encode(bytes.fromhex("fbffbf3e")).decode()
    for_urls = standard.replace("+", "-").replace("/", "_").rstrip("=")
    assert for_urls == "-_-_Pg"
    assert finish(for_urls, encoding_format="base64")["data"][0]["embedding"] == standard


@pytest.mark.parametrize("given", ["not base64!!", "AAAA", "====", "A"])
@pytest.mark.parametrize("encoding", ["base64", "float"])
def test_base64_that_holds_no_vector_is_a_failure(given: str, encoding: str) -> None:
    with pytest.raises(OutputLostError):
        finish(given, encoding_format=encoding)


@pytest.mark.parametrize("data", [(), (item(0),), (item(0), item(1, embedding=[])), (item(0), item(1, embedding=""))])
def test_a_missing_vector_is_a_failure(data: tuple[Any, ...]) -> None:
    with pytest.raises(OutputLostError, match=r"of 2 embeddings|not a list"):
        finished(*data)


def test_one_list_of_token_ids_is_one_input() -> None:
    request = client_request(EMBEDDINGS, input=[1, 2, 3])
    assert finish_embeddings(fields_of({"data": [item(0)]}), request, usage=Usage())
    assert client_request(EMBEDDINGS, input=[[1, 2], [3]]).expected_choices == 2
