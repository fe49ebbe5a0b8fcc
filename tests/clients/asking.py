"""What the tests ask for, and over which ways."""

import pydantic
import pytest
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam

from tests.clients.ways import ALL_WAYS, OPENAI_WAYS, TEXT_WAYS

all_ways = pytest.mark.parametrize("way", ALL_WAYS, ids=str)
openai_ways = pytest.mark.parametrize("way", OPENAI_WAYS, ids=str)
text_ways = pytest.mark.parametrize("way", TEXT_WAYS, ids=str)


WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


class Person(pydantic.BaseModel):
    name: str
    age: int


def say(text: str) -> list[ChatCompletionMessageParam]:
    return [{"role": "user", "content": text}]
