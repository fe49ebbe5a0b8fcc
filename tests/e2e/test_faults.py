"""The gateway before a Runpod that has a bad day: a client gets its whole answer, or an honest error."""

from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from gateway.emulator.faults import Faults
from gateway.emulator.settings import EmulatorSettings
from tests.stacks import KEY, RUNPOD_KEY, Stack, stack
from tests.waiting import eventually

pytestmark = pytest.mark.server

NUMBERS = " ".join(str(number) for number in range(1, 41))


@pytest.fixture(scope="module")
def running() -> Iterator[Stack]:
    with stack(EmulatorSettings(api_key=RUNPOD_KEY, wait_s_min=0.0, slow_token_interval_s=0.01)) as made:
        yield made


@pytest.fixture(autouse=True)
def _calm(running: Stack) -> Iterator[None]:
    yield
    running.set_faults()


def ask(at: Stack, text: str = "slowly count to 40", into: list[str] | None = None) -> str:
    """The streamed text; its parts go `into` a list as they come, where a test wants those before a failure."""
    parts = [] if into is None else into
    with openai.OpenAI(base_url=at.base_url, api_key=KEY, max_retries=0, timeout=30) as client:
        messages: Any = [{"role": "user", "content": text}]
        chunks = client.chat.completions.create(model="m", messages=messages, stream=True)
        parts.extend(chunk.choices[0].delta.content or "" for chunk in chunks)
    return "".join(parts)


@pytest.mark.parametrize(
    "faults",
    [
        {"slice_bytes": 1},
        {"refused_calls": 2, "refused_status": 429, "refused_operations": ["stream"]},
        {"refused_calls": 1, "refused_status": 429, "refused_operations": ["run"]},
        {"lost_replies": 1},
        {"lost_replies": 3},
        {"refused_calls": 1, "refused_status": 502, "refused_operations": ["stream"]},
        {"refused_calls": 1, "refused_status": 524, "refused_operations": ["stream"], "refused_after_effect": True},
        {"cold_start_s": 0.5},
        {"late_cancel_s": 5.0},
        {"reply_delay_s": 0.02},
    ],
    ids=str,
)
def test_the_whole_answer_arrives_in_spite_of_it(running: Stack, faults: dict[str, Any]) -> None:
    running.set_faults(**faults)
    assert ask(running) == NUMBERS


@pytest.mark.parametrize(
    ("faults", "status"),
    [
        ({"refused_calls": 1, "refused_status": 500, "refused_operations": ["run"]}, 502),
        ({"refused_calls": 1, "refused_status": 524, "refused_operations": ["run"]}, 502),
        ({"fail_with": "no_output"}, 502),
        ({"fail_with": "platform"}, 502),
        ({"fail_with": "handler"}, 502),
        ({"fail_with": "vllm_http", "fail_status": 400}, 400),
        ({"queue_timeout_s": 0.2, "workers_down": "throttled"}, 502),
    ],
    ids=str,
)
def test_a_failure_before_the_first_byte_is_an_http_error(running: Stack, faults: dict[str, Any], status: int) -> None:
    running.set_faults(**faults)
    with pytest.raises(openai.APIStatusError) as caught:
        ask(running, "count to 3")
    assert caught.value.status_code == status
    assert "Traceback" not in caught.value.message


@pytest.mark.parametrize(
    "faults",
    [
        {"fail_with": "generator", "fail_after_outputs": 30},
        {"worker_deaths": 1, "death_after_outputs": 30},
        {"worker_deaths": 1, "death_after_outputs": 30, "redispatch_delay_s": 0.5},
    ],
    ids=str,
)
def test_a_failure_after_it_is_an_error_event_and_no_text_comes_twice(running: Stack, faults: dict[str, Any]) -> None:
    running.set_faults(**faults)
    texts: list[str] = []
    with pytest.raises(openai.APIError):
        ask(running, into=texts)
    assert NUMBERS.startswith("".join(texts))


def test_a_cut_character_is_counted(running: Stack) -> None:
    running.set_faults(cut_characters=True)
    assert "\ufffd" in ask(running, f'say "{"😀 " * 200}"')
    assert 'gateway_replacement_characters_total{endpoint="chat"}' in httpx.get(f"{running.url}/metrics").text


@pytest.mark.parametrize("dialect", ["vllm", "legacy", "text"])
def test_the_older_pages_without_a_status_are_read(dialect: str) -> None:
    settings = EmulatorSettings(api_key=RUNPOD_KEY, stream_shape="array", dialect=dialect, wait_s_min=0.0)  # type: ignore[arg-type]
    worker = "openai" if dialect == "vllm" else dialect
    with stack(settings, endpoint={"worker": worker}) as old:
        assert ask(old, "count to 40") == NUMBERS


def test_a_job_whose_time_to_live_ends_is_an_error() -> None:
    settings = EmulatorSettings(api_key=RUNPOD_KEY, wait_s_min=0.0, faults=Faults(workers_down="absent"))
    with stack(settings, endpoint={"cold_start_timeout_s": 0.5}) as idle:
        with pytest.raises(openai.InternalServerError, match="No Runpod worker") as caught:
            ask(idle)
        assert 1 <= int(caught.value.response.headers["retry-after"]) <= 60


def test_nothing_is_left_running(running: Stack) -> None:
    ask(running, "count to 3")
    eventually(lambda: not [job for job in running.jobs() if job["state"] in {"IN_QUEUE", "IN_PROGRESS"}])
    eventually(lambda: httpx.get(f"{running.url}/readyz").json()["exchanges"] == 0)
