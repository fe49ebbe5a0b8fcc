"""Runpod's next worker SDK, unmodified, against the worker API: what scripted workers play of it is what it does."""

import contextlib
import json
import pathlib
import signal

import httpx
import pytest

from gateway.emulator.app import build_emulator
from gateway.emulator.faults import FailWith
from gateway.emulator.script.failures import fault_error, job_error
from gateway.emulator.settings import EmulatorSettings
from tests.emulator.sdk_processes import NEXT_PYTHON, sdk_worker
from tests.serving import serving
from tests.waiting import eventually

pytestmark = pytest.mark.server

SETTINGS = EmulatorSettings(worker="none", wait_s_min=0.0, take_wait_s=0.5, worker_lost_s=100.0)
PATIENCE_S = 60.0
"""For the imports of three SDKs on a busy machine; nothing is measured."""


class Site:
    """One endpoint with one worker whose hook waits for a file."""

    def __init__(self, base: str, kind: str, home: pathlib.Path) -> None:
        self.kind = kind
        self.home = home
        self.client = httpx.Client(base_url=f"{base}/v2/{kind}", timeout=PATIENCE_S)

    def run(self, **job_input: object) -> str:
        return self.client.post("/run", json={"input": job_input}).json()["id"]

    def ended(self, job_id: str) -> dict:
        return self.client.get(f"/status-sync/{job_id}", params={"wait": 60_000}).json()

    def is_loading_with(self, job_id: str) -> bool:
        status = self.client.get(f"/status/{job_id}").json()["status"]
        return status == "IN_PROGRESS" and (self.home / f"{self.kind}.loading").exists()

    def release(self) -> None:
        (self.home / f"{self.kind}.release").touch()


def shape(kind: FailWith) -> set[str]:
    """The fields of what a scripted worker sends."""
    return set(json.loads(job_error(kind, fault_error(400))))


def test_a_job_is_in_progress_while_a_prestart_hook_runs_and_how_a_hook_ends(tmp_path):
    assert NEXT_PYTHON.exists(), "The next SDK of Runpod's is missing. Install with: python3 scripts/setup.py test"
    with contextlib.ExitStack() as stack:
        base = stack.enter_context(serving(build_emulator(SETTINGS)))
        processes = {
            kind: stack.enter_context(
                sdk_worker(
                    base,
                    kind,
                    tmp_path,
                    script="sdk_next_worker.py",
                    python=str(NEXT_PYTHON),
                    RUNPOD_LOG_CAPTURE="all",
                )
            )
            for kind in ("loads", "fails", "stops")
        }
        loads, fails, stops = sites = [Site(base, kind, tmp_path) for kind in processes]
        for site in sites:
            stack.enter_context(site.client)
        jobs = {site.kind: site.run(outputs=["a", "b"]) for site in sites}
        for site in sites:
            eventually(lambda site=site: site.is_loading_with(jobs[site.kind]), within_s=PATIENCE_S)

        page = loads.client.get(f"/stream/{jobs['loads']}", params={"wait": 1}).json()
        assert page == {"status": "IN_PROGRESS", "stream": []}
        assert loads.client.get("/health").json()["workers"]["running"] == 1
        loads.release()
        status = loads.ended(jobs["loads"])
        assert (status["status"], status["output"]) == ("COMPLETED", ["a", "b"])

        error = loads.ended(loads.run(outputs=["a"], end="raise"))["error"]
        assert error.startswith("handler: boom \ntraceback: Traceback (most recent call last):\n")
        assert error.partition("\nlogs:\n")[2].startswith("received {'outputs': ['a'], 'end': 'raise'}\n")

        fails.release()
        failed = json.loads(fails.ended(jobs["fails"])["error"])
        assert set(failed) == shape(FailWith.PRESTART_FAILED)
        assert (failed["event"], failed["hook"], failed["error_message"], failed["logs"]) == (
            *("prestart_failed", "load_model", "no weights", "loading the weights\n"),
        )
        assert processes["fails"].wait(PATIENCE_S) == 1

        processes["stops"].send_signal(signal.SIGTERM)
        cancelled = json.loads(stops.ended(jobs["stops"])["error"])
        assert set(cancelled) == shape(FailWith.PRESTART_CANCELLED)
        assert cancelled["event"] == "prestart_cancelled"
