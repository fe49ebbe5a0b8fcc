"""/stream: destructive pages, the long poll, both shapes."""

import anyio
import httpx
import pytest

from gateway.emulator.app import build_emulator
from gateway.emulator.settings import EmulatorSettings
from tests.emulator.support import (
    HandClock,
    chat,
    emulator,
    finished,
    settle,
    submit,
)
from tests.serving import serving
from tests.waiting import BOUND_S

IDLE = EmulatorSettings(worker="none", wait_s_min=0.0)
"""Jobs stay queued until a test takes them over the worker API."""


async def take(client: httpx.AsyncClient) -> str:
    return (await client.get("/job-take/w")).json()["id"]


async def yield_output(client: httpx.AsyncClient, job_id: str, output) -> None:
    assert (await client.post(f"/job-stream/w/{job_id}", json={"output": output})).status_code == 200


async def done(client: httpx.AsyncClient, job_id: str, **result) -> None:
    assert (await client.post(f"/job-done/w/{job_id}", json=result)).status_code == 200


async def test_a_poll_of_a_job_that_is_deleted_meanwhile_is_404():
    clock = HandClock()
    async with emulator(IDLE, clock=clock) as client:
        job_id = await submit(client, chat() | {"policy": {"ttl": 10_000}})
        statuses = []

        async def poll(operation: str) -> None:
            statuses.append((await client.get(f"/{operation}/{job_id}")).status_code)

        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:
                group.start_soon(poll, "stream")
                group.start_soon(poll, "status-sync")
                await settle()
                clock.s += 10
        assert statuses == [404, 404]


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_page_hands_out_each_output_once(method):
    async with emulator(IDLE) as client:
        job_id = await submit(client, chat())

        async def page():
            return (await client.request(method, f"/stream/{job_id}", params={"wait": 0})).json()

        assert await page() == {"status": "IN_QUEUE", "stream": []}
        await take(client)
        await yield_output(client, job_id, "a")
        await yield_output(client, job_id, {"b": [1]})
        assert await page() == {"status": "IN_PROGRESS", "stream": [{"output": "a"}, {"output": {"b": [1]}}]}
        assert await page() == {"status": "IN_PROGRESS", "stream": []}
        await yield_output(client, job_id, "c")
        await done(client, job_id, output=[])
        assert await page() == {"status": "COMPLETED", "stream": [{"output": "c"}]}
        assert await page() == {"status": "COMPLETED", "stream": []}


async def test_two_readers_steal_from_each_other():
    async with emulator(IDLE) as client:
        job_id = await submit(client, chat())
        await take(client)
        pages = []

        async def poll() -> None:
            pages.append((await client.get(f"/stream/{job_id}", params={"wait": 200})).json()["stream"])

        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:
                group.start_soon(poll)
                group.start_soon(poll)
                await settle()
                await yield_output(client, job_id, "only")
        assert sorted(pages, key=len) == [[], [{"output": "only"}]]


async def test_a_poll_returns_with_the_first_output_and_not_later():
    async with emulator(IDLE) as client:
        job_id = await submit(client, chat())
        await take(client)
        took_s = []

        async def poll() -> None:
            start_s = anyio.current_time()
            await client.get(f"/stream/{job_id}")
            took_s.append(anyio.current_time() - start_s)

        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:
                group.start_soon(poll)
                await anyio.sleep(0.1)
                await yield_output(client, job_id, "x")
        assert 0.1 <= took_s[0] < 5.0


@pytest.mark.parametrize("end", ["cancel", "done", "purge-queue"])
async def test_a_poll_returns_when_the_job_ends(end):
    async with emulator(IDLE) as client:
        job_id = await submit(client, chat())
        if end == "done":
            await take(client)
        pages = []

        async def poll() -> None:
            pages.append((await client.get(f"/stream/{job_id}")).json())

        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:
                group.start_soon(poll)
                await settle()
                if end == "done":
                    await done(client, job_id, error="boom")
                else:
                    await client.post("/purge-queue" if end == "purge-queue" else f"/cancel/{job_id}")
        assert pages == [{"status": "FAILED" if end == "done" else "CANCELLED", "stream": []}]


async def test_the_wait_has_a_default_and_a_range():
    settings = EmulatorSettings(worker="none", stream_wait_s=0.02, wait_s_min=0.1, wait_s_max=0.2)
    async with emulator(settings) as client:
        job_id = await submit(client, chat())

        async def held_s(**params) -> float:
            start_s = anyio.current_time()
            assert (await client.get(f"/stream/{job_id}", params=params)).json()["stream"] == []
            return anyio.current_time() - start_s

        assert await held_s() >= 0.02
        assert await held_s(wait=1) >= 0.1
        assert 0.2 <= await held_s(wait=300_000) < 10.0


async def test_bounded_pages_tell_the_end_with_the_last_one():
    async with emulator(EmulatorSettings(page_outputs_max=8, slices="events", wait_s_min=0.0)) as client:
        job_id = await submit(client, chat("count to 20"))
        await finished(client, job_id)
        pages = [(await client.get(f"/stream/{job_id}")).json() for _ in range(4)]
        assert [len(page["stream"]) for page in pages] == [8, 8, 7, 0]
        assert [page["status"] for page in pages] == ["IN_PROGRESS", "IN_PROGRESS", "COMPLETED", "COMPLETED"]


async def test_the_bare_array_of_the_older_documentation():
    async with emulator(EmulatorSettings(stream_shape="array", dialect="legacy")) as client:
        job_id = await submit(client, {"input": {"prompt": "hi", "stream": True}})
        await finished(client, job_id)
        page = (await client.get(f"/stream/{job_id}")).json()
        assert isinstance(page, list)
        assert [set(item) for item in page] == [{"metrics", "output"}] * 3
        assert (await client.get(f"/stream/{job_id}")).json() == []


@pytest.mark.server
def test_a_poll_whose_caller_has_left_consumes_nothing():
    with serving(build_emulator(IDLE)) as base, httpx.Client(base_url=f"{base}/v2/ep") as client:
        job_id = client.post("/run", json=chat()).json()["id"]
        client.get("/job-take/w")
        with pytest.raises(httpx.ReadTimeout):
            client.get(f"/stream/{job_id}", timeout=httpx.Timeout(BOUND_S, read=0.1))
        client.post(f"/job-stream/w/{job_id}", json={"output": "kept"})
        assert client.get(f"/stream/{job_id}").json()["stream"] == [{"output": "kept"}]
