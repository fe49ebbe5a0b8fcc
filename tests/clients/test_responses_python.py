"""openai-python: the Responses API, streamed and whole, by both routes."""

import json
from typing import Any

import openai
import pytest
from openai.types.responses import FunctionToolParam, Response

from tests.clients.asking import Person
from tests.clients.conftest import StackOf
from tests.clients.errors import both_kinds, check_error
from tests.clients.waiting import cancelled_jobs
from tests.clients.ways import ALL_WAYS, JOB_VLLM, OPENAI_VLLM, OPENAI_WAYS, TEXT_WAYS, Way
from tests.stacks import KEY
from tests.waiting import eventually

pytestmark = pytest.mark.server

BOTH_ROUTES = pytest.mark.parametrize("way", [JOB_VLLM, OPENAI_VLLM], ids=str)
EVERY_WAY = pytest.mark.parametrize("way", ALL_WAYS, ids=str)
OPENAI_ONLY = pytest.mark.parametrize("way", OPENAI_WAYS, ids=str)
WEATHER: FunctionToolParam = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "strict": None,
}


def check_response(response: Response) -> None:
    """What every response has."""
    assert (response.object, response.model, response.status, response.error) == ("response", "m", "completed", None)
    assert response.id.startswith("resp_")
    assert response.usage is not None
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens > 0


@EVERY_WAY
def test_a_whole_response(client: openai.OpenAI) -> None:
    response = client.responses.create(model="m", input="count to 5", instructions="Be brief.")
    check_response(response)
    assert response.output_text == "1 2 3 4 5"
    assert response.instructions == "Be brief."
    assert response.model_dump()["store"] is False
    assert response._request_id


@EVERY_WAY
def test_a_stream(client: openai.OpenAI) -> None:
    with client.responses.create(model="m", input="count to 30", stream=True) as stream:
        events = list(stream)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type for event in events[:4]] == [
        "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
    ]  # fmt: skip
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    last = events[-1]
    assert last.type == "response.completed"
    check_response(last.response)
    assert text == last.response.output_text == " ".join(map(str, range(1, 31)))


@EVERY_WAY
def test_the_helper_gives_the_final_response(client: openai.OpenAI) -> None:
    text = "naïve 你好 🙂\u2028next line\r\n\ttab \\ / <b> data: [DONE]\n\nid: 3\n\n"
    with client.responses.stream(model="m", input=f'say "{text}"') as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_response()
    assert {"response.output_text.done", "response.output_item.done"} < kinds
    assert final.output_text == text
    check_response(final)


@OPENAI_ONLY
async def test_a_tool_is_called_and_its_result_is_read(async_client: openai.AsyncOpenAI) -> None:
    history: list[Any] = [{"role": "user", "content": 'What is the weather in "Ōsaka"?'}]
    tools: list[Any] = [WEATHER, {"type": "web_search"}]
    async with async_client.responses.stream(model="m", input=history, tools=tools) as stream:
        done = [event async for event in stream if event.type == "response.function_call_arguments.done"]
        called = await stream.get_final_response()
    (call,) = called.output
    assert call.type == "function_call"
    assert (call.name, json.loads(call.arguments)) == ("get_weather", {"city": "Ōsaka"})
    assert len(done) == 1
    history += [item.model_dump(exclude_none=True) for item in called.output]
    history.append({"type": "function_call_output", "call_id": call.call_id, "output": "Rain."})
    final = await async_client.responses.create(model="m", input=history, tools=[WEATHER])
    assert final.output_text == "The tool answered: Rain."


@OPENAI_ONLY
def test_two_tools_are_called_one_after_the_other(client: openai.OpenAI) -> None:
    person: FunctionToolParam = {
        "type": "function", "name": "Person", "parameters": Person.model_json_schema(), "strict": False,
    }  # fmt: skip
    asked = 'What is the weather in "Ōsaka"? And store the person, who is 36.'
    with client.responses.stream(model="m", input=asked, tools=[WEATHER, person], tool_choice="required") as stream:
        final = stream.get_final_response()
    calls = [item for item in final.output if item.type == "function_call"]
    assert [call.name for call in calls] == ["get_weather", "Person"]
    assert json.loads(calls[1].arguments) == {"name": "Ōsaka", "age": 36}
    assert len({call.call_id for call in calls}) == len({call.id for call in calls}) == 2


