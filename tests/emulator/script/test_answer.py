import json

import pytest

from gateway.emulator.script.answer import ModelError, compose
from gateway.emulator.script.requests import read_request, texts
from gateway.emulator.settings import EmulatorSettings

MAGIC = {
    "type": "function",
    "function": {
        "name": "magic_function",
        "parameters": {"type": "object", "properties": {"input": {"type": "integer"}}, "required": ["input"]},
    },
}
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"location": {"type": "string"}}},
    },
}
DEFAULTS = EmulatorSettings()


def answer(text: str = "hi", *, settings: EmulatorSettings = DEFAULTS, route: str = "chat/completions", **fields):
    body = {"messages": [{"role": "user", "content": text}], **fields}
    job_input = {"openai_route": f"/v1/{route}", "openai_input": body}
    return compose(read_request(json.dumps(job_input).encode()), settings)


def said(text: str = "hi", **fields) -> str:
    return answer(text, **fields).choices[0].text


def called(text: str, **fields) -> list[tuple[str, object]]:
    return [(call.name, json.loads(call.arguments)) for call in answer(text, **fields).choices[0].tool_calls]


@pytest.mark.parametrize(
    ("message", "reply"),
    [
        ("good morning", "You said: good morning"),
        ("Please count to 3.", "1 2 3"),
        ("count to 0", ""),
        ('say "two  words\n"', "two  words\n"),
    ],
)
def test_the_special_words(message, reply):
    assert said(message) == reply


def test_the_answer_to_a_tools_result_is_text_that_mentions_it():
    messages = [
        {"role": "user", "content": "magic function of 3?"},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "tool", "content": "5", "tool_call_id": "x"},
    ]
    choice = answer(messages=messages, tools=[MAGIC]).choices[0]
    assert (choice.text, choice.tool_calls, choice.finish_reason) == ("The tool answered: 5", [], "stop")


def test_tokens_are_words_with_the_space_before_them_and_add_up_to_the_text():
    choice = answer('say " a  b\nc "').choices[0]
    assert choice.tokens == [" a", "  b", "\nc "]


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_the_length_limit(name):
    choice = answer("count to 5", **{name: 2}).choices[0]
    assert (choice.text, choice.finish_reason) == ("1 2", "length")
    choice = answer("count to 5", **{name: 5}).choices[0]
    assert (choice.text, choice.finish_reason) == ("1 2 3 4 5", "stop")


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_a_length_limit_of_nothing_and_none(name):
    choice = answer("count to 5", **{name: 0}).choices[0]
    assert (choice.text, choice.finish_reason) == ("", "length")
    choice = answer("count to 5", **{name: -1}).choices[0]
    assert (choice.text, choice.finish_reason) == ("1 2 3 4 5", "stop")
    completion = answer(route="completions", messages=None, prompt="count to 99", **{name: -1}).choices[0]
    assert (len(completion.tokens), completion.finish_reason) == (99, "stop")


@pytest.mark.parametrize(
    ("max_tokens", "text", "tokens"), [(0, "count to 3", 0), (2, "count to 31 2", 2), (9, "count to 31 2 3", 3)]
)
def test_an_echo_is_the_prompt_before_the_answer_and_counts_as_prompt(max_tokens, text, tokens):
    echoed = answer(route="completions", messages=None, prompt="count to 3", echo=True, max_tokens=max_tokens)
    assert (echoed.choices[0].text, echoed.completion_tokens, echoed.prompt_tokens) == (text, tokens, 3)
    assert echoed.choices[0].finish_reason == ("stop" if tokens == 3 else "length")


@pytest.mark.parametrize("stop", [" 4", ["x", "", "5", " 4"]])
def test_stop_sequences_end_the_answer_before_them(stop):
    choice = answer("count to 9", stop=stop).choices[0]
    assert (choice.text, choice.finish_reason) == ("1 2 3", "stop")


def test_an_empty_stop_sequence_stops_nothing():
    assert said("count to 3", stop="") == "1 2 3"


def test_n_choices():
    assert len(answer("hi", n=3).choices) == 3


def test_usage_counts_words():
    counted = answer("count to 4", n=2)
    assert (counted.prompt_tokens, counted.completion_tokens) == (3, 8)


@pytest.mark.parametrize("message", ["What is magic_function(3)?", "use the magic function on 3", "Magic Function 3"])
def test_a_mentioned_tool_is_called_with_the_messages_number(message):
    reply = answer(message, tools=[MAGIC, WEATHER])
    assert [(call.name, json.loads(call.arguments)) for call in reply.choices[0].tool_calls] == [
        ("magic_function", {"input": 3})
    ]
    assert reply.choices[0].finish_reason == "tool_calls"


