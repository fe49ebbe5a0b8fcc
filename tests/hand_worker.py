"""A Runpod worker whose every step is taken by the test, so that a job does not depend on the speed of the machine."""

from typing import Any

import httpx

from tests.stacks import ENDPOINT_ID, RUNPOD_KEY
from tests.waiting import BOUND_S, eventually


class HandWorker:
    """A worker of an emulator that has none of its own (`worker="none"`)."""

    def __init__(self, emulator_url: str) -> None:
        self._http = httpx.Client(
            base_url=f"{emulator_url}/v2/{ENDPOINT_ID}", headers={"authorization": RUNPOD_KEY}, timeout=BOUND_S
        )

    def take(self, count: int) -> list[str]:
        """Take so many jobs as they come, and return their ids."""
        return [eventually(self._take) for _ in range(count)]

    def _take(self) -> str | None:
        reply = self._http.get("/job-take/by-hand")
        return reply.json()["id"] if reply.status_code == 200 else None

    def say(self, job_id: str, *outputs: Any) -> None:
        """Send these outputs of a job."""
        for output in outputs:
            self._http.post(f"/job-stream/by-hand/{job_id}", json={"output": output}).raise_for_status()

    def end(self, job_id: str) -> None:
        """Complete a job."""
        self._http.post(f"/job-done/by-hand/{job_id}", json={"output": []}).raise_for_status()

    def close(self) -> None:
        """Close the connection."""
        self._http.close()
