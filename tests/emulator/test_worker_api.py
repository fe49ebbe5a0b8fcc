import anyio
import httpx
import pytest

from gateway.emulator.app import build_emulator
from gateway.emulator.settings import EmulatorSettings
from tests.emulator.support import HandClock, admin, chat, emulator, settle, submit
from tests.serving import serving
from tests.waiting import BOUND_S

BARE = EmulatorSettings(worker="none", wait_s_min=0.0, take_wait_s=0.05, stop_wait_s=0.05)
HELD = EmulatorSettings(worker="none", wait_s_min=0.0, take_wait_s=10.0, stop_wait_s=10.0)


async def status(client, job_id: str):
    return (await client.get(f"/status/{job_id}")).json()


async def test_taking_one_job():
    async with emulator(BARE) as client:
        job_id = await submit(client, {"input": {"a": [1, "ü"]}})
        reply = await client.get("/job-take/w?gpu=FAKE&job_in_progress=0")
        assert reply.headers["content-type"] == "application/json"
        assert reply.json() == {"id": job_id, "input": {"a": [1, "ü"]}}
        assert (await status(client, job_id))["workerId"] == "w"


async def test_an_empty_queue_is_held_and_then_204():
    async with emulator(BARE) as client:
        for path in ("/job-take/w", "/job-take-batch/w?batch_size=3", "/job-stop/w"):
            reply = await client.get(path)
            assert (reply.status_code, reply.content) == (204, b"")


@pytest.mark.parametrize(
    ("query", "sizes"), [("?batch_size=2", [2, 1, 0]), ("?batch_size=9", [3, 0]), ("", [1, 1, 1, 0])]
)
async def test_taking_jobs_in_batches(query, sizes):
    async with emulator(BARE) as client:
        for _ in range(3):
            await submit(client, chat())
        replies = [await client.get(f"/job-take-batch/w{query}") for _ in sizes]
        assert [len(reply.json()) if reply.status_code == 200 else 0 for reply in replies] == sizes


async def test_a_batch_size_that_is_no_number():
    async with emulator(BARE) as client:
        assert (await client.get("/job-take-batch/w?batch_size=x")).status_code == 400


async def test_a_held_take_returns_with_the_first_job():
    async with emulator(HELD) as client:
        taken = []

        async def take() -> None:
            taken.append((await client.get("/job-take/w")).json()["id"])

        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:
                group.start_soon(take)
                await settle()
                job_id = await submit(client, chat())
        assert taken == [job_id]


@pytest.mark.server
def test_a_worker_that_has_hung_up_gets_no_job():
    with serving(build_emulator(HELD)) as base, httpx.Client(base_url=f"{base}/v2/ep") as client:
        with pytest.raises(httpx.ReadTimeout):
            client.get("/job-take/gone", timeout=httpx.Timeout(BOUND_S, read=0.1))
        job_id = client.post("/run", json=chat()).json()["id"]
        assert client.get("/job-take/there").json()["id"] == job_id


async def test_a_held_stop_returns_with_the_cancelled_job_for_its_worker_only():
    async with emulator(HELD) as client:
        job_id = await submit(client, chat())
        await client.get("/job-take/w")
        told = {}

        async def stop(worker_id: str) -> None:
            told[worker_id] = (await client.get(f"/job-stop/{worker_id}")).json()

        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:
                group.start_soon(stop, "w")
                group.start_soon(stop, "other")
                await settle()
                await client.post(f"/cancel/{job_id}")
                while not told:
                    await anyio.sleep(0.01)
                group.cancel_scope.cancel()
        assert told == {"w": {"jobsToStop": [job_id]}}


async def test_yields_and_the_aggregate_with_the_sdks_content_type():
    async with emulator(BARE) as client:
        job_id = await submit(client, chat())
        await client.get("/job-take/w")
        headers = {"content-type": "application/x-www-form-urlencoded", "charset": "utf-8", "x-request-id": job_id}
        reply = await client.post(
            f"/job-stream/w/{job_id}?isStream=false", content='{"output": "grüß"}'.encode(), headers=headers
        )
        assert reply.status_code == 200
        await client.post(f"/job-done/w/{job_id}?isStream=true", content=b'{"output": ["x"]}', headers=headers)
        assert (await client.get(f"/stream/{job_id}")).json() == {
            "status": "COMPLETED",
            "stream": [{"output": "grüß"}],
        }
        assert (await status(client, job_id))["output"] == ["x"]


