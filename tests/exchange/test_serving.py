"""The ways in which one request can be served."""

import json

import anyio
import pytest

from tests.exchange.test_exchange import content
from tests.fakes.runpod import FakeRunpod
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
