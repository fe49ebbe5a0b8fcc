"""The handler with the real model, called as the SDK calls it."""

import json

import anyio
import pytest

from gateway.demo.request import MODEL_NAME

# The engine opens a port of its own.
pytestmark = pytest.mark.server

FRANCE = [{"role": "user", "content": "What is the capital of France?"}]
STORY = [{"role": "user", "content": "Tell me a very long story about a river."}]


def job(route="/v1/chat/completions", **fields):
    return {"id": "job-1", "input": {"openai_route": route, "openai_input": {"model": MODEL_NAME, **fields}}}


async def outputs(worker, **fields):
    return [output async for output in worker.handle(job(**fields))]


def events(texts):
    lines = [line for line in "".join(texts).split("\n\n") if line]
    assert all(line.startswith("data: ") for line in lines)
    assert lines.pop() == "data: [DONE]"
    return [json.loads(line[6:]) for line in lines]


async def test_a_whole_answer(worker):
    (completion,) = await outputs(worker, messages=FRANCE, temperature=0)
    assert "Paris" in completion["choices"][0]["message"]["content"]
    assert completion["choices"][0]["finish_reason"] == "stop"
    assert completion["usage"]["total_tokens"] > completion["usage"]["prompt_tokens"] > 5


async def test_a_streamed_answer(worker):
    chunks = events(
        await outputs(worker, messages=FRANCE, temperature=0, stream=True, stream_options={"include_usage": True})
    )
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert "Paris" in "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks[1:-1])
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert (chunks[-1]["choices"], chunks[-1]["usage"]["total_tokens"] > 10) == ([], True)
    assert {(chunk["object"], chunk["model"]) for chunk in chunks} == {("chat.completion.chunk", MODEL_NAME)}


async def test_no_usage_unless_it_is_asked_for(worker):
    chunks = events(await outputs(worker, messages=FRANCE, stream=True))
    assert not any("usage" in chunk for chunk in chunks)


async def test_max_tokens_and_seed(worker):
    asked = {"messages": STORY, "max_completion_tokens": 5, "seed": 3, "temperature": 1, "top_p": 0.9}
    (first,), (second,) = [await outputs(worker, **asked) for _ in range(2)]
    assert first["choices"] == second["choices"]
    assert first["choices"][0]["finish_reason"] == "length"
    assert first["usage"]["completion_tokens"] == 5


async def test_stop_ends_the_text(worker):
    (completion,) = await outputs(
        worker, route="/v1/completions", prompt="1, 2, 3, 4, 5,", stop=[" 8"], temperature=0, max_tokens=20
    )
    assert completion["object"] == "text_completion"
    assert completion["choices"][0]["text"] == " 6, 7,"


async def test_alternatives_share_one_prompt(worker):
    (one,) = await outputs(worker, messages=FRANCE, max_tokens=2)
    (two,) = await outputs(worker, messages=FRANCE, max_tokens=2, n=2)
    assert [choice["index"] for choice in two["choices"]] == [0, 1]
    assert two["usage"]["prompt_tokens"] == one["usage"]["prompt_tokens"]
    assert two["usage"]["completion_tokens"] == 4


async def test_system_messages_parts_and_earlier_turns_are_understood(worker):
    parts = [{"type": "text", "text": "What is the capital "}, {"type": "text", "text": "of Italy?"}]
    turns = [{"role": "system", "content": "Geography."}, *FRANCE, {"role": "assistant", "content": "Paris"}]
    (completion,) = await outputs(worker, messages=[*turns, {"role": "user", "content": parts}], temperature=0)
    assert "Rome" in completion["choices"][0]["message"]["content"]


@pytest.mark.parametrize("stream", [True, False])
async def test_a_prompt_that_is_too_long(worker, stream):
    (output,) = await outputs(worker, messages=[{"role": "user", "content": "word " * 5000}], stream=stream)
    assert output["error"]["code"] == 400
    assert "maximum context length is 4096 tokens" in output["error"]["message"]


async def test_an_unknown_model(worker):
    (output,) = await outputs(worker, messages=FRANCE, model="other")
    assert output == {
        "error": {"message": "The model `other` does not exist.", "type": "NotFoundError", "param": None, "code": 404}
    }


async def test_the_model_list(worker):
    (output,) = await outputs(worker, route="/v1/models")
    assert [model["id"] for model in output["data"]] == [MODEL_NAME]


SAID_MAX = 1000
"""More than waits for a reader, and far less than an answer that nobody stops."""
ENDLESS = {
    "route": "/v1/completions",
    "prompt": "1, 2, 3, 4, 5, 6,",
    "temperature": 0,
    "max_tokens": 3000,
    "stream": True,
}
"""Counting goes on for as long as it may."""


async def test_closing_stops_the_model(worker, engine):
    answer = worker.handle(job(**ENDLESS))
    await anext(answer)
    await answer.aclose()
    await engine.until_idle()
    assert 0 < engine.said < SAID_MAX


async def test_the_end_of_the_task_stops_the_model_though_nobody_closes_the_generator(worker, engine):
    answer = worker.handle(job(**ENDLESS))
    posting = anyio.Event()

    async def take_one_then_post_it():
        await anext(answer)
        posting.set()
        await anyio.sleep_forever()

    async with anyio.create_task_group() as group:
        group.start_soon(take_one_then_post_it)
        await posting.wait()
        group.cancel_scope.cancel()
    await engine.until_idle()
    assert 0 < engine.said < SAID_MAX
    await answer.aclose()


async def test_a_long_prompt_can_be_stopped_too(worker, engine):
    engine.may_go_on.clear()
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: outputs(worker, messages=[{"role": "user", "content": "What? " * 1900}]))
        # It tells of each batch of the prompt, of which there are sixty.
        await engine.until(lambda engine: engine.said)
        group.cancel_scope.cancel()
    engine.may_go_on.set()
    await engine.until_idle()
    assert engine.said == 1


async def test_jobs_run_side_by_side(worker, engine):
    """The long one begins first; held until both have begun, the short one ends first."""
    ends = []

    async def ask(max_tokens):
        await outputs(worker, messages=STORY, max_tokens=max_tokens, temperature=1)
        ends.append(max_tokens)

    engine.may_go_on.clear()
    async with anyio.create_task_group() as group:
        for number, max_tokens in enumerate((60, 2), 1):
            group.start_soon(ask, max_tokens)
            await engine.until(lambda engine, count=number: engine.answering == count)
        engine.may_go_on.set()
    assert ends == [2, 60]
