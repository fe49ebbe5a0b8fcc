"""What the tests of Anthropic's clients ask for."""

from anthropic.types import MessageParam, ToolParam

WEATHER: ToolParam = {
    "name": "get_weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
PERSON: ToolParam = {
    "name": "Person",
    "input_schema": {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
        "required": ["name", "age"],
    },
}


def say(text: str) -> list[MessageParam]:
    return [{"role": "user", "content": text}]
