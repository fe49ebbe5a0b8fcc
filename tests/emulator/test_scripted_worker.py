import json
from functools import partial

import anyio
import pytest

from gateway.emulator.endpoint import Endpoint
from gateway.emulator.faults import FaultPlan, Faults
from gateway.emulator.scripted_worker import ScriptedWorker
from gateway.emulator.settings import EmulatorSettings
from gateway.emulator.worker_time import NS_PER_S
from tests.emulator.support import (
    HandClock,
    admin,
    chat,
    content,
    drain,
    emulator,
    finished,
    read_events,
    settle,
    submit,
)
from tests.virtual_time import LoopClock

EVENTS = {"slices": "events", "wait_s_min": 0.0}


async def workers(client):
    counts = (await client.get("/health")).json()["workers"]
    return {kind: count for kind, count in counts.items() if count}


async def usage(client):
    (counted,) = (await client.get(admin("usage"))).json()
    return counted


async def jobs(client):
    return {job["id"]: job for job in (await client.get(admin("jobs"))).json()}


async def test_the_aggregate_is_the_list_of_all_yields():
    async with emulator(EmulatorSettings(**EVENTS)) as client:
        job_id = await submit(client, chat("count to 5"))
        outputs, _ = await drain(client, job_id)
        assert (await finished(client, job_id))["output"] == outputs


async def test_without_the_aggregate_the_list_is_empty():
    async with emulator(EmulatorSettings(aggregate=False)) as client:
        assert (await finished(client, await submit(client, chat())))["output"] == []


async def test_tokens_come_at_their_pace():
    async with emulator(EmulatorSettings(**EVENTS)) as client:
        start_s = anyio.current_time()
        job_id = await submit(client, chat("count to 5 #interval=0.05"))
        first = (await client.get(f"/stream/{job_id}")).json()
        assert len(first["stream"]) == 1
        await finished(client, job_id)
        assert anyio.current_time() - start_s >= 0.3


async def test_a_worker_runs_as_many_jobs_as_it_has_places_for():
    async with emulator(EmulatorSettings(worker_concurrency=2, **EVENTS)) as client:
        ids = [await submit(client, chat("slowly count to 100")) for _ in range(3)]
        for job_id in ids[:2]:
            await client.get(f"/stream/{job_id}")
        states = [(await jobs(client))[job_id]["state"] for job_id in ids]
        assert states == ["IN_PROGRESS", "IN_PROGRESS", "IN_QUEUE"]
        assert await workers(client) == {"idle": 1, "ready": 1, "running": 1}


async def test_several_workers():
    async with emulator(EmulatorSettings(workers=2, worker_concurrency=1, **EVENTS)) as client:
        ids = [await submit(client, chat("slowly count to 100")) for _ in range(3)]
        for job_id in ids[:2]:
            await client.get(f"/stream/{job_id}")
        taken = [(await jobs(client))[job_id]["worker_id"] for job_id in ids]
        assert sorted(taken) == ["", "scripted-0", "scripted-1"]
        assert await workers(client) == {"running": 2}


async def test_a_cold_start_begins_with_the_first_job():
    settings = EmulatorSettings(faults=Faults(cold_start_s=0.2), **EVENTS)
    async with emulator(settings) as client:
        assert await workers(client) == {"idle": 2, "ready": 2}
        job_id = await submit(client, chat())
        assert (await client.get(f"/stream/{job_id}", params={"wait": 50})).json()["status"] == "IN_QUEUE"
        assert await workers(client) == {"idle": 1, "initializing": 1, "ready": 1}
        status = await finished(client, job_id)
        assert status["delayTime"] >= 200
        # Warm by now.
        assert (await finished(client, await submit(client, chat())))["delayTime"] < 200


