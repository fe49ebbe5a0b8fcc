"""Jobs hold their seats until Runpod confirmed their end, so that what runs there is never more than what is held here.

The whole gateway, on virtual time, before a Runpod whose cancels are scarce: clients that leave at once and come again
beside clients that stay.
"""

import os
import random
from collections import Counter
from typing import Any

import anyio
import pytest

from gateway.config.keys import key_line
from tests.fakes.runpod import FakeRunpod
from tests.invariants.profile import HUNT
from tests.subject import EVENTS, Subject, running

SEATS = 8
CANCELS_PER_10S = 40
FLOOD_S = 30.0
STAY_PAGES = 10
LEAVERS = 12
SEEDS = range(3 if os.environ.get(HUNT) else 1)
LIMITS = {"cancel": {"per_10s": CANCELS_PER_10S, "concurrent": 4}}


class CountingRunpod(FakeRunpod):
    """Knows whose job is whose, and for how long each tenant's jobs ran."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.owners: dict[str, str] = {}
        self.seconds: Counter[str] = Counter()
        self.running_max: Counter[str] = Counter()
        self._chance = chance
        self._since_s: dict[str, float] = {}

    def _page(self, job_id: str) -> dict[str, Any]:
        if job_id not in self.running:
            return {"status": "CANCELLED", "stream": []}
        self.running[job_id] += 1
        if self.running[job_id] < STAY_PAGES:
            return {"status": "IN_PROGRESS", "stream": [{"output": EVENTS[1]}]}
        del self.running[job_id]
        return {"status": "COMPLETED", "stream": [{"output": each} for each in EVENTS[3:]]}

    def _answer(self, operation: str, job_id: str) -> tuple[int, list[bytes]]:
        if operation == "cancel" and self._chance.random() < 0.1:
            return 500, [b""]
        if operation == "status":
            self.status = {"status": "IN_PROGRESS" if job_id in self.running else "CANCELLED"}
        before = set(self.running)
        answer = super()._answer(operation, job_id)
        self._note(before)
        return answer

    def _note(self, before: set[str]) -> None:
        now_s = anyio.current_time()
        for job_id in self.running.keys() - before:
            self.owners[job_id] = self.bodies[-1]["input"]["openai_input"]["messages"][0]["content"]
            self._since_s[job_id] = now_s
        for job_id in before - self.running.keys():
            self.seconds[self.owners[job_id]] += now_s - self._since_s.pop(job_id)
        counts = Counter(self.owners[job_id] for job_id in self.running)
        counts["all"] = len(self.running)
        self.running_max |= counts


async def stay(subject: Subject, name: str) -> None:
    while True:
        await asked(subject, name).run(subject.gateway.app)


async def leave_again_and_again(subject: Subject, name: str, chance: random.Random) -> None:
    while True:
        call = asked(subject, name)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call.run, subject.gateway.app)
            await anyio.sleep(chance.choice((0.02, 0.05, 0.3)))
            call.leave()


def asked(subject: Subject, name: str) -> Any:
    return subject.call(key=name, stream=True, messages=[{"role": "user", "content": name}])


async def flood(runpod: CountingRunpod, chance: random.Random, **leaver: Any) -> Subject:
    tenants = [
        {"name": "stayer", "keys": [key_line("stayer")]},
        {"name": "leaver", "keys": [key_line("leaver")], **leaver},
    ]
    endpoint = {"max_in_flight": SEATS, "min_workers": 1, "limits": LIMITS}
    async with running(runpod, endpoint=endpoint, tenants=tenants) as subject:
        async with anyio.create_task_group() as tasks:
            for _ in range(SEATS):
                tasks.start_soon(stay, subject, "stayer")
            for _ in range(LEAVERS):
                tasks.start_soon(leave_again_and_again, subject, "leaver", chance)
            await anyio.sleep(FLOOD_S)
            tasks.cancel_scope.cancel()
        with anyio.fail_after(60):
            await subject.gateway._jobs.flush()
    return subject


@pytest.mark.parametrize("seed", SEEDS)
async def test_no_more_jobs_run_than_there_are_seats_and_tenants_have_their_shares(seed: int) -> None:
    chance = random.Random(seed)
    runpod = CountingRunpod(chance)
    subject = await flood(runpod, chance)
    assert runpod.running_max["all"] <= SEATS
    assert runpod.seconds["stayer"] == pytest.approx(runpod.seconds["leaver"], rel=0.05)
    assert sum(runpod.seconds.values()) >= 0.9 * SEATS * FLOOD_S
    assert (runpod.running, subject.held()) == ({}, {})


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_tenant_s_own_cap_counts_the_jobs_that_it_left(seed: int) -> None:
    chance = random.Random(seed)
    runpod = CountingRunpod(chance)
    subject = await flood(runpod, chance, max_in_flight=2)
    assert runpod.running_max["leaver"] <= 2
    assert runpod.running_max["all"] <= SEATS
    assert (runpod.running, subject.held()) == ({}, {})
