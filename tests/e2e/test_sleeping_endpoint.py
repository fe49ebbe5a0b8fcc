"""An endpoint at rest as the live service shows it: standby workers that /health calls idle and ready."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from gateway.emulator.faults import Faults
from gateway.emulator.settings import EmulatorSettings
from tests.stacks import KEY, RUNPOD_KEY, Stack, stack
from tests.waiting import BOUND_S

pytestmark = pytest.mark.server

CROWD = 7
RESTING = {"idle": 2, "initializing": 0, "ready": 2, "running": 0, "throttled": 0, "unhealthy": 0}
COLD = EmulatorSettings(api_key=RUNPOD_KEY, faults=Faults(cold_start_s=3))
LOADING = EmulatorSettings(api_key=RUNPOD_KEY, prestart_s=3)


def ask(at: Stack) -> httpx.Response:
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "count to 3"}]}
    headers = {"authorization": f"Bearer {KEY}"}
    return httpx.post(f"{at.base_url}/chat/completions", json=body, headers=headers, timeout=BOUND_S)


@pytest.mark.parametrize("settings", [COLD, LOADING], ids=["cold", "loading"])
def test_seven_requests_send_one_job_until_a_worker_has_shown_output(settings: EmulatorSettings) -> None:
    with stack(settings, endpoint={"route": "auto"}) as made:
        health: Any = httpx.get(f"{made.emulator_url}/v2/ep1/health", headers={"authorization": RUNPOD_KEY}).json()
        assert health["workers"] == RESTING
        with ThreadPoolExecutor(CROWD) as pool:
            answers = list(pool.map(ask, [made] * CROWD))
        assert [answer.status_code for answer in answers] == [200] * CROWD
        calls, jobs = made.calls(), made.jobs()
    began_s = min(job["dispatched_s"] for job in jobs) + settings.prestart_s
    early = [call["operation"] for call in calls if call["at_s"] < began_s]
    assert early.count("run") == 1
    assert early.count("openai") == 0
    assert sum(call["operation"] in {"run", "openai"} for call in calls) == CROWD


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (EmulatorSettings(api_key=RUNPOD_KEY, faults=Faults(cold_start_s=60)), "a worker is starting"),
        (EmulatorSettings(api_key=RUNPOD_KEY, prestart_s=60), "loading its model"),
    ],
    ids=["cold", "loading"],
)
def test_a_start_that_takes_too_long_is_told_as_it_is(settings: EmulatorSettings, words: str) -> None:
    with stack(settings, endpoint={"route": "auto", "cold_start_timeout_s": 3}) as made:
        answer = ask(made)
    assert answer.status_code == 503
    message = answer.json()["error"]["message"]
    assert words in message
    assert "busy" not in message
    assert "in use" not in message
