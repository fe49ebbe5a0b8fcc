"""The ways in which one request can be served."""

import json
from typing import Any

import anyio
import httpx
import pytest

from gateway.config.keys import key_line
from gateway.domain import JOB_BODY_BYTES_MAX
from gateway.endpoints.circuit_breaker import FAILURES_MAX
from tests.exchange.test_exchange import content
from tests.fakes.runpod import FakeRunpod
from tests.stacks import KEY
from tests.subject import PAGES, answering, event, running

ENDPOINTS = [
    {"name": name, "id": "ep1", "base_url": "http://127.0.0.1:1/v2", "api_key": "k", "route": "job"}
    for name in ("first", "second")
]


@pytest.mark.parametrize("answer_id", [None, "a"])
async def test_nothing_of_an_attempt_that_failed_unseen_is_in_the_next_one(answer_id: str | None) -> None:
    told = [
        event(answer_id, delta={"role": "assistant", "content": "Never"}),
        event(answer_id, delta={"content": " seen"}),
        event(answer_id, finish_reason="error"),
    ]
    page = {"status": "COMPLETED", "stream": [{"output": "".join(told)}]}
    runpod = FakeRunpod(pages=list(PAGES))
    if answer_id is not None:
        runpod.pages = [("IN_PROGRESS", [event("b", delta={"role": "assistant", "content": "Hello"})])]
        runpod.pages += [("COMPLETED", [event("b", delta={"content": " there"}), event("b", finish_reason="stop")])]
    runpod.answers = {"stream": [(200, json.dumps(page).encode())]}
    models = [{"id": "m", "endpoint": ["first", "second"]}]
    async with running(runpod, endpoints=ENDPOINTS, models=models) as subject:
        call = await subject.post(stream=True)
    assert content(call) == "Hello there"
    assert call.headers["x-fairpod-endpoint"] == "second"
    assert call.events[0]["choices"][0]["delta"]["role"] == "assistant"


async def test_the_route_is_chosen_when_the_turn_comes() -> None:
    runpod = answering()
    runpod.pages = [*[("IN_QUEUE", [])] * 20, *PAGES]
    async with running(runpod, endpoint={"route": "auto", "max_in_flight": 1}) as subject:
        calls = [subject.call(stream=True) for _ in range(2)]
        async with anyio.create_task_group() as tasks:
            for call in calls:
                tasks.start_soon(call.run, subject.gateway.app)
        assert [content(call) for call in calls] == ["Hello there"] * 2
    # The second one came while the endpoint slept, and was sent when it was warm.
    assert (runpod.count("run"), runpod.count("openai")) == (1, 1)


@pytest.mark.parametrize("endpoint_route", ["openai", "auto"])
@pytest.mark.parametrize("section", ["models", "tenants", "guest"])
async def test_a_model_or_a_tenant_is_kept_to_the_job_route(endpoint_route: str, section: str) -> None:
    sections: dict[str, Any] = {
        "models": [{"id": "m", "endpoint": "chat"}],
        "tenants": [{"name": "acme", "keys": [key_line(KEY)]}],
        "guest": {},
    }
    of_section = sections[section] if section == "guest" else sections[section][0]
    runpod = answering()
    async with running(runpod, endpoint={"route": endpoint_route}, **sections) as subject:
        key = "made-up" if section == "guest" else KEY
        # The first one wakes the endpoint, so that the route of the second one is that of a warm one.
        calls = [await subject.post(stream=True, key=key) for _ in range(2)]
        assert runpod.count("openai") > 0
    of_section["route"] = "job"
    runpod = answering()
    async with running(runpod, endpoint={"route": endpoint_route}, **sections) as subject:
        calls = [await subject.post(stream=True, key=key) for _ in range(2)]
    assert [content(call) for call in calls] == ["Hello there"] * 2
    assert (runpod.count("run"), runpod.count("openai")) == (2, 0)


async def test_a_client_that_leaves_a_model_kept_to_the_job_route_has_its_job_cancelled() -> None:
    runpod = FakeRunpod(pages=[("IN_PROGRESS", [])] * 1000)
    models = [{"id": "m", "endpoint": "chat", "route": "job"}]
    async with running(runpod, endpoint={"route": "openai"}, models=models) as subject:
        call = subject.call(stream=True)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call.run, subject.gateway.app)
            await anyio.sleep(0.1)
            call.leave()
        with anyio.fail_after(5):
            await subject.gateway.exchanges._services.jobs.flush()
    assert (runpod.count("cancel"), runpod.running) == (1, {})


@pytest.mark.parametrize(
    ("dialect", "size"), [("openai", JOB_BODY_BYTES_MAX - 60), ("text", JOB_BODY_BYTES_MAX * 2 // 3)]
)
async def test_a_request_that_is_never_sent_says_nothing_of_the_endpoint(dialect: str, size: int) -> None:
    """`text` sends the conversation twice: that is known no sooner than its job is made."""
    runpod = FakeRunpod()
    runpod.answers = {"run": [httpx.ConnectError("refused")] * 1000}
    tenants = [{"name": name, "keys": [key_line(f"{name}-key")]} for name in ("acme", "zeta")]
    async with running(runpod, tenants=tenants, endpoint={"route": "job", "worker": dialect}) as subject:
        upstream = subject.gateway._upstreams["chat"]
        assert (await subject.post(key="acme-key")).status == 502
        too_large = [{"role": "user", "content": "x" * size}]
        assert (await subject.post(key="zeta-key", messages=too_large)).status == 413
        assert not upstream._breaker.is_calm
        while not upstream.is_down:
            await subject.post(key="acme-key")
        assert runpod.count("run") == FAILURES_MAX