async def test_a_job_wakes_one_standby_worker_which_sleeps_again_after_its_idle_timeout():
    clock = HandClock()
    settings = EmulatorSettings(workers=2, **EVENTS)
    async with emulator(settings, clock=clock) as client:
        assert await workers(client) == {"idle": 2, "ready": 2}
        job_id = await submit(client, chat("count to 2 #interval=600"))
        await settle()
        assert await workers(client) == {"idle": 1, "ready": 1, "running": 1}
        clock.s += 3
        await client.post(f"/cancel/{job_id}")
        # In its idle timeout it is shown as in both recordings, one after the other.
        assert await workers(client) == {"idle": 1, "ready": 1, "running": 1}
        clock.s += 1
        assert await workers(client) == {"idle": 2, "ready": 2}
        clock.s += 3.5
        assert [each["condition"] for each in (await usage(client))["workers"]] == ["up", "asleep"]
        clock.s += 0.5
        assert await workers(client) == {"idle": 2, "ready": 2}
        counted = await usage(client)
        assert [counted[f"{kind}_ns"] / NS_PER_S for kind in ("starting", "busy", "idle")] == [0, 3, 5]


async def test_a_standby_worker_that_starts_is_initializing_while_the_others_sleep():
    settings = EmulatorSettings(workers=2, standby_workers=2, faults=Faults(cold_start_s=600), **EVENTS)
    async with emulator(settings) as client:
        for _ in range(2):
            await submit(client, chat())
        await settle()
        assert await workers(client) == {"idle": 1, "initializing": 1, "ready": 1}


async def test_a_worker_without_any_patience_takes_the_job_that_woke_it():
    async with emulator(EmulatorSettings(standby_workers=1, idle_timeout_s=0.0, **EVENTS)) as client:
        for _ in range(2):
            assert (await finished(client, await submit(client, chat())))["status"] == "COMPLETED"


async def test_the_jobs_of_the_openai_route_keep_a_worker_busy_too():
    clock = HandClock()
    settings = EmulatorSettings(standby_workers=1, **EVENTS)
    body = chat("count to 2 #interval=600")["input"]["openai_input"]
    async with emulator(settings, clock=clock) as client, anyio.create_task_group() as group:
        group.start_soon(partial(client.post, "/openai/v1/chat/completions", json=body))
        await settle()
        clock.s += 7
        assert (await usage(client))["busy_ns"] == 7 * NS_PER_S
        assert await workers(client) == {"running": 1}
        group.cancel_scope.cancel()


async def test_a_job_is_in_progress_while_the_prestart_hooks_run():
    async with emulator(EmulatorSettings(prestart_s=600, **EVENTS)) as client:
        job_id = await submit(client, chat())
        await settle()
        page = (await client.get(f"/stream/{job_id}", params={"wait": 20})).json()
        assert page == {"status": "IN_PROGRESS", "stream": []}
        assert await workers(client) == {"idle": 1, "ready": 1, "running": 1}
        await client.post(f"/cancel/{job_id}")
        assert (await finished(client, job_id))["status"] == "CANCELLED"


async def test_the_prestart_hooks_run_once_for_each_start():
    clock = HandClock()
    settings = EmulatorSettings(prestart_s=2, idle_timeout_s=10, **EVENTS)
    endpoint = Endpoint("ep", settings=settings, plan=FaultPlan(Faults()), clock=clock)
    worker = ScriptedWorker(endpoint, "w")
    starts = []
    for waited_s in (0, 1.5, 0.5, 9, 11):
        clock.s += waited_s
        job = endpoint.submit(b"{}")
        assert await worker._next_job() is job
        starts.append(worker._ready_s - clock.s)
        endpoint.complete(job, b"")
    assert starts == [2, 0.5, 0, -9, 2]


@pytest.mark.parametrize("kind", ["prestart_failed", "prestart_cancelled"])
async def test_a_prestart_hook_that_fails_takes_every_job_of_its_worker_with_it_and_the_worker_sleeps(kind):
    settings = EmulatorSettings(prestart_s=0.01, **EVENTS)
    plan = FaultPlan(Faults(fail_with=kind, fail_jobs=1))
    endpoint = Endpoint("ep", settings=settings, plan=plan, clock=HandClock())
    worker = ScriptedWorker(endpoint, "w")
    jobs = [endpoint.submit(json.dumps(chat()["input"]).encode()) for _ in range(3)]
    taken = [await worker._next_job() for _ in jobs]
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            for job in taken:
                group.start_soon(worker._perform, job)
    assert [(job.state.value, job.outputs_count) for job in jobs] == [("FAILED", 0)] * 3
    assert {json.loads(job.error)["event"] for job in jobs} == {kind}
    assert endpoint.workforce.is_asleep("w")
    # The next start has no fault.
    later = endpoint.submit(json.dumps(chat()["input"]).encode())
    assert await worker._next_job() is later
    await worker._perform(later)
    assert later.state.value == "COMPLETED"


