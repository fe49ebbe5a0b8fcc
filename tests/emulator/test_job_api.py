import anyio
import httpx
import pytest

from gateway.emulator.faults import Faults
from gateway.emulator.settings import EmulatorSettings
from tests.emulator.support import (
    PATIENT,
    HandClock,
    chat,
    content,
    drain,
    emulator,
    finished,
    read_events,
    settle,
    submit,
)

IDLE = EmulatorSettings(worker="none", wait_s_min=0.0)
"""Jobs stay queued until a test takes them over the worker API."""


async def take(client: httpx.AsyncClient) -> str:
    return (await client.get("/job-take/w")).json()["id"]


async def yield_output(client: httpx.AsyncClient, job_id: str, output) -> None:
    assert (await client.post(f"/job-stream/w/{job_id}", json={"output": output})).status_code == 200


async def done(client: httpx.AsyncClient, job_id: str, **result) -> None:
    assert (await client.post(f"/job-done/w/{job_id}", json=result)).status_code == 200


async def test_run_answers_at_once_and_the_stream_brings_the_answer():
    async with emulator() as client:
        reply = await client.post("/run", json=chat("good morning"))
        assert reply.json()["status"] == "IN_QUEUE"
        outputs, status = await drain(client, reply.json()["id"])
        assert status == "COMPLETED"
        assert content(read_events("".join(outputs))) == "You said: good morning"


@pytest.mark.parametrize(
    "body",
    ["", "{", "[]", "{}", '{"input": 1}', '{"input": null}', '{"input": {}, "policy": {"ttl": "soon"}}'],
)
@pytest.mark.parametrize("operation", ["run", "runsync"])
async def test_bad_submissions_are_400(operation, body):
    async with emulator() as client:
        reply = await client.post(f"/{operation}", content=body)
        assert reply.status_code == 400
        assert reply.json()["error"]


async def test_the_content_type_does_not_matter():
    async with emulator() as client:
        headers = {"content-type": "application/x-www-form-urlencoded"}
        assert (await client.post("/run", content=b'{"input":{}}', headers=headers)).status_code == 200


async def test_runsync_brings_the_whole_status():
    async with emulator() as client:
        reply = (await client.post("/runsync", json=chat(stream=False))).json()
        assert reply["status"] == "COMPLETED"
        assert reply["id"].startswith("sync-")
        assert reply["output"][0]["choices"][0]["message"]["content"] == "You said: Hello"
        assert {"delayTime", "executionTime", "workerId"} <= set(reply)


async def test_runsync_of_a_slow_job_names_it_after_the_wait():
    async with emulator(IDLE) as client:
        reply = (await client.post("/runsync", params={"wait": 10}, json=chat())).json()
        assert reply["status"] == "IN_QUEUE"
        assert set(reply) == {"id", "status"}


async def test_runsync_beyond_the_edges_patience_is_an_html_524_and_the_job_lives():
    async with emulator(EmulatorSettings(worker="none", edge_timeout_s=0.01)) as client:
        reply = await client.post("/runsync", json=chat())
        assert (reply.status_code, reply.headers["content-type"]) == (524, "text/html; charset=UTF-8")
        assert (await client.get("/health")).json()["jobs"]["inQueue"] == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_status_through_the_life_of_a_job(method):
    clock = HandClock()
    async with emulator(IDLE, clock=clock) as client:
        job_id = await submit(client, chat())

        async def status():
            return (await client.request(method, f"/status/{job_id}")).json()

        assert await status() == {"id": job_id, "status": "IN_QUEUE"}
        clock.s += 2
        await take(client)
        assert await status() == {"delayTime": 2000, "id": job_id, "status": "IN_PROGRESS", "workerId": "w"}
        clock.s += 3
        await done(client, job_id, output=["a"])
        assert await status() == {
            "delayTime": 2000,
            "executionTime": 3000,
            "id": job_id,
            "output": ["a"],
            "status": "COMPLETED",
            "workerId": "w",
        }


async def test_status_sync_waits_for_the_end():
    async with emulator(IDLE) as client:
        job_id = await submit(client, chat())
        assert (await client.get(f"/status-sync/{job_id}", params={"wait": 5})).json()["status"] == "IN_QUEUE"
        replies = []

        async def wait() -> None:
            replies.append((await client.get(f"/status-sync/{job_id}")).json())

        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:
                group.start_soon(wait)
                await settle()
                await take(client)
                await done(client, job_id, output="x")
        assert (replies[0]["status"], replies[0]["output"]) == ("COMPLETED", "x")


async def test_results_expire_and_status_can_shorten_that():
    clock = HandClock()
    async with emulator(clock=clock) as client:
        kept, shortened = [await submit(client, chat()) for _ in range(2)]
        for job_id in (kept, shortened):
            await finished(client, job_id)
        assert (await client.get(f"/status/{shortened}", params={"ttl": 6000})).status_code == 200
        clock.s += 6
        assert (await client.get(f"/status/{shortened}")).status_code == 404
        assert (await client.get(f"/stream/{shortened}")).status_code == 404
        clock.s += 1793
        assert (await client.get(f"/status/{kept}")).status_code == 200
        clock.s += 1
        assert (await client.get(f"/status/{kept}")).status_code == 404


