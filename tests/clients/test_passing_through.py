"""Fields that the gateway does not know, from client to worker and back, as clients see them."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from langchain_openai import ChatOpenAI
from openai.types.chat import ChatCompletionChunk

from tests.clients.asking import WEATHER, say
from tests.clients.echo_worker import TAKE_WAIT_S, echo_worker
from tests.clients.ways import JOB_VLLM, OPENAI_VLLM
from tests.stacks import KEY

pytestmark = pytest.mark.server

UNKNOWN: dict[str, Any] = {
    "top_k": 5,
    "min_p": 0.1,
    "repetition_penalty": 1.1,
    "chat_template_kwargs": {"enable_thinking": False, "deep": [1, None, {"x": "ü\u2028"}]},
    "stop_token_ids": [1, 2],
    "cache_salt": "salt",
    "a_field_of_tomorrow": {"nested": [True, None, 1e100]},
    "user": "somebody",
    "big": 12345678901234567890123,
}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}}


@pytest.fixture(scope="module", params=[JOB_VLLM, OPENAI_VLLM], ids=str)
def client(request: pytest.FixtureRequest) -> Iterator[openai.OpenAI]:
    """A client at the far end of a worker that repeats what it was asked."""
    with (
        request.param.stack(settings={"worker": "none", "take_wait_s": TAKE_WAIT_S}) as stack,
        echo_worker(stack),
        openai.OpenAI(base_url=stack.base_url, api_key=KEY, max_retries=0, timeout=20) as made,
    ):
        yield made


def content_of(chunks: list[ChatCompletionChunk]) -> str:
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


@pytest.mark.parametrize("streamed", [False, True])
def test_every_field_reaches_the_worker(client: openai.OpenAI, *, streamed: bool) -> None:
    messages: Any = [
        {"role": "developer", "content": "Be brief.", "name": "boss"},
        {"role": "user", "content": [{"type": "text", "text": "What is this?"}, IMAGE]},
        {"role": "assistant", "content": None, "tool_calls": []},
    ]
    answer: Any = client.chat.completions.create(
        model="m", messages=messages, temperature=0.5, seed=3, tools=[WEATHER], stream=streamed, extra_body=UNKNOWN
    )
    asked = json.loads(content_of(list(answer)) if streamed else answer.choices[0].message.content)
    stream_options = asked.pop("stream_options", None)
    assert asked.pop("stream", False) is streamed
    assert stream_options == ({"include_usage": True} if streamed else None)
    # The model is called by the worker's own name for it.
    expected = {"model": "org/real-model", "messages": messages, "temperature": 0.5, "seed": 3, "tools": [WEATHER]}
    assert asked == {**expected, **UNKNOWN}


def test_headers_of_the_client_stay_here(client: openai.OpenAI) -> None:
    completion = client.chat.completions.create(
        model="m", messages=say("Hello"), extra_headers={"OpenAI-Organization": "org", "x-secret": "1"}
    )
    assert json.loads(completion.choices[0].message.content or "").keys() == {"model", "messages"}


def test_every_field_of_a_whole_answer_comes_back(client: openai.OpenAI) -> None:
    completion = client.chat.completions.create(model="m", messages=say("Hello"))
    assert completion.model == "m"
    assert completion.system_fingerprint == "fp_echo"
    assert completion.model_extra == {"x_extra": {"a": 1}}
    assert completion.choices[0].model_extra == {"token_ids": [1, 2]}
    assert completion.choices[0].message.model_extra == {"reasoning": "Hm.", "reasoning_content": "Hm."}
    assert completion.usage is not None
    assert completion.usage.prompt_tokens_details is not None
    assert completion.usage.prompt_tokens_details.cached_tokens == 4


def test_every_field_of_a_stream_comes_back(client: openai.OpenAI) -> None:
    with client.chat.completions.create(model="m", messages=say("Hello"), stream=True) as stream:
        chunks = list(stream)
    assert {chunk.model for chunk in chunks} == {"m"}
    assert {chunk.system_fingerprint for chunk in chunks} == {"fp_echo"}
    assert all(chunk.model_extra == {"x_extra": {"a": 1}} for chunk in chunks)
    extras = [choice.delta.model_extra for chunk in chunks for choice in chunk.choices]
    assert [extra for extra in extras if extra] == [{"reasoning": "Hm.", "reasoning_content": "Hm."}]


def test_details_of_usage_come_back_in_a_stream(client: openai.OpenAI) -> None:
    with client.chat.completions.create(
        model="m", messages=say("Hello"), stream=True, stream_options={"include_usage": True}
    ) as stream:
        usage = list(stream)[-1].usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (10, 7, 17)
    assert usage.prompt_tokens_details is not None
    assert usage.prompt_tokens_details.cached_tokens == 4
    assert usage.completion_tokens_details is not None
    assert usage.completion_tokens_details.reasoning_tokens == 3


def test_langchain_reads_the_details(client: openai.OpenAI) -> None:
    with openai.DefaultHttpxClient() as http_client:
        model = ChatOpenAI(
            model="m", base_url=str(client.base_url), api_key=KEY, http_client=http_client, max_retries=0
        )
        answer = model.invoke("Hello")
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["input_token_details"]["cache_read"] == 4
    assert answer.usage_metadata["output_token_details"]["reasoning"] == 3
    assert answer.response_metadata["system_fingerprint"] == "fp_echo"