@OPENAI_ONLY
def test_answers_in_a_given_form(client: openai.OpenAI) -> None:
    asked = 'I am "Ada" and 36 years old.'
    parsed = client.responses.parse(model="m", input=asked, text_format=Person)
    assert parsed.output_parsed == Person(name="Ada", age=36)
    with client.responses.stream(model="m", input=asked, text_format=Person) as stream:
        assert stream.get_final_response().output_parsed == Person(name="Ada", age=36)


@pytest.mark.parametrize("way", TEXT_WAYS, ids=str)
def test_a_worker_that_continues_text_has_no_tools(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model="m", input="Hello", tools=[WEATHER])
    check_error(caught.value, status=400, code="unsupported_value", param="tools")


@both_kinds
@BOTH_ROUTES
def test_a_response_that_reaches_its_length_is_incomplete(client: openai.OpenAI, *, stream: bool) -> None:
    asked: dict[str, Any] = {"model": "m", "input": "count to 30", "max_output_tokens": 3}
    if stream:
        with client.responses.create(**asked, stream=True) as events:
            (last,) = [event for event in events if event.type == "response.incomplete"]
        response = last.response
    else:
        response = client.responses.create(**asked)
    assert response.incomplete_details is not None
    assert (response.status, response.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert response.output_text == "1 2 3"
    assert response.usage is not None
    assert response.usage.output_tokens == 3


@both_kinds
@BOTH_ROUTES
@pytest.mark.parametrize("kind", ["generator", "yielded", "vllm_died"])
def test_a_failure_before_the_first_text_is_an_http_error(client: openai.OpenAI, kind: str, *, stream: bool) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        client.responses.create(model="m", input=f"count to 5 #fail={kind} #fail-status=500", stream=stream)
    check_error(caught.value, status=502, code=caught.value.code)


@BOTH_ROUTES
@pytest.mark.parametrize("kind", ["generator", "platform", "vllm_died", "error_event"])
def test_a_failure_in_the_middle_of_a_stream_is_a_failed_response(client: openai.OpenAI, kind: str) -> None:
    asked = f"count to 40 #fail={kind} #fail-after=10 #interval=0.1"
    with client.responses.create(model="m", input=asked, stream=True) as stream:
        events = list(stream)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    last = events[-1]
    assert last.type == "response.failed"
    assert last.response.error is not None
    assert last.response.error.code == "server_error"
    assert last.response.error.message
    said = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert last.response.output_text == said
    assert said.startswith("1")
    assert {event.type for event in events} >= {"response.created", "response.output_item.added"}


@BOTH_ROUTES
def test_what_needs_a_store_is_refused_with_what_to_send_instead(client: openai.OpenAI) -> None:
    for asked in ({"previous_response_id": "resp_1"}, {"background": True}, {"conversation": "conv_1"}):
        with pytest.raises(openai.BadRequestError) as caught:
            client.responses.create(model="m", input="Hello", **asked)  # type: ignore[call-overload]
        assert caught.value.param in asked
    with pytest.raises(openai.NotFoundError) as missing:
        client.responses.retrieve("resp_1")
    check_error(missing.value, status=404, code="unknown_url")
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model="other", input="Hello")


@BOTH_ROUTES
def test_tools_that_were_dropped_are_told(client: openai.OpenAI) -> None:
    raw = client.responses.with_raw_response.create(model="m", input="count to 2", tools=[{"type": "web_search"}])
    assert raw.headers["x-fairpod-dropped-tools"] == "web_search"
    assert raw.parse().tools[0].type == "web_search"
    assert "x-fairpod-dropped-tools" not in client.responses.with_raw_response.create(model="m", input="hi").headers


@BOTH_ROUTES
def test_other_paths_lead_here_too(stack_of: StackOf, way: Way) -> None:
    url = stack_of(way).url
    for base_url in (url, f"{url}/v2/ep1/openai/v1"):
        with openai.OpenAI(base_url=base_url, api_key=KEY, max_retries=0) as client:
            assert client.responses.create(model="m", input="count to 3").output_text == "1 2 3"


@pytest.mark.parametrize("way", [JOB_VLLM], ids=str)
def test_a_client_that_leaves_has_its_job_cancelled(stack_of: StackOf, client: openai.OpenAI, way: Way) -> None:
    with client.responses.create(model="m", input="slowly count to 400", stream=True) as stream:
        next(iter(stream))
        job_id = stream.response.headers["x-fairpod-job-id"]
    eventually(lambda: job_id in cancelled_jobs(stack_of(way)))