@pytest.mark.parametrize(
    ("result", "state", "shown"),
    [
        ({"output": {"a": 1}}, "COMPLETED", {"output": {"a": 1}}),
        ({}, "COMPLETED", {}),
        ({"output": [], "error": ""}, "COMPLETED", {"output": []}),
        ({"output": None}, "COMPLETED", {"output": None}),
        ({"error": "boom"}, "FAILED", {"error": "boom"}),
        ({"error": {"a": 1}}, "FAILED", {"error": '{"a":1}'}),
        ({"output": {"a": 1}, "error": "boom"}, "FAILED", {"error": "boom"}),
        ({"output": 1, "stopPod": True}, "COMPLETED", {"output": 1}),
    ],
)
async def test_results(result, state, shown):
    async with emulator(BARE) as client:
        job_id = await submit(client, chat())
        await client.get("/job-take/w")
        assert (await client.post(f"/job-done/w/{job_id}", json=result)).status_code == 200
        body = await status(client, job_id)
        assert body["status"] == state
        assert {key: value for key, value in body.items() if key in {"output", "error"}} == shown


async def test_progress_shows_until_the_result_replaces_it():
    async with emulator(BARE) as client:
        job_id = await submit(client, chat())
        await client.get("/job-take/w")
        await client.post(f"/job-done/w/{job_id}", json={"status": "IN_PROGRESS", "output": "half"})
        body = await status(client, job_id)
        assert (body["status"], body["output"]) == ("IN_PROGRESS", "half")
        await client.post(f"/job-done/w/{job_id}", json={"output": "whole"})
        await client.post(f"/job-done/w/{job_id}", json={"status": "IN_PROGRESS", "output": "late"})
        body = await status(client, job_id)
        assert (body["status"], body["output"]) == ("COMPLETED", "whole")


async def test_a_result_that_is_too_large_is_400_and_the_job_complete_without_output():
    async with emulator(EmulatorSettings(worker="none", result_bytes_max=100)) as client:
        job_id = await submit(client, chat())
        await client.get("/job-take/w")
        assert (await client.post(f"/job-done/w/{job_id}", json={"output": "x" * 100})).status_code == 400
        body = await status(client, job_id)
        assert (body["status"], "output" in body) == ("COMPLETED", False)


async def test_what_a_stopped_or_replaced_worker_still_says_is_dropped():
    async with emulator(BARE) as client:
        job_id = await submit(client, chat())
        await client.get("/job-take/w")
        await client.post(f"/cancel/{job_id}")
        assert (await client.post(f"/job-stream/w/{job_id}", json={"output": "late"})).status_code == 200
        assert (await client.post(f"/job-done/w/{job_id}", json={"output": "late"})).status_code == 200
        assert (await client.get(f"/stream/{job_id}")).json() == {"status": "CANCELLED", "stream": []}
        assert "output" not in await status(client, job_id)


@pytest.mark.parametrize("operation", ["job-stream", "job-done"])
async def test_unknown_jobs_and_bodies_that_are_no_json(operation):
    async with emulator(BARE) as client:
        assert (await client.post(f"/{operation}/w/nothing", json={"output": 1})).status_code == 404
        job_id = await submit(client, chat())
        await client.get("/job-take/w")
        assert (await client.post(f"/{operation}/w/{job_id}", content=b"{")).status_code == 400


async def test_a_worker_that_falls_silent_loses_its_job_and_one_that_pings_does_not():
    clock = HandClock()
    async with emulator(EmulatorSettings(worker="none", worker_lost_s=5.0, take_wait_s=0.05), clock=clock) as client:
        silent, pinging = [await submit(client, chat()) for _ in range(2)]
        await client.get("/job-take/silent")
        await client.get("/job-take/pinging")
        assert (await client.get("/health")).json()["workers"]["running"] == 2
        clock.s += 4
        assert (await client.get(f"/ping/pinging?job_id={pinging}&runpod_version=1.12.0")).status_code == 200
        clock.s += 4
        with anyio.fail_after(5):
            while (await status(client, silent))["status"] != "IN_QUEUE":
                await anyio.sleep(0.01)
        assert (await status(client, silent))["retries"] == 1
        assert (await status(client, pinging))["status"] == "IN_PROGRESS"
        assert (await client.get("/health")).json()["workers"]["running"] == 1


async def test_a_reset_lets_go_of_held_calls():
    async with emulator(HELD) as client:
        statuses = []

        async def hold(path: str) -> None:
            statuses.append((await client.get(path)).status_code)

        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:
                group.start_soon(hold, "/job-take/w")
                group.start_soon(hold, "/job-stop/w")
                await settle()
                await client.post(admin("reset"))
        assert statuses == [204, 204]
