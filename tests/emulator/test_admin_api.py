import anyio
import msgspec
import pytest

from gateway.emulator.faults import Faults
from gateway.emulator.settings import EmulatorSettings
from gateway.emulator.worker_time import NS_PER_S
from tests.emulator.support import HandClock, admin, chat, emulator, finished, settle, submit


async def test_jobs_show_what_the_job_api_does_not():
    clock = HandClock()
    async with emulator(EmulatorSettings(worker="none"), clock=clock) as client:
        job_id = await submit(client, chat())
        clock.s += 1
        await client.get("/job-take/w")
        await client.post(f"/job-stream/w/{job_id}", json={"output": 1})
        await client.post(f"/job-stream/w/{job_id}", json={"output": 2})
        await client.get(f"/stream/{job_id}")
        await client.post(f"/job-stream/w/{job_id}", json={"output": 3})
        clock.s += 1
        await client.post(f"/cancel/{job_id}")
        (job,) = (await client.get(admin("jobs"))).json()
        assert 0 < job["input_bytes"] < 1000
        assert job == {
            "id": job_id,
            "endpoint": "ep",
            "state": "CANCELLED",
            "worker_id": "w",
            "input_bytes": job["input_bytes"],
            "outputs_count": 3,
            "unread_count": 1,
            "dispatches": 1,
            "retries": 0,
            "submitted_s": 1000.0,
            "expires_s": 1000.0 + 86_400.0,
            "dispatched_s": 1001.0,
            "finished_s": 1002.0,
            "cancel_requested_s": 1002.0,
            "error": "",
            "occupancies": [
                {
                    "worker_id": "w",
                    "started_ns": 1001 * NS_PER_S,
                    "ended_ns": 1002 * NS_PER_S,
                    "jobs_count": 1,
                    "share_ns": NS_PER_S,
                }
            ],
        }


@pytest.mark.parametrize("route", ["run", "openai"])
async def test_usage_is_the_time_of_workers_and_not_the_sum_of_their_jobs(route):
    clock = HandClock()
    async with emulator(EmulatorSettings(worker="none"), clock=clock) as client, anyio.create_task_group() as group:
        await client.get("/ping/w")
        clock.s += 1
        for _ in range(2):
            if route == "run":
                await submit(client, chat())
            else:
                group.start_soon(client.get, "/openai/v1/models")
        await settle()
        ids = [job["id"] for job in (await client.get("/job-take-batch/w?batch_size=2")).json()]
        clock.s += 2
        await client.post(f"/job-done/w/{ids[0]}", json={"output": [{}]})
        clock.s += 4
        (usage,) = (await client.get(admin("usage"))).json()
        assert usage == {
            "endpoint": "ep",
            "at_s": 1007.0,
            "starting_ns": 0,
            "busy_ns": 6 * NS_PER_S,
            "idle_ns": NS_PER_S,
            "total_ns": 7 * NS_PER_S,
            "workers": [{"id": "w", "kind": "remote", "condition": "up", "jobs_count": 1}],
        }
        await client.post(f"/job-done/w/{ids[1]}", json={"output": [{}]})
        jobs = {job["id"]: job["occupancies"] for job in (await client.get(admin("jobs"))).json()}
        assert [[stay["share_ns"] // NS_PER_S for stay in jobs[job_id]] for job_id in ids] == [[1], [5]]
        assert all(stay["jobs_count"] == 2 for stays in jobs.values() for stay in stays)


async def test_faults_can_be_read_replaced_and_misspelt():
    async with emulator() as client:
        assert (await client.get(admin("faults"))).json()["cold_start_s"] == 0.0
        reply = await client.put(admin("faults"), json={"fail_with": "handler", "refused_operations": ["run"]})
        assert reply.status_code == 200
        assert reply.json()["fail_with"] == "handler"
        assert (await finished(client, await submit(client, chat())))["status"] == "FAILED"
        for wrong in ({"fail_wiht": "handler"}, {"fail_with": "nothing known"}, {"cold_start_s": "long"}):
            assert (await client.put(admin("faults"), json=wrong)).status_code == 400
        assert (await client.get(admin("faults"))).json()["fail_with"] == "handler"
        await client.put(admin("faults"), json={})
        assert (await finished(client, await submit(client, chat())))["status"] == "COMPLETED"


async def test_the_settings_in_force_are_shown_without_the_key():
    async with emulator(EmulatorSettings(api_key="rp_secret", standby_workers=3, prestart_s=1.5)) as client:
        await client.put(admin("faults"), json={"cold_start_s": 7.0})
        reply = await client.get(admin("settings"))
        shown = reply.json()
        assert {name: shown[name] for name in ("standby_workers", "prestart_s", "api_key")} == {
            "standby_workers": 3,
            "prestart_s": 1.5,
            "api_key": "set",
        }
        assert shown["faults"]["cold_start_s"] == 7.0
        assert set(shown) == {field.name for field in msgspec.structs.fields(EmulatorSettings)}
        assert "rp_secret" not in reply.text


async def test_a_reset_forgets_jobs_calls_limits_and_faults():
    async with emulator(EmulatorSettings(faults=Faults(late_cancel_s=1.0))) as client:
        job_id = await submit(client, chat())
        await client.put(admin("faults"), json={})
        assert (await client.post(admin("reset"))).status_code == 204
        assert (await client.get(admin("jobs"))).json() == []
        assert (await client.get(admin("calls"))).json() == []
        assert (await client.get(admin("limits"))).json() == {}
        assert (await client.get(admin("faults"))).json()["late_cancel_s"] == 1.0
        assert (await client.get(f"/status/{job_id}")).status_code == 404
        assert (await finished(client, await submit(client, chat())))["status"] == "COMPLETED"


async def test_no_key_is_asked_for():
    async with emulator(EmulatorSettings(api_key="k")) as client:
        for path in ("jobs", "usage", "calls", "limits", "settings", "faults"):
            assert (await client.get(admin(path))).status_code == 200
