"""openai-python: whole answers, by every way. Tools, streams and errors have files of their own."""

import base64
import json
import struct

import openai
import pytest

from tests.clients.asking import all_ways, openai_ways, say, text_ways
from tests.clients.conftest import StackOf
from tests.clients.ways import ALL_WAYS, JOB_VLLM, OPENAI_WAYS, Way
from tests.stacks import KEY

pytestmark = pytest.mark.server


def check_chat(completion: openai.types.chat.ChatCompletion, *, text: str) -> None:
    """Everything that OpenAI's description requires of an answer."""
    assert completion.object == "chat.completion"
    assert completion.id.startswith("chatcmpl-")
    assert isinstance(completion.created, int)
    assert completion.model == "m"
    assert [choice.index for choice in completion.choices] == [0]
    message = completion.choices[0].message
    assert (message.role, message.content, message.tool_calls) == ("assistant", text, None)
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage is not None
    assert completion.usage.prompt_tokens > 0
    assert completion.usage.completion_tokens > 0
    assert completion.usage.total_tokens == completion.usage.prompt_tokens + completion.usage.completion_tokens
    assert completion._request_id
    assert "error" not in (completion.model_extra or {})


@all_ways
def test_chat(client: openai.OpenAI) -> None:
    completion = client.chat.completions.create(model="m", messages=say("count to 5"))
    check_chat(completion, text="1 2 3 4 5")


@all_ways
async def test_chat_async(async_client: openai.AsyncOpenAI) -> None:
    completion = await async_client.chat.completions.create(model="m", messages=say("count to 5"))
    check_chat(completion, text="1 2 3 4 5")


@all_ways
def test_text_of_every_script_comes_unharmed(client: openai.OpenAI) -> None:
    text = "naïve 你好 🙂\u2028new line\r\n\ttab \\ / <b> data: [DONE]"
    completion = client.chat.completions.create(model="m", messages=say(f'say "{text}"'))
    assert completion.choices[0].message.content == text


@pytest.mark.parametrize(
    "way",
    [
        *OPENAI_WAYS,
        Way("job", "tokens"),
        Way("job", "legacy"),
    ],
    ids=str,
)
def test_usage_is_the_workers_own_count(client: openai.OpenAI) -> None:
    usage = client.chat.completions.create(model="m", messages=say("count to 12")).usage
    assert usage is not None
    assert usage.completion_tokens == 12


@all_ways
@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_the_answer_is_no_longer_than_asked(client: openai.OpenAI, name: str) -> None:
    completion = client.chat.completions.create(model="m", messages=say("count to 9"), extra_body={name: 3})
    assert completion.choices[0].message.content == "1 2 3"


@pytest.mark.parametrize(
    "way",
    [
        *OPENAI_WAYS,
        Way("job", "tokens"),
        Way("job", "legacy"),
    ],
    ids=str,
)
def test_an_answer_that_was_cut_says_so(client: openai.OpenAI) -> None:
    completion = client.chat.completions.create(model="m", messages=say("count to 9"), max_tokens=3)
    assert completion.choices[0].finish_reason == "length"


@all_ways
@pytest.mark.parametrize("stop", ["4", ["7", "4"]])
def test_stop_ends_the_answer(client: openai.OpenAI, stop: str | list[str]) -> None:
    completion = client.chat.completions.create(model="m", messages=say("count to 9"), stop=stop)
    assert (completion.choices[0].message.content or "").strip() == "1 2 3"
    assert completion.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("way", [way for way in ALL_WAYS if way.dialect != "text"], ids=str)
def test_n_choices(client: openai.OpenAI) -> None:
    completion = client.chat.completions.create(model="m", messages=say("count to 2"), n=2)
    assert [choice.index for choice in completion.choices] == [0, 1]
    assert [choice.message.content for choice in completion.choices] == ["1 2", "1 2"]


@pytest.mark.parametrize("way", [Way("job", "text")], ids=str)
def test_n_choices_are_refused_where_the_worker_gives_one(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="m", messages=say("Hello"), n=2)
    assert caught.value.param == "n"


@all_ways
def test_completions(client: openai.OpenAI) -> None:
    completion = client.completions.create(model="m", prompt="count to 4")
    assert completion.object == "text_completion"
    assert completion.id.startswith("cmpl-")
    assert completion.model == "m"
    assert [(choice.index, choice.text, choice.finish_reason) for choice in completion.choices] == [
        (0, "1 2 3 4", "stop")
    ]
    assert completion.usage is not None
    assert completion.usage.total_tokens > 0
    assert completion._request_id


@openai_ways
def test_completions_of_several_prompts(client: openai.OpenAI) -> None:
    completion = client.completions.create(model="m", prompt=["count to 2", "count to 3"], max_tokens=2)
    assert [choice.text for choice in completion.choices] == ["1 2", "1 2"]
    assert [choice.finish_reason for choice in completion.choices] == ["stop", "length"]


