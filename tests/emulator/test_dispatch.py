import anyio
import httpx
import pytest

from gateway.emulator.app import build_emulator
from gateway.emulator.faults import Faults
from gateway.emulator.limits import Limit
from gateway.emulator.settings import EmulatorSettings
from tests.emulator.support import PATIENT, HandClock, admin, chat, drain, emulator, finished, settle, submit
from tests.serving import serving


@pytest.mark.parametrize("path", ["/nothing", "/nothing/x", "/", "http://emulator/v2/", "http://emulator/v2"])
async def test_unknown_operations_are_404(path):
    async with emulator() as client:
        assert (await client.get(path)).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/run", 405),
        ("GET", "/runsync", 405),
        ("GET", "/cancel/x", 405),
        ("GET", "/purge-queue", 405),
        ("POST", "/health", 405),
        ("DELETE", "/status/x", 405),
        ("GET", "/status/x", 404),
        ("POST", "/status/x", 404),
        ("GET", "/stream/x", 404),
        ("POST", "/stream/x", 404),
        ("POST", "/status-sync/x", 404),
        ("POST", "/cancel/x", 404),
        ("POST", "/retry/x", 404),
    ],
)
async def test_methods_and_unknown_jobs(method, path, status):
    async with emulator() as client:
        reply = await client.request(method, path)
        assert (reply.status_code, reply.headers["content-type"]) == (status, "application/json")


@pytest.mark.parametrize(
    ("header", "status"),
    [(None, 401), ("Bearer wrong", 401), ("Basic rpa_k", 401), ("", 401), ("Bearer rpa_k", 200), ("rpa_k", 200)],
)
async def test_both_forms_of_the_key(header, status):
    async with emulator(EmulatorSettings(api_key="rpa_k")) as client:
        headers = {} if header is None else {"authorization": header}
        assert (await client.get("/health", headers=headers)).status_code == status
        # A worker's ping stands for the worker API.
        assert (await client.get("/ping/w", headers=headers)).status_code == status


async def test_without_a_key_every_caller_is_welcome():
    async with emulator() as client:
        assert (await client.get("/health", headers={"authorization": "Bearer anything"})).status_code == 200


async def test_the_published_rate_of_purges_is_enforced_per_endpoint_and_forgiven_after_ten_seconds():
    clock = HandClock()
    async with emulator(clock=clock) as client:
        statuses = [(await client.post("/purge-queue")).status_code for _ in range(3)]
        assert statuses == [200, 200, 429]
        assert (await client.post("http://emulator/v2/other/purge-queue")).status_code == 200
        clock.s += 10
        assert (await client.post("/purge-queue")).status_code == 200
        seen = (await client.get(admin("limits"))).json()["ep"]["purge-queue"]
        assert seen == {"calls_10s_max": 3, "concurrent_max": 1, "refused": 1}


async def test_the_published_rate_of_cancels():
    async with emulator(clock=HandClock()) as client:
        statuses = [(await client.post("/cancel/x")).status_code for _ in range(102)]
        assert statuses == [404] * 100 + [429] * 2


async def test_limits_can_be_replaced_and_switched_off():
    limits = {"health": Limit(per_10s=1)}
    async with emulator(EmulatorSettings(limits=limits)) as client:
        assert [(await client.get("/health")).status_code for _ in range(2)] == [200, 429]
    async with emulator(EmulatorSettings(limits=limits, limits_enforced=False)) as client:
        assert [(await client.get("/health")).status_code for _ in range(2)] == [200, 200]


async def test_running_workers_raise_the_limits():
    settings = EmulatorSettings(workers=2, worker_concurrency=1, requests_per_worker=2)
    async with emulator(settings, clock=HandClock()) as client:
        for _ in range(2):
            await submit(client, chat("count to 2 #interval=600"))
        await settle()
        assert [(await client.post("/purge-queue")).status_code for _ in range(5)] == [200] * 4 + [429]


@pytest.mark.parametrize(("status", "kind"), [(429, "json"), (500, "json"), (503, "html"), (524, "html")])
async def test_a_burst_of_refusals(status, kind):
    faults = Faults(refused_calls=2, refused_status=status)
    async with emulator(EmulatorSettings(faults=faults)) as client:
        assert (await client.get("/ping/w")).status_code == 200
        replies = [await client.post("/run", json=chat()) for _ in range(3)]
        assert [reply.status_code for reply in replies] == [status, status, 200]
        assert kind in replies[0].headers["content-type"]
        assert len((await client.get(admin("jobs"))).json()) == 1


