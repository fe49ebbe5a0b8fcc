"""What the dialects of workers that do not speak OpenAI make of a request."""

from typing import Any

import msgspec
import pytest

from gateway.apis import CHAT_COMPLETIONS, COMPLETIONS, Api
from gateway.errors import InvalidRequestError
from gateway.translate.dialects.registry import DIALECTS
from tests.factories import client_request


def job_input(name: str, api: Api, **asked: Any) -> Any:
    return msgspec.json.decode(b"".join(DIALECTS[name](client_request(api, **asked), "org/real").job_input()))


@pytest.mark.parametrize("name", ["text", "tokens", "legacy"])
def test_a_text_completion_is_asked_by_its_prompt_alone(name: str) -> None:
    asked = job_input(name, COMPLETIONS, prompt="Once")
    assert asked["prompt"] == "Once"
    assert "messages" not in asked


@pytest.mark.parametrize("name", ["text", "tokens"])
def test_a_chat_is_asked_by_its_messages(name: str) -> None:
    asked = job_input(name, CHAT_COMPLETIONS)
    assert asked["messages"] == [{"role": "user", "content": "Hello"}]


def test_a_worker_of_plain_text_gives_one_choice() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        job_input("text", CHAT_COMPLETIONS, n=2)
    assert caught.value.param == "n"