async def test_the_time_to_live_deletes_a_queued_job():
    clock = HandClock()
    async with emulator(IDLE, clock=clock) as client:
        job_id = await submit(client, chat() | {"policy": {"ttl": 10_000}})
        clock.s += 9.9
        assert (await client.get(f"/status/{job_id}")).status_code == 200
        clock.s += 0.1
        assert (await client.get(f"/status/{job_id}")).status_code == 404


@pytest.mark.parametrize(
    "path", ["/stream/{}?wait=soon", "/status-sync/{}?wait=-1", "/status/{}?ttl=x", "/runsync?wait=1.5"]
)
async def test_waits_that_are_no_milliseconds(path):
    async with emulator(IDLE) as client:
        job_id = await submit(client, chat())
        assert (await client.post(path.format(job_id), json=chat())).status_code == 400


async def test_cancelling_a_queued_job():
    async with emulator(IDLE) as client:
        job_id = await submit(client, chat())
        assert (await client.post(f"/cancel/{job_id}")).json() == {"id": job_id, "status": "CANCELLED"}
        assert (await client.get(f"/status/{job_id}")).json() == {"id": job_id, "status": "CANCELLED"}
        assert (await client.get("/health")).json()["jobs"]["inQueue"] == 0


async def test_cancelling_a_running_job_frees_its_worker():
    async with emulator(EmulatorSettings(worker_concurrency=1)) as client:
        slow = await submit(client, chat("count to 1000 slowly"))
        assert (await client.get(f"/stream/{slow}")).json()["stream"]
        await client.post(f"/cancel/{slow}")
        assert (await finished(client, slow))["status"] == "CANCELLED"
        assert (await finished(client, await submit(client, chat())))["status"] == "COMPLETED"


async def test_cancelling_a_finished_job_tells_its_state():
    async with emulator() as client:
        job_id = await submit(client, chat())
        await finished(client, job_id)
        reply = await client.post(f"/cancel/{job_id}")
        assert (reply.status_code, reply.json()["status"]) == (200, "COMPLETED")


async def test_a_late_cancel_answers_at_once_and_lets_the_job_yield_on():
    clock = HandClock()
    settings = EmulatorSettings(worker="none", wait_s_min=0.0, faults=Faults(late_cancel_s=5.0))
    async with emulator(settings, clock=clock) as client:
        job_id = await submit(client, chat())
        await take(client)
        assert (await client.post(f"/cancel/{job_id}")).json()["status"] == "CANCELLED"
        await yield_output(client, job_id, "late")
        assert (await client.get(f"/stream/{job_id}")).json() == {
            "status": "IN_PROGRESS",
            "stream": [{"output": "late"}],
        }
        clock.s += 5
        assert (await client.get(f"/status/{job_id}")).json()["status"] == "CANCELLED"
        assert (await client.get("/job-stop/w")).json() == {"jobsToStop": [job_id]}


async def test_retry_of_a_failed_job_and_of_others():
    async with emulator(EmulatorSettings(faults=Faults(fail_with="handler", fail_jobs=1))) as client:
        job_id = await submit(client, chat())
        assert (await finished(client, job_id))["status"] == "FAILED"
        assert (await client.post(f"/retry/{job_id}")).json() == {"id": job_id, "status": "IN_QUEUE"}
        assert (await finished(client, job_id))["status"] == "COMPLETED"
        assert (await client.post(f"/retry/{job_id}")).status_code == 400


async def test_purging_the_queue():
    async with emulator(IDLE) as client:
        ids = [await submit(client, chat()) for _ in range(2)]
        assert (await client.post("/purge-queue")).json() == {"removed": 2, "status": "completed"}
        assert [(await client.get(f"/status/{job_id}")).json()["status"] for job_id in ids] == ["CANCELLED"] * 2


async def test_health_and_requests():
    async with emulator(clock=HandClock()) as client:
        job_id = await submit(client, chat())
        await finished(client, job_id)
        health = (await client.get("/health")).json()
        assert health["jobs"] == {"completed": 1, "failed": 0, "inProgress": 0, "inQueue": 0, "retried": 0}
        assert health["workers"] == {
            "idle": 1,
            "initializing": 0,
            "ready": 1,
            "running": 1,
            "throttled": 0,
            "unhealthy": 0,
        }
        assert (await client.get("/requests")).json() == {"requests": [{"id": job_id, "status": "COMPLETED"}]}


async def test_a_queue_that_is_too_deep_refuses_more():
    async with emulator(EmulatorSettings(worker="none", queued_jobs_max=1, jobs_kept_max=2)) as client:
        await submit(client, chat())
        assert (await client.post("/run", json=chat())).status_code == 429
        await take(client)
        await submit(client, chat())
        await client.get("/job-take/w")
        # Both jobs that may be kept are running: there is no room although the queue is empty.
        assert (await client.post("/run", json=chat())).status_code == 429


async def test_an_endpoint_does_not_know_the_jobs_of_another():
    async with emulator(PATIENT) as client:
        job_id = await submit(client, chat())
        assert (await client.get(f"http://emulator/v2/other/status/{job_id}")).status_code == 404
