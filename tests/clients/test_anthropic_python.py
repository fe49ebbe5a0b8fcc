"""anthropic-python: whole answers, streams and tools, by every way."""

from collections.abc import Callable, Iterator

import anthropic
import pytest
from anthropic.types import Message, MessageParam

from tests.clients.anthropic_tools import PERSON, WEATHER, say
from tests.clients.asking import all_ways, openai_ways, text_ways
from tests.clients.conftest import StackOf
from tests.clients.waiting import cancelled_jobs
from tests.clients.ways import JOB_VLLM, OPENAI_VLLM, Way
from tests.stacks import KEY
from tests.waiting import eventually

pytestmark = pytest.mark.server

Ask = Callable[..., Message]


@pytest.fixture
def client(stack_of: StackOf, way: Way) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=stack_of(way).url, api_key=KEY, max_retries=0, timeout=20) as made:
        yield made


@pytest.fixture(params=["create", "stream"])
def ask(request: pytest.FixtureRequest, client: anthropic.Anthropic) -> Ask:
    """Asks for a message, whole or as a stream that the client folds: both are the same to who asks."""

    def create(**asked: object) -> Message:
        return client.messages.create(**{"model": "m", "max_tokens": 1000, **asked})

    def stream(**asked: object) -> Message:
        with client.messages.stream(**{"model": "m", "max_tokens": 1000, **asked}) as events:
            return events.get_final_message()

    return create if request.param == "create" else stream


@all_ways
def test_a_message(ask: Ask, way: Way) -> None:
    message = ask(messages=say("count to 30"))
    assert (message.type, message.role, message.model) == ("message", "assistant", "m")
    assert message.id.startswith("msg_")
    assert [(block.type, block.text) for block in message.content] == [("text", " ".join(map(str, range(1, 31))))]
    assert (message.stop_reason, message.stop_sequence) == ("end_turn", None)
    assert message.usage.input_tokens > 0
    if way.dialect != "text":
        assert message.usage.output_tokens == 30


@all_ways
def test_odd_text_arrives_as_it_was_said(ask: Ask) -> None:
    text = "naïve 你好 🙂\u2028next line\r\n\ttab \\ / <b> event: message_stop\n\ndata: x\n\n"
    assert ask(messages=say(f'say "{text}"')).content[0].text == text


@openai_ways
def test_the_maximum_of_tokens_cuts_and_says_so(ask: Ask) -> None:
    message = ask(messages=say("count to 30"), max_tokens=3)
    assert (message.content[0].text, message.stop_reason, message.usage.output_tokens) == ("1 2 3", "max_tokens", 3)


@openai_ways
@pytest.mark.parametrize("choice", ["auto", "any"])
def test_two_tools_in_one_answer(ask: Ask, choice: str) -> None:
    message = ask(
        messages=say('What is the weather in "Ōsaka"? And store the person, who is 36.'),
        tools=[WEATHER, PERSON, {"type": "web_search_20250305", "name": "web_search"}],
        tool_choice={"type": choice},
    )
    blocks = message.content
    assert [(block.type, block.name) for block in blocks] == [("tool_use", "get_weather"), ("tool_use", "Person")]
    assert [block.input for block in blocks] == [{"city": "Ōsaka"}, {"name": "Ōsaka", "age": 36}]
    assert len({block.id for block in blocks}) == 2
    assert message.stop_reason == "tool_use"


@openai_ways
def test_a_named_tool_is_called_and_its_result_is_read(ask: Ask) -> None:
    history: list[MessageParam] = say("Go on.")
    message = ask(messages=history, tools=[WEATHER], tool_choice={"type": "tool", "name": "get_weather"})
    (block,) = message.content
    assert (block.type, message.stop_reason) == ("tool_use", "tool_use")
    history.append({"role": "assistant", "content": message.content})
    result = {"type": "tool_result", "tool_use_id": block.id, "content": [{"type": "text", "text": "Rain."}]}
    history.append({"role": "user", "content": [result]})
    final = ask(messages=history, tools=[WEATHER], system=[{"type": "text", "text": "Be brief."}])
    assert (final.content[0].text, final.stop_reason) == ("The tool answered: Rain.", "end_turn")


@text_ways
def test_what_a_text_worker_would_ignore_is_refused(ask: Ask) -> None:
    with pytest.raises(anthropic.BadRequestError, match="does not support 'tools'"):
        ask(messages=say("Hello"), tools=[WEATHER])


TWO = pytest.mark.parametrize("way", [JOB_VLLM, OPENAI_VLLM], ids=str)


@TWO
def test_the_helper_tells_the_text_as_it_comes(client: anthropic.Anthropic) -> None:
    with client.messages.stream(model="m", max_tokens=100, messages=say("count to 9")) as stream:
        assert "".join(stream.text_stream) == "1 2 3 4 5 6 7 8 9"
        assert stream.response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert stream.request_id == stream.response.headers["request-id"]
    events = list(client.messages.create(model="m", max_tokens=100, messages=say("count to 9"), stream=True))
    assert [events[0].type, events[-2].type, events[-1].type] == ["message_start", "message_delta", "message_stop"]


@TWO
async def test_the_client_for_asyncio(stack_of: StackOf, way: Way) -> None:
    async with anthropic.AsyncAnthropic(base_url=stack_of(way).url, api_key=KEY, max_retries=0, timeout=20) as client:
        async with client.messages.stream(model="m", max_tokens=100, messages=say("count to 5")) as stream:
            message = await stream.get_final_message()
        assert message.content[0].text == "1 2 3 4 5"


@TWO
@pytest.mark.parametrize("base", ["", "/v1", "/anthropic", "/v2/ep1/openai"])
def test_base_urls_and_both_ways_to_send_a_key(stack_of: StackOf, way: Way, base: str) -> None:
    for key in ({"api_key": KEY}, {"auth_token": KEY}):
        with anthropic.Anthropic(base_url=stack_of(way).url + base, max_retries=0, timeout=20, **key) as client:
            asked = {"model": "m", "messages": say("count to 3")}
            assert client.messages.create(max_tokens=9, **asked).content[0].text == "1 2 3"
            assert client.messages.count_tokens(**asked).input_tokens > 0


@TWO
def test_betas_are_accepted(client: anthropic.Anthropic) -> None:
    message = client.beta.messages.create(
        model="m",
        max_tokens=9,
        messages=[*say("Hello"), {"role": "system", "content": "Be brief."}, *say("count to 3")],
        betas=["interleaved-thinking-2025-05-14"],
        thinking={"type": "adaptive"},
        output_config={"effort": "high"},
        context_management={"edits": []},
        metadata={"user_id": "u"},
    )
    assert message.stop_reason == "end_turn"


@TWO
def test_models_are_listed(client: anthropic.Anthropic) -> None:
    assert [model.id for model in client.models.list()] == ["m", "org/with-slash", "m-too"]
    assert client.models.retrieve("m").display_name == "m"


@pytest.mark.parametrize("way", [JOB_VLLM], ids=str)
def test_a_client_that_leaves_has_its_job_cancelled(stack_of: StackOf, client: anthropic.Anthropic, way: Way) -> None:
    stack = stack_of(way)
    with client.messages.stream(model="m", max_tokens=900, messages=say("slowly count to 400")) as stream:
        next(iter(stream.text_stream))
        job_id = stream.response.headers["x-fairpod-job-id"]
    eventually(lambda: job_id in cancelled_jobs(stack))
