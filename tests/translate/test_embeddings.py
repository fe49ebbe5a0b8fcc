import base64
import struct
from typing import Any

import msgspec
import pytest

from gateway.domain import Api, Usage
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
    request = client_request(Api.EMBEDDINGS, **asked)
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


@pytest.mark.parametrize("given", ["not base64!", "AAA=", None, {}, ["x"]])
def test_anything_else_is_a_failure(given: object) -> None:
    with pytest.raises(OutputLostError):
        finish(given, encoding_format="float")
