"""LangChain as people use it: structured output, tools, headers, errors, and leaving a stream."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any, Literal

import langchain_core.exceptions as core_errors
import openai
import pydantic
import pytest
import pytest_asyncio
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

from tests.clients.conftest import StackOf
from tests.clients.waiting import cancelled_jobs
from tests.clients.ways import ALL_WAYS, JOB_VLLM, OPENAI_VLLM, TEXT_WAYS, Way
from tests.stacks import KEY
from tests.waiting import eventually_here

pytestmark = [
    pytest.mark.server,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.filterwarnings("ignore:.*but it is not an async function:pytest.PytestWarning"),
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),
]

openai_ways = pytest.mark.parametrize("way", [JOB_VLLM, OPENAI_VLLM], ids=str)


class Person(pydantic.BaseModel):
    """Somebody."""

    name: str
    age: int
    kind: Literal["human", "robot"] = "human"


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def connection() -> AsyncIterator[dict[str, Any]]:
    """Connections that are closed in the end."""
    with openai.DefaultHttpxClient() as http_client:
        async with openai.DefaultAsyncHttpxClient() as http_async_client:
            yield {
                "http_client": http_client,
                "http_async_client": http_async_client,
                "api_key": KEY,
                "max_retries": 0,
                "timeout": 20,
            }


@pytest.fixture
def model(way: Way, stack_of: StackOf, connection: dict[str, Any]) -> ChatOpenAI:
    return ChatOpenAI(model="m", base_url=stack_of(way).base_url, **connection)


@openai_ways
@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
async def test_structured_output(model: ChatOpenAI, method: Any) -> None:
    chain = model.with_structured_output(Person, method=method)
    expected = Person(name="Ada", age=36)
    assert chain.invoke('I am "Ada" and 36 years old.') == expected
    assert [part async for part in chain.astream('I am "Ada" and 36 years old.')][-1] == expected


@openai_ways
def test_structured_output_with_the_raw_message(model: ChatOpenAI) -> None:
    chain = model.with_structured_output(Person, method="json_schema", include_raw=True)
    answer = chain.invoke('I am "Ada" and 36 years old.')
    assert isinstance(answer, dict)
    assert (answer["parsed"], answer["parsing_error"]) == (Person(name="Ada", age=36), None)
    assert answer["raw"].response_metadata["finish_reason"] == "stop"


@openai_ways
def test_json_mode(model: ChatOpenAI) -> None:
    chain = model.with_structured_output(None, method="json_mode")
    assert chain.invoke("Answer in JSON with 'setup' and 'punchline'.") == {
        "setup": "setup of what you said",
        "punchline": "punchline of what you said",
    }


@openai_ways
def test_an_answer_that_is_cut_cannot_be_parsed(model: ChatOpenAI) -> None:
    short = model.model_copy(update={"max_tokens": 2})
    assert short.invoke("count to 9").response_metadata["finish_reason"] == "length"
    with pytest.raises(openai.LengthFinishReasonError):
        short.with_structured_output(Person, method="json_schema").invoke("Hello")


@openai_ways
async def test_a_conversation_with_tools(model: ChatOpenAI) -> None:
    with_tools = model.bind_tools([add])
    asked = HumanMessage("Please add 40 and 2.")
    called = await with_tools.ainvoke([asked])
    assert isinstance(called, AIMessage)
    assert [(call["name"], call["args"]) for call in called.tool_calls] == [("add", {"a": 40, "b": 2})]
    result = add.invoke(called.tool_calls[0])
    assert isinstance(result, ToolMessage)
    final: AIMessageChunk | None = None
    async for part in with_tools.astream([asked, called, result]):
        final = part if final is None else final + part
    assert final is not None
    assert final.text == "The tool answered: 42"
    assert not final.tool_calls


@pytest.mark.parametrize("way", TEXT_WAYS, ids=str)
async def test_tools_are_refused_by_text_workers(model: ChatOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await model.bind_tools([add]).ainvoke("Please add 40 and 2.")
    assert caught.value.param == "tools"
    with pytest.raises(openai.BadRequestError) as caught:
        model.with_structured_output(Person, method="json_schema").invoke("Hello")
    assert caught.value.param == "response_format"


@pytest.mark.parametrize("way", [way for way in ALL_WAYS if way.dialect != "sglang"], ids=str)
async def test_a_chain(model: ChatOpenAI) -> None:
    chain = ChatPromptTemplate.from_messages([("system", "Be brief."), ("human", "count to {end}")]) | model
    answers = await chain.abatch([{"end": end} for end in (3, 4, 5)])
    assert [answer.text for answer in answers] == ["1 2 3", "1 2 3 4", "1 2 3 4 5"]
    parts = [part async for part in (chain | StrOutputParser()).astream({"end": 6})]
    assert "".join(parts) == "1 2 3 4 5 6"


@openai_ways
@pytest.mark.parametrize("asked", [None, True])
def test_usage_in_streams_is_there_where_asked_for(model: ChatOpenAI, asked: Any) -> None:
    parts = list(model.stream("count to 7", stream_usage=asked))
    counted = [part.usage_metadata for part in parts if part.usage_metadata]
    assert [usage["output_tokens"] for usage in counted] == ([7] if asked else [])


@openai_ways
async def test_response_headers(model: ChatOpenAI) -> None:
    with_headers = model.model_copy(update={"include_response_headers": True})
    answer = with_headers.invoke("Hello")
    assert answer.response_metadata["headers"]["x-request-id"]
    parts = [part async for part in with_headers.astream("Hello")]
    headers = [part.response_metadata["headers"] for part in parts if "headers" in part.response_metadata]
    assert [bool(found["x-request-id"]) for found in headers] == [True]


@openai_ways
def test_metadata_names_the_model_that_was_asked_for(model: ChatOpenAI) -> None:
    answer = model.invoke("Hello", model="org/with-slash")
    assert answer.response_metadata["model_name"] == "org/with-slash"
    assert answer.response_metadata["finish_reason"] == "stop"
    assert answer.response_metadata["id"].startswith("chatcmpl-")


@pytest.mark.parametrize("way", [JOB_VLLM], ids=str)
async def test_a_stream_that_is_left_is_cancelled(model: ChatOpenAI, stack_of: StackOf, way: Way) -> None:
    stack = stack_of(way)
    before = cancelled_jobs(stack)
    async with contextlib.aclosing(model.astream("slowly count to 400")) as stream:
        async for _ in stream:
            break
    await eventually_here(lambda: len(cancelled_jobs(stack) - before) == 1)


@openai_ways
def test_an_unknown_model(model: ChatOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        model.invoke("Hello", model="no-such-model")
    assert isinstance(caught.value, core_errors.ModelNotFoundError)


@openai_ways
def test_a_wrong_key(stack_of: StackOf, way: Way, connection: dict[str, Any]) -> None:
    wrong = ChatOpenAI(model="m", base_url=stack_of(way).base_url, **{**connection, "api_key": "wrong"})
    with pytest.raises(openai.AuthenticationError):
        wrong.invoke("Hello")


@pytest.mark.parametrize("way", [JOB_VLLM, OPENAI_VLLM, Way("job", "sglang")], ids=str)
def test_a_prompt_that_is_too_long(way: Way, connection: dict[str, Any]) -> None:
    with way.stack(settings={"context_tokens_max": 20}) as stack:
        model = ChatOpenAI(model="m", base_url=stack.base_url, **connection)
        with pytest.raises(core_errors.ContextOverflowError):
            model.invoke("word " * 30)
        with pytest.raises(core_errors.ContextOverflowError):
            list(model.stream("word " * 30))


@openai_ways
async def test_embeddings(stack_of: StackOf, way: Way, connection: dict[str, Any]) -> None:
    embedder = OpenAIEmbeddings(
        model="m", base_url=stack_of(way).base_url, check_embedding_ctx_length=False, **connection
    )
    documents = await embedder.aembed_documents(["one", "two", "one"])
    assert documents[0] == documents[2] == embedder.embed_query("one")
    assert documents[0] != documents[1]
    assert sum(number * number for number in documents[0]) == pytest.approx(1, abs=1e-5)
