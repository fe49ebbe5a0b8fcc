"""GPU seconds by the gateway beside the emulator's own account of its worker, on both routes."""

import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from gateway.emulator.settings import EmulatorSettings
from tests.effort import IS_THOROUGH
from tests.stacks import KEY, RUNPOD_KEY, Stack, stack

JOBS = 8
"""At once on one worker: their execution times add up to eight times its own."""
# On the OpenAI route, a job's start and an abandoned job's end are known to some 0.2 s only: answers of 24 s show that
# the sums agree within 2 %, those of 6 s within 8 %.
WORDS = 60 if IS_THOROUGH else 15
WITHIN = 0.02 if IS_THOROUGH else 0.08
TOKEN_S = 0.4
SETTLE_S_MAX = 15.0
DEAD = "http://127.0.0.1:9/v2"
QUESTION = f"slowly count to {WORDS}"


def endpoints(url: str, route: str) -> dict[str, Any]:
    """The emulator's endpoint behind one that nobody serves, so that every request fails over."""
    entry = {"api_key": RUNPOD_KEY, "route": route, "min_workers": 1}
    return {
        "endpoints": [
            {"name": "dead", "id": "dead", "base_url": DEAD, **entry},
            {"name": "chat", "id": "ep1", "base_url": f"{url}/v2", **entry},
        ],
        "models": [{"id": "m", "endpoint": ["dead", "chat"]}],
    }


def ask(at: Stack, *, stream: bool, leave_after: int | None = None) -> None:
    body = {"model": "m", "stream": stream, "messages": [{"role": "user", "content": QUESTION}]}
    headers = {"authorization": f"Bearer {KEY}"}
    with httpx.stream("POST", f"{at.base_url}/chat/completions", json=body, headers=headers, timeout=60) as answer:
        assert answer.status_code == 200
        for number, _ in enumerate(answer.iter_lines()):
            if number == leave_after:
                return


def charged_s(at: Stack) -> float:
    """The sum over tenants."""
    metrics = httpx.get(f"{at.url}/metrics").text
    return sum(
        float(value) for value in re.findall(r"^gateway_gpu_seconds_total\{[^}]*\} (\S+)$", metrics, re.MULTILINE)
    )


def busy_s(at: Stack) -> float:
    usage: Any = httpx.get(f"{at.emulator_url}/emulator/usage").json()
    entries = usage if isinstance(usage, list) else usage["endpoints"]
    return sum(int(entry["busy_ns"]) for entry in entries) / 1e9


@pytest.mark.server
@pytest.mark.alone
@pytest.mark.parametrize("route", ["job", "openai"])
def test_tenants_are_charged_the_time_of_the_worker_and_no_more(route: str) -> None:
    settings = EmulatorSettings(api_key=RUNPOD_KEY, worker_concurrency=JOBS, slow_token_interval_s=TOKEN_S)
    with stack(settings, sections_of=lambda url: endpoints(url, route)) as made:
        # Each of these is sent again.
        made.set_faults(refused_calls=2, refused_status=429, refused_operations=["run", "openai"])
        with ThreadPoolExecutor(JOBS) as pool:
            asked = [pool.submit(ask, made, stream=True, leave_after=WORDS // 2)]
            asked += [pool.submit(ask, made, stream=number % 2 == 0) for number in range(JOBS - 1)]
            for each in asked:
                each.result()
        deadline_s = time.monotonic() + SETTLE_S_MAX
        while abs(charged_s(made) / busy_s(made) - 1) > WITHIN and time.monotonic() < deadline_s:
            time.sleep(0.1)
        assert charged_s(made) == pytest.approx(busy_s(made), rel=WITHIN)