async def test_a_refusal_after_the_effect():
    faults = Faults(refused_calls=1, refused_status=502, refused_after_effect=True)
    async with emulator(EmulatorSettings(faults=faults)) as client:
        assert (await client.post("/run", json=chat())).status_code == 502
        assert len((await client.get(admin("jobs"))).json()) == 1


async def test_refusals_of_named_operations_only():
    faults = Faults(refused_calls=1, refused_operations=("stream",))
    async with emulator(EmulatorSettings(faults=faults, wait_s_min=0.0)) as client:
        job_id = await submit(client, chat())
        assert (await client.get(f"/stream/{job_id}")).status_code == 429
        assert (await client.get(f"/stream/{job_id}")).status_code == 200


async def test_the_distance_to_the_data_centre_spares_the_workers():
    async with emulator(EmulatorSettings(faults=Faults(reply_delay_s=0.3))) as client:
        start_s = anyio.current_time()
        await client.get("/ping/w")
        assert anyio.current_time() - start_s < 0.3
        await client.get("/health")
        assert anyio.current_time() - start_s >= 0.3


@pytest.mark.server
def test_a_lost_reply_closes_the_connection_and_its_outputs_are_gone():
    settings = EmulatorSettings(faults=Faults(lost_replies=1), wait_s_min=0.0)
    with (
        serving(build_emulator(settings), log_level="critical") as base,
        httpx.Client(base_url=f"{base}/v2/ep") as client,
    ):
        job_id = client.post("/run", json=chat()).json()["id"]
        assert client.get(f"/status-sync/{job_id}").json()["status"] == "COMPLETED"
        with pytest.raises(httpx.RemoteProtocolError):
            client.get(f"/stream/{job_id}")
        assert client.get(f"/stream/{job_id}").json() == {"status": "COMPLETED", "stream": []}
        calls = client.get(f"{base}/emulator/calls").json()
        assert [call["status"] for call in calls if call["operation"] == "stream"] == [0, 200]


@pytest.mark.server
def test_other_operations_can_lose_replies_too():
    settings = EmulatorSettings(faults=Faults(lost_replies=1, lost_operations=("run",)))
    with (
        serving(build_emulator(settings), log_level="critical") as base,
        httpx.Client(base_url=f"{base}/v2/ep") as client,
    ):
        with pytest.raises(httpx.RemoteProtocolError):
            client.post("/run", json=chat())
        assert len(client.get(f"{base}/emulator/jobs").json()) == 1


async def test_an_empty_page_does_not_count_as_a_lost_reply():
    settings = EmulatorSettings(faults=Faults(lost_replies=1, lost_after=1), wait_s_min=0.0, stream_wait_s=0.01)
    async with emulator(settings) as client:
        job_id = await submit(client, chat("slowly #interval=0.1"))
        assert (await client.get(f"/stream/{job_id}")).json()["stream"] == []
        await finished(client, job_id)
        outputs, _ = await drain(client, job_id)
        assert outputs


async def test_more_endpoints_than_allowed_are_404():
    async with emulator(EmulatorSettings(endpoints_max=1)) as client:
        assert (await client.get("/health")).status_code == 200
        assert (await client.get("http://emulator/v2/another/health")).status_code == 404


async def test_a_body_over_the_limit_is_413():
    async with emulator(EmulatorSettings(run_body_bytes_max=200)) as client:
        assert (await client.post("/run", json=chat("x" * 200))).status_code == 413
        assert (await client.post("/run", json={"input": {"prompt": "x"}})).status_code == 200


async def test_the_log_of_calls_names_the_job():
    async with emulator(PATIENT) as client:
        job_id = await submit(client, chat())
        await client.get(f"/status/{job_id}")
        calls = (await client.get(admin("calls"))).json()
        assert [(call["operation"], call["method"], call["job_id"], call["status"]) for call in calls] == [
            ("run", "POST", job_id, 200),
            ("status", "GET", job_id, 200),
        ]
        assert calls[0]["at_s"] <= calls[1]["at_s"]