async def test_the_error_of_a_prestart_hook_on_a_warm_worker_is_one_jobs_alone():
    async with emulator(EmulatorSettings(**EVENTS)) as client:
        going = await submit(client, chat("count to 2 #interval=600"))
        assert (await finished(client, await submit(client, chat("#fail=prestart_failed"))))["status"] == "FAILED"
        assert (await client.get(f"/status/{going}")).json()["status"] == "IN_PROGRESS"
        assert [(each["condition"], each["jobs_count"]) for each in (await usage(client))["workers"]] == [("up", 1)]


async def test_a_cold_start_that_is_switched_on_later():
    async with emulator() as client:
        await finished(client, await submit(client, chat()))
        await client.put(admin("faults"), json={"cold_start_s": 0.2})
        assert (await finished(client, await submit(client, chat())))["delayTime"] >= 200


@pytest.mark.parametrize(("down", "counts"), [("throttled", {"throttled": 2}), ("absent", {})])
async def test_workers_that_are_down_leave_jobs_in_the_queue_until_they_are_back(down, counts):
    async with emulator(EmulatorSettings(faults=Faults(workers_down=down), **EVENTS)) as client:
        job_id = await submit(client, chat())
        assert (await client.get(f"/stream/{job_id}", params={"wait": 20})).json()["status"] == "IN_QUEUE"
        assert await workers(client) == counts
        await client.put(admin("faults"), json={})
        assert (await finished(client, job_id))["status"] == "COMPLETED"


async def test_a_worker_that_dies_in_mid_stream_and_the_job_that_begins_again():
    faults = Faults(worker_deaths=1, death_after_outputs=3)
    async with emulator(EmulatorSettings(faults=faults, **EVENTS)) as client:
        job_id = await submit(client, chat("count to 4"))
        status = await finished(client, job_id)
        assert (status["status"], status["retries"]) == ("COMPLETED", 1)
        outputs, _ = await drain(client, job_id)
        tellings = [read_events("".join(part)) for part in (outputs[:3], outputs[3:6])]
        assert [each["choices"] for each in tellings[0]] == [each["choices"] for each in tellings[1]]
        assert tellings[0][0]["id"] != tellings[1][0]["id"]
        assert content(read_events("".join(outputs[3:]))) == "1 2 3 4"
        assert status["output"] == outputs[3:]
        assert (await jobs(client))[job_id]["dispatches"] == 2
        assert (await client.get("/health")).json()["jobs"]["retried"] == 1


async def test_the_delay_is_counted_anew_after_a_death():
    faults = Faults(worker_deaths=1, redispatch_delay_s=0.2)
    async with emulator(EmulatorSettings(faults=faults, **EVENTS)) as client:
        job_id = await submit(client, chat())
        page = (await client.get(f"/stream/{job_id}")).json()
        assert page["status"] == "IN_PROGRESS"
        assert (await client.get(f"/status/{job_id}")).json()["delayTime"] < 200
        assert (await finished(client, job_id))["delayTime"] >= 200


async def test_a_job_whose_workers_keep_dying_fails_as_recorded():
    async with emulator(EmulatorSettings(**EVENTS)) as client:
        status = await finished(client, await submit(client, chat("#deaths=2")))
        assert (status["status"], status["error"], status["retries"]) == ("FAILED", "job timed out after 1 retries", 1)


async def test_a_job_that_is_cancelled_while_its_worker_dies_stays_cancelled():
    faults = Faults(worker_deaths=1, redispatch_delay_s=0.1)
    async with emulator(EmulatorSettings(faults=faults, **EVENTS)) as client:
        job_id = await submit(client, chat())
        await client.get(f"/stream/{job_id}")
        await client.post(f"/cancel/{job_id}")
        await anyio.sleep(0.15)
        assert (await jobs(client))[job_id]["dispatches"] == 1
        assert (await client.get(f"/status/{job_id}")).json()["status"] == "CANCELLED"


