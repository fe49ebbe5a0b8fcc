"""openai-python: streams, raw and through its helper, by every way."""

import asyncio
import json

import openai
import pytest
from openai.types.chat import ChatCompletionChunk

from tests.clients.asking import WEATHER, Person, say
from tests.clients.conftest import StackOf
from tests.clients.waiting import cancelled_jobs
from tests.clients.ways import ALL_WAYS, JOB_VLLM, OPENAI_VLLM, OPENAI_WAYS, TEXT_WAYS, Way
from tests.waiting import eventually, eventually_here

pytestmark = pytest.mark.server

STREAMS = 50


def streaming(ways: list[Way]) -> pytest.MarkDecorator:
    """These ways."""
    return pytest.mark.parametrize("way", ways, ids=str)


def text_of(chunks: list[ChatCompletionChunk], index: int = 0) -> str:
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices if choice.index == index)


def check_chunks(chunks: list[ChatCompletionChunk], *, choices: int = 1) -> None:
    """What every client relies on: one head, the role once and first, the end once and last."""
    assert {(chunk.object, chunk.model, chunk.created, chunk.id) for chunk in chunks} == {
        ("chat.completion.chunk", "m", chunks[0].created, chunks[0].id)
    }
    assert chunks[0].choices[0].index == 0
    for index in range(choices):
        parts = [choice for chunk in chunks for choice in chunk.choices if choice.index == index]
        assert [part.delta.role for part in parts] == ["assistant"] + [None] * (len(parts) - 1)
        assert [bool(part.finish_reason) for part in parts] == [False] * (len(parts) - 1) + [True]
    assert not any("error" in (chunk.model_extra or {}) for chunk in chunks)


@streaming(ALL_WAYS)
def test_a_stream_without_usage(client: openai.OpenAI) -> None:
    with client.chat.completions.create(model="m", messages=say("count to 30"), stream=True) as stream:
        chunks = list(stream)
    check_chunks(chunks)
    assert text_of(chunks) == " ".join(map(str, range(1, 31)))
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)
    assert stream.response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert stream.response.headers["x-request-id"]