def test_a_distinctive_word_of_the_name_is_a_mention():
    assert called("What is the weather in Rome?", tools=[MAGIC, WEATHER]) == [
        ("get_weather", {"location": "What is the weather in Rome?"})
    ]


def test_a_tool_that_is_not_mentioned_is_only_called_when_required():
    assert called("Hello", tools=[MAGIC]) == []
    assert called("Hello", tools=[MAGIC], tool_choice="auto") == []
    assert called("Hello", tools=[WEATHER, MAGIC], tool_choice="required") == [("get_weather", {"location": "Hello"})]


def test_none_means_no_call():
    assert called("magic_function(3)", tools=[MAGIC], tool_choice="none") == []


def test_a_named_choice_is_called_and_ends_with_stop():
    choice = {"type": "function", "function": {"name": "magic_function"}}
    reply = answer("Hello", tools=[WEATHER, MAGIC], tool_choice=choice).choices[0]
    assert [call.name for call in reply.tool_calls] == ["magic_function"]
    assert reply.finish_reason == "stop"


def test_a_named_choice_that_is_no_tool_is_refused():
    choice = {"type": "function", "function": {"name": "other"}}
    with pytest.raises(ModelError) as refusal:
        answer("Hello", tools=[MAGIC], tool_choice=choice)
    assert refusal.value.status == 400


def test_parallel_calls_unless_forbidden():
    both = "the magic function of 3 and the weather"
    assert [name for name, _ in called(both, tools=[MAGIC, WEATHER])] == ["magic_function", "get_weather"]
    assert [name for name, _ in called(both, tools=[MAGIC, WEATHER], parallel_tool_calls=False)] == ["magic_function"]


def test_structured_answers_follow_their_schema():
    schema = {"type": "object", "properties": {"setup": {"type": "string"}, "rating": {"type": "integer"}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "joke", "schema": schema}}
    assert json.loads(said("a joke about 'cats', 7 of 10", response_format=wanted)) == {"setup": "cats", "rating": 7}
    assert json.loads(said("4", guided_json={"type": "integer"})) == 4


def test_a_json_object_has_the_keys_that_the_message_quotes():
    wanted = {"type": "json_object"}
    assert set(json.loads(said("JSON with 'setup' and 'punchline'", response_format=wanted))) == {"setup", "punchline"}
    assert set(json.loads(said("JSON please", response_format=wanted))) == {"answer"}


def test_completions_answer_each_prompt_and_stop_at_sixteen_tokens():
    choices = answer(route="completions", messages=None, prompt=["count to 99", "hi"], n=2).choices
    assert [len(choice.tokens) for choice in choices] == [16, 16, 3, 3]
    assert [choice.finish_reason for choice in choices] == ["length", "length", "stop", "stop"]


@pytest.mark.parametrize("prompt", [["count to 2", "count to 3"], [[7, 8], [9]], ["one"], [7, 8, 9]])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_list_of_prompts_has_n_choices_for_each_in_their_order(prompt, n):
    choices = answer(route="completions", messages=None, prompt=prompt, n=n).choices
    prompts = texts(prompt)
    assert len(choices) == len(prompts) * n
    for number, text in enumerate(prompts):
        alone = answer(route="completions", messages=None, prompt=text).choices[0]
        assert [choice.text for choice in choices[number * n : (number + 1) * n]] == [alone.text] * n


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"model": "other"}, 404, "model"),
        ({"stream_options": {"include_usage": True}}, 400, "stream_options"),
        ({"messages": []}, 400, "messages"),
        ({"n": -1}, 400, "n"),
        ({"n": 0}, 400, "n"),
        ({"n": 10**9}, 400, "n"),
        ({"messages": [{"role": "user", "content": "one two three four"}]}, 400, "input_tokens"),
    ],
)
def test_what_the_model_server_refuses(fields, status, param):
    settings = EmulatorSettings(models=("served",), context_tokens_max=3)
    with pytest.raises(ModelError) as refusal:
        answer("hi", settings=settings, **fields)
    assert (refusal.value.status, refusal.value.param) == (status, param)


@pytest.mark.parametrize("model", ["served", "served#fail-after=3", ""])
def test_a_served_model_is_answered(model):
    assert said("hi", settings=EmulatorSettings(models=("served",)), model=model) == "You said: hi"