@pytest.mark.parametrize("text", ["hi", "#fail=handler", "#fail=no_output", "#deaths=1"])
@pytest.mark.parametrize("is_deleted", [False, True])
async def test_a_worker_whose_job_was_taken_away_meanwhile_changes_nothing(text, is_deleted):
    # The stop reaches a worker a moment after the job has ended; in that moment it goes on.
    settings = EmulatorSettings(**EVENTS)
    endpoint = Endpoint("ep", settings=settings, plan=FaultPlan(Faults()), clock=LoopClock())
    job = endpoint.submit(json.dumps(chat(text)["input"]).encode())
    worker = ScriptedWorker(endpoint, "w")
    assert await worker._next_job() is job
    if is_deleted:
        endpoint.close()
    else:
        endpoint.cancel(job)
    state = job.state
    await worker._answer(job)
    assert (job.state, job.outputs_count, job.output) == (state, 0, b"")


async def test_a_late_cancel_lets_the_answer_go_on():
    async with emulator(EmulatorSettings(faults=Faults(late_cancel_s=0.3), **EVENTS)) as client:
        job_id = await submit(client, chat("count to 1000 #interval=0.02"))
        await client.get(f"/stream/{job_id}")
        assert (await client.post(f"/cancel/{job_id}")).json()["status"] == "CANCELLED"
        page = (await client.get(f"/stream/{job_id}")).json()
        assert (page["status"], bool(page["stream"])) == ("IN_PROGRESS", True)
        assert (await finished(client, job_id))["status"] == "CANCELLED"
        # And the place on the worker is free again.
        count = (await jobs(client))[job_id]["outputs_count"]
        await anyio.sleep(0.05)
        assert (await jobs(client))[job_id]["outputs_count"] == count
        assert [each["jobs_count"] for each in (await usage(client))["workers"]] == [0]


async def test_a_complete_job_without_output_streams_nothing():
    async with emulator(EmulatorSettings(**EVENTS)) as client:
        job_id = await submit(client, chat("#fail=no_output"))
        status = await finished(client, job_id)
        assert (status["status"], "output" in status) == ("COMPLETED", False)
        assert await drain(client, job_id) == ([], "COMPLETED")


async def test_a_failed_job_streams_what_came_before():
    async with emulator(EmulatorSettings(**EVENTS)) as client:
        job_id = await submit(client, chat("count to 9 #fail=yielded #fail-after=3"))
        outputs, status = await drain(client, job_id)
        assert (len(outputs), status) == (3, "FAILED")
        assert "output" not in await finished(client, job_id)


async def test_metrics_stand_beside_the_output_of_2023():
    async with emulator(EmulatorSettings(dialect="legacy")) as client:
        job_id = await submit(client, {"input": {"prompt": "hi", "stream": True}})
        assert (await finished(client, job_id))["output"]["text"] == ["You said: hi"]
        page = (await client.get(f"/stream/{job_id}")).json()
        assert all(set(item) == {"metrics", "output"} for item in page["stream"])


async def test_the_execution_timeout_stops_the_worker():
    async with emulator(EmulatorSettings(execution_timeout_s_min=0.1, worker_concurrency=1, **EVENTS)) as client:
        job_id = await submit(client, chat("slowly count to 1000") | {"policy": {"executionTimeout": 100}})
        status = await finished(client, job_id)
        assert (status["status"], status["error"]) == ("FAILED", "job timed out after 0 retries")
        assert (await finished(client, await submit(client, chat())))["status"] == "COMPLETED"


async def test_a_long_answer_without_pauses_lets_others_run():
    async with emulator(EmulatorSettings(**EVENTS)) as client:
        job_id = await submit(client, chat("count to 5000"))
        page = (await client.get(f"/stream/{job_id}")).json()
        assert page["status"] == "IN_PROGRESS"
        assert 0 < len(page["stream"]) < 5000
