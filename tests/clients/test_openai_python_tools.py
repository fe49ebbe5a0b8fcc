"""openai-python: tools and answers in a given form, as whole answers."""

import json

import openai
import pytest

from tests.clients.asking import WEATHER, Person, openai_ways, say, text_ways

pytestmark = pytest.mark.server


@openai_ways
@pytest.mark.parametrize("tool_choice", ["auto", "required"])
def test_a_tool_is_called(client: openai.OpenAI, tool_choice: str) -> None:
    completion = client.chat.completions.create(
        model="m",
        messages=say('What is the weather in "Oslo"?'),
        tools=[WEATHER],
        tool_choice=tool_choice,
    )
    choice = completion.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    calls = choice.message.tool_calls or []
    assert [(call.type, call.function.name) for call in calls if call.type == "function"] == [
        ("function", "get_weather")
    ]
    assert calls[0].id
    assert calls[0].type == "function"
    assert json.loads(calls[0].function.arguments) == {"city": "Oslo"}


@openai_ways
def test_a_named_tool_is_called_and_its_result_is_read(client: openai.OpenAI) -> None:
    asked = say("Go on.")
    completion = client.chat.completions.create(
        model="m",
        messages=asked,
        tools=[WEATHER],
        tool_choice={"type": "function", "function": {"name": "get_weather"}},
    )
    message = completion.choices[0].message
    assert message.tool_calls
    # vLLM ends a call that was named with "stop"; it is passed on as it is.
    assert completion.choices[0].finish_reason == "stop"
    history = [
        *asked,
        message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "Rain."},
    ]
    final = client.chat.completions.create(model="m", messages=history, tools=[WEATHER])
    assert final.choices[0].message.content == "The tool answered: Rain."
    assert final.choices[0].finish_reason == "stop"


@text_ways
@pytest.mark.parametrize(
    ("param", "value"),
    [
        ("tools", [WEATHER]),
        ("response_format", {"type": "json_object"}),
        ("logprobs", True),
        ("functions", [WEATHER["function"]]),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_a_text_worker_would_ignore_is_refused(
    client: openai.OpenAI, param: str, value: object, *, stream: bool
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="m", messages=say("Hello"), stream=stream, extra_body={param: value})
    assert caught.value.param == param
    assert caught.value.code == "unsupported_value"
    assert caught.value.type == "invalid_request_error"


@openai_ways
def test_parse_gives_a_model_of_pydantic(client: openai.OpenAI) -> None:
    completion = client.chat.completions.parse(
        model="m", messages=say('I am "Ada" and 36 years old.'), response_format=Person
    )
    assert completion.choices[0].message.parsed == Person(name="Ada", age=36)


@openai_ways
def test_parse_gives_the_arguments_of_a_tool(client: openai.OpenAI) -> None:
    completion = client.chat.completions.parse(
        model="m",
        messages=say('Store the person "Ada", who is 36.'),
        tools=[openai.pydantic_function_tool(Person)],
        tool_choice="required",
    )
    calls = completion.choices[0].message.tool_calls or []
    assert [call.function.parsed_arguments for call in calls] == [Person(name="Ada", age=36)]