@streaming(ALL_WAYS)
async def test_a_stream_with_usage(async_client: openai.AsyncOpenAI, way: Way) -> None:
    stream = await async_client.chat.completions.create(
        model="m", messages=say("count to 30"), stream=True, stream_options={"include_usage": True}
    )
    async with stream:
        chunks = [chunk async for chunk in stream]
    assert [chunk.usage is not None for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert chunks[-1].choices == []
    check_chunks(chunks)
    usage = chunks[-1].usage
    assert usage is not None
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens > 0
    if way.dialect != "text":
        assert usage.completion_tokens == 30


@streaming(ALL_WAYS)
def test_a_stream_says_what_the_whole_answer_says(client: openai.OpenAI) -> None:
    text = "naïve 你好 🙂\u2028next line\r\n\ttab \\ / <b> data: [DONE]\n\nid: 3\n\n"
    whole = client.chat.completions.create(model="m", messages=say(f'say "{text}"'))
    with client.chat.completions.create(model="m", messages=say(f'say "{text}"'), stream=True) as stream:
        assert text_of(list(stream)) == whole.choices[0].message.content == text


@streaming(OPENAI_WAYS)
def test_the_helper_gives_the_final_completion(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(
        model="m", messages=say("count to 5"), stream_options={"include_usage": True}
    ) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_completion()
    assert kinds.count("content.delta") >= 1
    assert kinds.count("content.done") == 1
    assert final.choices[0].message.content == "1 2 3 4 5"
    assert final.choices[0].message.role == "assistant"
    assert final.choices[0].finish_reason == "stop"
    assert final.usage is not None
    assert final.usage.completion_tokens == 5


@pytest.mark.parametrize("way", TEXT_WAYS, ids=str)
def test_the_helper_understands_text_workers(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model="m", messages=say("count to 5")) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.content == "1 2 3 4 5"
    assert final.choices[0].message.role == "assistant"


@streaming(OPENAI_WAYS)
@pytest.mark.parametrize("tool_choice", ["auto", "required"])
def test_the_helper_gives_tool_calls(client: openai.OpenAI, tool_choice: str) -> None:
    with client.chat.completions.stream(
        model="m",
        messages=say('What is the weather in "Ōsaka"? And store the person, who is 36.'),
        tools=[WEATHER, openai.pydantic_function_tool(Person)],
        tool_choice=tool_choice,
    ) as stream:
        done = [event for event in stream if event.type == "tool_calls.function.arguments.done"]
        final = stream.get_final_completion()
    calls = final.choices[0].message.tool_calls or []
    assert [call.function.name for call in calls] == ["get_weather", "Person"]
    assert json.loads(calls[0].function.arguments) == {"city": "Ōsaka"}
    assert calls[1].function.parsed_arguments == Person(name="Ōsaka", age=36)
    assert len({call.id for call in calls}) == 2
    assert [call.type for call in calls] == ["function", "function"]
    assert [event.name for event in done] == ["get_weather", "Person"]
    assert final.choices[0].finish_reason == "tool_calls"


@streaming(OPENAI_WAYS)
async def test_the_helper_parses_a_response_format(async_client: openai.AsyncOpenAI) -> None:
    async with async_client.chat.completions.stream(
        model="m", messages=say('I am "Ada" and 36 years old.'), response_format=Person
    ) as stream:
        final = await stream.get_final_completion()
    assert final.choices[0].message.parsed == Person(name="Ada", age=36)


@streaming(OPENAI_WAYS)
def test_parts_of_a_tool_call_are_named_once(client: openai.OpenAI) -> None:
    with client.chat.completions.create(
        model="m", messages=say('What is the weather in "Oslo"?'), tools=[WEATHER], stream=True
    ) as stream:
        chunks = list(stream)
    check_chunks(chunks)
    parts = [part for chunk in chunks for part in chunk.choices[0].delta.tool_calls or []]
    assert len(parts) > 2
    assert {part.index for part in parts} == {0}
    for values in (
        [part.id for part in parts],
        [part.type for part in parts],
        [part.function.name for part in parts if part.function],
    ):
        assert values[0]
        assert set(values[1:]) == {None}


@streaming([way for way in ALL_WAYS if way.dialect != "text"])
def test_choices_come_side_by_side(client: openai.OpenAI) -> None:
    with client.chat.completions.create(model="m", messages=say("count to 8"), n=3, stream=True) as stream:
        chunks = list(stream)
    check_chunks(chunks, choices=3)
    assert [text_of(chunks, index) for index in range(3)] == ["1 2 3 4 5 6 7 8"] * 3


@streaming(ALL_WAYS)
def test_completions_stream(client: openai.OpenAI) -> None:
    with client.completions.create(
        model="m", prompt="count to 9", stream=True, stream_options={"include_usage": True}
    ) as stream:
        *chunks, last = list(stream)
    assert "".join(chunk.choices[0].text for chunk in chunks) == "1 2 3 4 5 6 7 8 9"
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert {chunk.object for chunk in chunks} == {"text_completion"}
    assert (last.choices, last.usage is not None) == ([], True)


@streaming(OPENAI_WAYS)
def test_fields_unknown_to_the_client_come_through(client: openai.OpenAI) -> None:
    with client.chat.completions.create(model="m", messages=say("Hello"), stream=True) as stream:
        last = list(stream)[-1].choices[0]
    assert last.model_extra == {"stop_reason": None}


SGLANG = Way("job", "sglang")
"""Its workers say nothing before they have said everything."""


@streaming([way for way in ALL_WAYS if way.route == "job" and way != SGLANG])
def test_a_client_that_leaves_has_its_job_cancelled(stack_of: StackOf, client: openai.OpenAI, way: Way) -> None:
    stack = stack_of(way)
    with client.chat.completions.create(model="m", messages=say("slowly count to 400"), stream=True) as stream:
        next(iter(stream))
        job_id = stream.response.headers["x-fairpod-job-id"]
    eventually(lambda: job_id in cancelled_jobs(stack))
    eventually(lambda: next(job["state"] for job in stack.jobs() if job["id"] == job_id) == "CANCELLED")


@pytest.mark.parametrize(("way", "stream"), [(JOB_VLLM, False), (SGLANG, True), (SGLANG, False)], ids=str)
async def test_a_client_that_leaves_before_the_first_byte_has_its_job_cancelled(
    stack_of: StackOf, async_client: openai.AsyncOpenAI, way: Way, *, stream: bool
) -> None:
    stack = stack_of(way)
    known = {job["id"] for job in stack.jobs()}
    asked = async_client.chat.completions.create(model="m", messages=say("slowly count to 400"), stream=stream)
    calling = asyncio.ensure_future(asked)
    (job_id,) = await eventually_here(lambda: {job["id"] for job in stack.jobs()} - known)
    calling.cancel()
    await eventually_here(lambda: job_id in cancelled_jobs(stack))


@pytest.mark.parametrize("way", [JOB_VLLM], ids=str)
def test_a_client_whose_time_is_over_leaves_no_job_behind(stack_of: StackOf, client: openai.OpenAI, way: Way) -> None:
    """It says how long it waits, so the gateway may tell it first that this was not enough: either is right."""
    stack = stack_of(way)
    with pytest.raises((openai.APITimeoutError, openai.InternalServerError)) as caught:
        client.chat.completions.create(model="m", messages=say("slowly count to 400"), timeout=1)
    assert getattr(caught.value, "status_code", 504) == 504
    eventually(lambda: not [job for job in stack.jobs() if job["state"] in {"IN_QUEUE", "IN_PROGRESS"}])


@pytest.mark.parametrize("way", [JOB_VLLM, OPENAI_VLLM], ids=str)
def test_connections_serve_again_after_streams_were_left(client: openai.OpenAI) -> None:
    for _ in range(12):
        with client.chat.completions.create(
            model="m", messages=say("count to 50 #interval=0.005"), stream=True
        ) as stream:
            next(iter(stream))
    with client.chat.completions.create(model="m", messages=say("count to 3"), stream=True) as stream:
        assert text_of(list(stream)) == "1 2 3"


@streaming([JOB_VLLM, Way("job", "vllm-dicts"), Way("job", "sglang"), Way("job", "tokens"), OPENAI_VLLM])
async def test_concurrent_streams_do_not_mix(async_client: openai.AsyncOpenAI) -> None:
    async def ask(number: int) -> tuple[str, str]:
        words = " ".join([f"w{number}"] * (number + 3))
        stream = await async_client.chat.completions.create(
            model="m", messages=say(f'say "{words}" #interval=0.001'), stream=True
        )
        async with stream:
            chunks = [chunk async for chunk in stream]
        check_chunks(chunks)
        assert text_of(chunks) == words
        return chunks[0].id, stream.response.headers["x-request-id"]

    names = await asyncio.gather(*(ask(number) for number in range(STREAMS)))
    assert len({answer_id for answer_id, _ in names}) == STREAMS
    assert len({request_id for _, request_id in names}) == STREAMS
