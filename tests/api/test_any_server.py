"""The application on servers that know nothing of it: stock uvicorn, with either of its parsers, and bare ASGI."""

from collections.abc import Iterator
from typing import Any

import anyio
import httpx
import pytest

from gateway.app import Gateway
from gateway.config.loader import parse_config
from gateway.emulator.app import build_emulator
from gateway.emulator.settings import EmulatorSettings
from tests.fakes.asgi import AsgiCall
from tests.fakes.runpod import FakeRunpod
from tests.serving import serving
from tests.stacks import KEY, RUNPOD_KEY, Stack, config_of
from tests.subject import CHAT, EVENTS, running
from tests.waiting import eventually

BODY = {"model": "m", "messages": [{"role": "user", "content": "count to 3"}]}
HEADERS = {"authorization": f"Bearer {KEY}"}


class PlainCall(AsgiCall):
    """A request from a server that attaches nothing to the scope."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.scope = {name: value for name, value in self.scope.items() if not name.startswith("fairpod.")}


def relaying(**answers: Any) -> FakeRunpod:
    runpod = FakeRunpod(pages=[("IN_PROGRESS", EVENTS), ("COMPLETED", [])])
    runpod.answers = answers
    return runpod


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_is_complete(stream: bool) -> None:
    async with running(relaying()) as subject:
        call = PlainCall(CHAT, {**BODY, "stream": stream})
        await call.run(subject.gateway.app)
    assert (call.status, call.is_complete) == (200, True)


async def test_an_error_before_the_answer_has_its_status() -> None:
    async with running(relaying(run=[(401, b"")])) as subject:
        call = PlainCall(CHAT, BODY)
        await call.run(subject.gateway.app)
    assert (call.status, call.json["error"]["type"]) == (502, "server_error")


async def test_a_client_that_leaves_has_its_job_cancelled() -> None:
    runpod = FakeRunpod(pages=[("IN_PROGRESS", EVENTS[:1]), *[("IN_PROGRESS", [])] * 1000])
    async with running(runpod) as subject:
        call = PlainCall(CHAT, {**BODY, "stream": True})
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call.run, subject.gateway.app)
            await anyio.sleep(5)
            call.leave()
        await anyio.sleep(5)
    assert runpod.running == {}
    assert not call.is_complete


@pytest.fixture(scope="module", params=["httptools", "h11"])
def plain(request: pytest.FixtureRequest) -> Iterator[Stack]:
    settings = EmulatorSettings(api_key=RUNPOD_KEY, wait_s_min=0.0)
    with serving(build_emulator(settings)) as emulator_url:
        gateway = Gateway(parse_config(config_of(emulator_url), {}))
        with serving(gateway.app, http=request.param) as url:
            yield Stack(url=url, emulator_url=emulator_url, gateway=gateway)


@pytest.mark.server
def test_uvicorn_serves_it(plain: Stack) -> None:
    url = f"{plain.base_url}/chat/completions"
    assert httpx.post(url, json=BODY, headers=HEADERS).json()["choices"][0]["message"]["content"] == "1 2 3"
    assert httpx.post(url, json={**BODY, "stream": True}, headers=HEADERS).text.endswith("data: [DONE]\n\n")
    assert httpx.post(url, json={**BODY, "model": "other"}, headers=HEADERS).status_code == 404
    assert httpx.post(url, json=BODY).status_code == 401


@pytest.mark.server
def test_uvicorn_reports_a_client_that_leaves(plain: Stack) -> None:
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "slowly count to 200"}]}
    with httpx.stream("POST", f"{plain.base_url}/chat/completions", json=body, headers=HEADERS) as answer:
        next(answer.iter_bytes())
        job_id = answer.headers["x-fairpod-job-id"]
    eventually(lambda: [job for job in plain.jobs() if job["id"] == job_id and job["state"] == "CANCELLED"])