@openai_ways
def test_embeddings_are_the_same_in_both_encodings(client: openai.OpenAI) -> None:
    texts = ["one", "two words", "three"]
    decoded = client.embeddings.create(model="m", input=texts)
    floats = client.embeddings.create(model="m", input=texts, encoding_format="float")
    encoded = client.embeddings.with_raw_response.create(model="m", input=texts, encoding_format="base64")
    assert decoded.object == "list"
    assert decoded.model == "m"
    assert [item.index for item in decoded.data] == [0, 1, 2]
    assert decoded.usage.prompt_tokens == decoded.usage.total_tokens == 4
    for item, plain, raw in zip(decoded.data, floats.data, encoded.http_response.json()["data"], strict=True):
        assert len(item.embedding) == 16
        assert item.embedding == pytest.approx(plain.embedding, abs=1e-6)
        assert struct.unpack("<16f", base64.b64decode(raw["embedding"])) == pytest.approx(plain.embedding, abs=1e-6)
    assert decoded._request_id


@openai_ways
@pytest.mark.parametrize("token_ids", [[1, 2, 3], [[1, 2, 3], [4]]])
def test_embeddings_of_token_ids(client: openai.OpenAI, token_ids: list[int] | list[list[int]]) -> None:
    answer = client.embeddings.create(model="m", input=token_ids, dimensions=4)
    assert [len(item.embedding) for item in answer.data] == [4] * (2 if isinstance(token_ids[0], list) else 1)


@text_ways
def test_embeddings_are_refused_by_text_workers(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model="m", input="Hello")
    assert caught.value.param == "model"


@pytest.mark.parametrize("way", [JOB_VLLM], ids=str)
def test_every_listed_model_can_be_retrieved_and_called(client: openai.OpenAI) -> None:
    page = client.models.list()
    assert page._request_id
    assert [model.id for model in page.data] == ["m", "org/with-slash", "m-too"]
    for model in page.data:
        assert (model.object, model.owned_by) == ("model", "fairpod")
        retrieved = client.models.retrieve(model.id)
        assert retrieved == model
        assert retrieved._request_id
        answer = client.chat.completions.create(model=model.id, messages=say("Hello"))
        assert answer.model == model.id


@openai_ways
def test_fields_unknown_to_the_client_go_both_ways(client: openai.OpenAI) -> None:
    schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    completion = client.chat.completions.create(
        model="m", messages=say('I am "Ada".'), extra_body={"guided_json": schema}
    )
    assert json.loads(completion.choices[0].message.content or "") == {"name": "Ada"}
    assert completion.choices[0].model_extra == {"stop_reason": None}


@all_ways
def test_headers_name_the_request_and_the_job(client: openai.OpenAI, stack_of: StackOf, way: Way) -> None:
    raw = client.chat.completions.with_raw_response.create(model="m", messages=say("Hello"))
    assert raw.headers["x-request-id"] == raw.parse()._request_id
    assert raw.headers["content-type"] == "application/json"
    assert raw.headers["x-fairpod-endpoint"] == "chat"
    assert int(raw.headers["x-fairpod-queue-ms"]) >= 0
    if way.route == "job":
        assert raw.headers["x-fairpod-job-id"] in {job["id"] for job in stack_of(way).jobs()}


@pytest.mark.parametrize("way", [JOB_VLLM], ids=str)
@pytest.mark.parametrize("suffix", ["/v1/", "", "/v2/ep1/openai/v1"])
def test_base_urls_that_people_write(stack_of: StackOf, way: Way, suffix: str) -> None:
    with openai.OpenAI(base_url=stack_of(way).url + suffix, api_key=KEY, max_retries=0) as client:
        check_chat(client.chat.completions.create(model="m", messages=say("count to 3")), text="1 2 3")


@pytest.mark.parametrize("way", [JOB_VLLM], ids=str)
def test_models_below_the_base_url_of_runpod(stack_of: StackOf, way: Way) -> None:
    with openai.OpenAI(base_url=stack_of(way).url + "/v2/ep1/openai/v1", api_key=KEY, max_retries=0) as client:
        assert [client.models.retrieve(model.id).id for model in client.models.list()] == [
            "m",
            "org/with-slash",
            "m-too",
        ]


@pytest.mark.parametrize("way", [JOB_VLLM], ids=str)
def test_a_key_in_the_header_of_azure(stack_of: StackOf, way: Way) -> None:
    with openai.OpenAI(base_url=stack_of(way).base_url, api_key="unused", max_retries=0) as client:
        completion = client.chat.completions.create(
            model="m", messages=say("count to 3"), extra_headers={"Authorization": openai.Omit(), "api-key": KEY}
        )
    check_chat(completion, text="1 2 3")
