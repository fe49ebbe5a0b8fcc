"""Runpod's own worker SDK, unmodified and in a process of its own, against the worker API."""

import contextlib
import json
import os
import signal
from collections.abc import Iterator

import httpx
import pytest

from gateway.emulator.app import build_emulator
from gateway.emulator.settings import EmulatorSettings
from tests.emulator.sdk_processes import sdk_worker
from tests.emulator.support import from_repr
from tests.serving import serving
from tests.waiting import a_moment, eventually

pytestmark = pytest.mark.server

SETTINGS = EmulatorSettings(worker="none", api_key="rp_test", wait_s_min=0.0, take_wait_s=0.5)
AUTHORIZATION = {"authorization": "Bearer rp_test"}


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("home")
    with serving(build_emulator(SETTINGS)) as url, contextlib.ExitStack() as workers:
        for kind in ("generator", "forgetful", "plain"):
            workers.enter_context(sdk_worker(url, kind, home))
        yield url


def run(client: httpx.Client, **job_input) -> str:
    reply = client.post("/run", json={"input": job_input})
    assert reply.status_code == 200
    return reply.json()["id"]


@pytest.fixture
def generator(base: str) -> Iterator[httpx.Client]:
    with client_of(base, "generator") as client:
        yield client


@pytest.fixture
def plain(base: str) -> Iterator[httpx.Client]:
    with client_of(base, "plain") as client:
        yield client


def client_of(base: str, kind: str) -> httpx.Client:
    return httpx.Client(base_url=f"{base}/v2/{kind}", headers=AUTHORIZATION, timeout=30)


def ended(client: httpx.Client, job_id: str) -> dict:
    return client.get(f"/status-sync/{job_id}", params={"wait": 30_000}).json()


def calls(client: httpx.Client) -> set[tuple[str, int]]:
    endpoint = client.base_url.path.strip("/").rpartition("/")[2]
    records = client.get(client.base_url.join("/emulator/calls")).json()
    return {(record["operation"], record["status"]) for record in records if record["endpoint"] == endpoint}


def test_yields_are_streamed_and_returned_as_a_list(generator):
    outputs = ["data: grüß\n\n", {"a": [1, None]}, ["x", 2], "ok"]
    job_id = run(generator, outputs=outputs)
    status = ended(generator, job_id)
    assert (status["status"], status["output"], status["workerId"]) == ("COMPLETED", outputs, "pod-generator")
    page = generator.get(f"/stream/{job_id}").json()
    assert page == {"status": "COMPLETED", "stream": [{"output": output} for output in outputs]}
    assert {("job-take-batch", 200), ("job-stream", 200), ("job-done", 200), ("ping", 200)} <= calls(generator)


def test_a_generator_that_raises(generator):
    job_id = run(generator, outputs=["before"], end="raise")
    status = ended(generator, job_id)
    assert status["status"] == "FAILED"
    assert status["error"].startswith("handler: boom \ntraceback: Traceback")
    assert "output" not in status
    assert generator.get(f"/stream/{job_id}").json() == {"status": "FAILED", "stream": [{"output": "before"}]}


def test_a_generator_that_yields_an_error(generator):
    status = ended(generator, run(generator, outputs=["before"], end="error"))
    assert status["status"] == "FAILED"
    assert from_repr(status["error"]) == {"message": "no such 'model'", "code": 404}


def test_a_cancel_stops_the_running_job_and_not_the_worker(generator):
    job_id = run(generator, end="never")
    assert generator.get(f"/stream/{job_id}").json()["status"] in {"IN_QUEUE", "IN_PROGRESS"}
    while not generator.get(f"/stream/{job_id}").json()["stream"]:
        pass
    assert generator.post(f"/cancel/{job_id}").json()["status"] == "CANCELLED"

    def posts() -> int:
        records = generator.get(generator.base_url.join("/emulator/calls")).json()
        return sum(call["operation"] == "job-stream" and call["job_id"] == job_id for call in records)

    # The SDK is told over job-stop and cancels the task: the yields stop coming.
    eventually(lambda: ("job-stop", 200) in calls(generator))

    def have_stopped() -> bool:
        before = posts()
        for _ in range(3):
            a_moment()
        return posts() == before

    eventually(have_stopped)
    assert ("job-stop", 200) in calls(generator)
    assert ended(generator, run(generator, outputs=["next"]))["output"] == ["next"]


def test_without_the_aggregate_the_stream_is_the_only_copy(base):
    with client_of(base, "forgetful") as client:
        job_id = run(client, outputs=["a", "b"])
        assert ended(client, job_id)["output"] == []
        assert client.get(f"/stream/{job_id}").json()["stream"] == [{"output": "a"}, {"output": "b"}]
        assert ("job-take", 200) in calls(client)


def test_a_plain_handler_returns(plain):
    status = ended(plain, run(plain, output={"text": "grüß"}))
    assert (status["status"], status["output"]) == ("COMPLETED", {"text": "grüß"})
    assert ended(plain, run(plain, output="plain"))["output"] == "plain"


def test_a_plain_handler_raises(plain):
    status = ended(plain, run(plain, end="raise"))
    assert status["status"] == "FAILED"
    error = json.loads(status["error"])
    assert (error["error_message"], error["worker_id"]) == ("boom", "pod-plain")


def test_a_plain_handler_returns_an_error(plain):
    status = ended(plain, run(plain, output={"error": "not today", "partial": 1}))
    assert (status["status"], status["error"]) == ("FAILED", "not today")


def test_the_workers_show_in_health(plain):
    ended(plain, run(plain, output=1))
    # One standby worker, and ours in the place of the other.
    assert plain.get("/health").json()["workers"] == {
        **dict.fromkeys(("initializing", "running", "throttled", "unhealthy"), 0),
        "idle": 2,
        "ready": 2,
    }
    (usage,) = [
        each for each in plain.get(plain.base_url.join("/emulator/usage")).json() if each["endpoint"] == "plain"
    ]
    assert [(worker["id"], worker["kind"]) for worker in usage["workers"]] == [("pod-plain", "remote")]
    assert usage["busy_ns"] > 0


def test_a_worker_that_is_killed_in_mid_job_and_the_one_that_takes_over(tmp_path):
    settings = EmulatorSettings(worker="none", wait_s_min=0.0, take_wait_s=0.5, worker_lost_s=3.0)
    with (
        serving(build_emulator(settings)) as url,
        httpx.Client(base_url=f"{url}/v2/generator", timeout=30) as client,
        sdk_worker(url, "generator", tmp_path) as process,
    ):
        job_id = run(client, end="never")
        while not client.get(f"/stream/{job_id}").json()["stream"]:
            pass
        # A ping that came too late on a busy machine may have cost it the job once already.
        retries = client.get(f"/status/{job_id}").json().get("retries", 0)
        os.killpg(process.pid, signal.SIGKILL)
        taken = client.get("/job-take/second")
        while taken.status_code == 204:
            taken = client.get("/job-take/second")
        assert taken.json()["id"] == job_id
        status = client.get(f"/status/{job_id}").json()
        assert (status["status"], status["retries"], status["workerId"]) == ("IN_PROGRESS", retries + 1, "second")
