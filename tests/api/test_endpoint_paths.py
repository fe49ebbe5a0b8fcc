"""Runpod's own form of URL: the endpoint in it has to be one of ours, and serves alone."""

import json
from typing import Any

import pytest

from gateway.app import Gateway
from gateway.config.keys import key_line
from gateway.config.loader import parse_config
from gateway.config.quickstart import quickstart
from tests.fakes.asgi import AsgiCall
from tests.stacks import KEY, RUNPOD_KEY, config_of
from tests.subject import Subject, answering, running

APIS = ["chat/completions", "completions", "embeddings"]
ASKED = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "prompt": "Hi", "input": "Hi"}
OTHER = {"name": "other", "id": "ep2", "base_url": "http://127.0.0.1:1/v2", "api_key": RUNPOD_KEY, "route": "job"}
FIRST = {**OTHER, "name": "chat", "id": "ep1"}
MODELS = [
    {"id": "m", "endpoint": "chat"},
    {"id": "both", "endpoint": ["other", "chat"]},
    {"id": "elsewhere", "endpoint": "other"},
]


def sections(**more: Any) -> dict[str, Any]:
    return {"endpoints": [FIRST, OTHER], "models": MODELS, **more}


async def get(subject: Subject, path: str, *, key: str = KEY) -> AsgiCall:
    call = subject.call(path, key=key)
    call.scope["method"] = "GET"
    await call.run(subject.gateway.app)
    return call


def code(call: AsgiCall) -> tuple[int, str]:
    return call.status, json.loads(call.body)["error"]["code"]


def listed(call: AsgiCall) -> list[str]:
    return [each["id"] for each in call.json["data"]]


@pytest.mark.parametrize("named", ["ep1", "chat"])
@pytest.mark.parametrize("model", ["m", "both"])
async def test_an_endpoint_is_named_by_its_id_or_its_name_and_serves(named: str, model: str) -> None:
    async with running(answering(), **sections()) as subject:
        call = await subject.post(f"/v2/{named}/openai/v1/chat/completions", model=model, stream=True)
    assert call.status == 200
    assert call.headers["x-fairpod-endpoint"] == "chat"


@pytest.mark.parametrize("api", APIS)
async def test_an_unknown_endpoint_is_refused_before_anything_is_read(api: str) -> None:
    runpod = answering()
    async with running(runpod, **sections()) as subject:
        call = AsgiCall(f"/v2/any/openai/v1/{api}", b"not even JSON")
        await call.run(subject.gateway.app)
    assert code(call) == (404, "endpoint_not_found")
    assert "`any`" in call.json["error"]["message"]
    assert runpod.calls == []


@pytest.mark.parametrize("path", ["models", "models/m"])
async def test_an_unknown_endpoint_has_no_models(path: str) -> None:
    async with running(answering(), **sections()) as subject:
        assert code(await get(subject, f"/v2/any/openai/v1/{path}")) == (404, "endpoint_not_found")


@pytest.mark.parametrize("path", [*APIS, "models", "models/m"])
async def test_the_key_comes_first(path: str) -> None:
    async with running(answering(), **sections()) as subject:
        if path in APIS:
            call = await subject.post(f"/v2/any/openai/v1/{path}", key="nobody")
        else:
            call = await get(subject, f"/v2/any/openai/v1/{path}", key="nobody")
    assert code(call) == (401, "invalid_api_key")


@pytest.mark.parametrize("api", APIS)
async def test_a_model_elsewhere_is_not_found(api: str) -> None:
    runpod = answering()
    async with running(runpod, **sections()) as subject:
        call = await subject.post(f"/v2/ep1/openai/v1/{api}", **{**ASKED, "model": "elsewhere"})
    assert code(call) == (404, "model_not_found")
    assert "`ep1`" in call.json["error"]["message"]
    assert runpod.calls == []


async def test_the_list_is_that_of_the_endpoint() -> None:
    async with running(answering(), **sections()) as subject:
        lists = {each: listed(await get(subject, f"/v2/{each}/openai/v1/models")) for each in ("ep1", "chat", "ep2")}
        everywhere = listed(await get(subject, "/v1/models"))
        cards = [(await get(subject, f"/v2/ep2/openai/v1/models/{each}")).status for each in ("m", "elsewhere")]
    assert lists == {"ep1": ["m", "both"], "chat": ["m", "both"], "ep2": ["both", "elsewhere"]}
    assert everywhere == ["m", "both", "elsewhere"]
    assert cards == [404, 200]


async def test_the_named_endpoint_serves_without_the_others() -> None:
    """A model's other endpoints are no way out: the client asked for this one."""
    runpod = answering()
    runpod.answers["run"] = [(404, b"")]
    async with running(runpod, **sections()) as subject:
        call = await subject.post("/v2/ep1/openai/v1/chat/completions", model="both", stream=True)
    assert call.status == 502
    assert runpod.calls == [("run", "")]


async def test_an_idempotency_key_is_another_one_at_another_endpoint() -> None:
    runpod = answering()
    headers = {"idempotency-key": "once"}
    async with running(runpod, **sections()) as subject:
        for path in ("/v1", "/v2/ep1/openai/v1", "/v2/ep1/openai/v1"):
            await subject.post(f"{path}/chat/completions", stream=True, headers=headers)
    assert runpod.count("run") == 2


async def test_a_reload_moves_a_model_and_keeps_the_endpoints() -> None:
    runpod = answering()
    async with running(runpod, **sections()) as subject:
        before = listed(await get(subject, "/v2/ep1/openai/v1/models"))
        moved = [{"id": "m", "endpoint": "other"}, {"id": "new", "endpoint": "chat"}]
        subject.gateway.take(parse_config(config_of("http://127.0.0.1:1", **sections(models=moved)), {}))
        after = {each: listed(await get(subject, f"/v2/{each}/openai/v1/models")) for each in ("ep1", "ep2")}
        call = await subject.post("/v2/ep1/openai/v1/chat/completions")
        unknown = await get(subject, "/v2/any/openai/v1/models")
    assert before == ["m", "both"]
    assert after == {"ep1": ["new"], "ep2": ["m"]}
    assert code(call) == (404, "model_not_found")
    assert code(unknown) == (404, "endpoint_not_found")


async def test_the_caps_and_allow_lists_of_a_tenant_hold_there() -> None:
    tenants = [{"name": "small", "keys": [key_line(KEY)], "models": ["both"], "requests_per_minute": 5}]
    async with running(answering(), **sections(tenants=tenants)) as subject:
        refused = await subject.post("/v2/ep1/openai/v1/chat/completions", model="m")
        models = await get(subject, "/v2/ep1/openai/v1/models")
    assert code(refused) == (403, "model_not_allowed")
    assert refused.headers["x-ratelimit-limit-requests"] == "5"
    assert listed(models) == ["both"]


async def test_a_client_that_comes_from_runpod_changes_nothing_but_the_host() -> None:
    environment = {"RUNPOD_API_KEY": RUNPOD_KEY, "RUNPOD_ENDPOINT_ID": "abc123", "FAIRPOD_API_KEY": KEY}
    gateway = Gateway(quickstart(environment).config, transport=answering())
    statuses = {}
    for endpoint in ("abc123", "abc124"):
        call = AsgiCall(f"/v2/{endpoint}/openai/v1/models/org/any", b"")
        call.scope["method"] = "GET"
        await call.run(gateway.app)
        statuses[endpoint] = call.status
    assert statuses == {"abc123": 200, "abc124": 404}
