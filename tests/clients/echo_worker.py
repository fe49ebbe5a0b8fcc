"""A worker that answers with what it was asked, and with fields that newer model servers add."""

import contextlib
import json
import threading
from collections.abc import Iterator
from typing import Any

import httpx

from tests.stacks import ENDPOINT_ID, RUNPOD_KEY, Stack

TAKE_WAIT_S = 0.2
"""How long the emulator holds a call for a job, and so how long this worker takes to end."""

USAGE = {
    "prompt_tokens": 10,
    "completion_tokens": 7,
    "total_tokens": 17,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 3},
}


@contextlib.contextmanager
def echo_worker(stack: Stack) -> Iterator[None]:
    """Take the jobs of a stack whose emulator has no workers of its own."""
    is_over = threading.Event()

    def work() -> None:
        with httpx.Client(
            base_url=f"{stack.emulator_url}/v2/{ENDPOINT_ID}", headers={"authorization": RUNPOD_KEY}
        ) as api:
            while not is_over.is_set():
                reply = api.get("/job-take/echo")
                if reply.status_code == 200:
                    _serve(api, reply.json())

    thread = threading.Thread(target=work, name="echo-worker", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join(timeout=30)


def _serve(api: httpx.Client, job: dict[str, Any]) -> None:
    asked = job["input"]["openai_input"]
    outputs = _chunks(asked) if asked.get("stream") else [_whole(asked)]
    for output in outputs:
        api.post(f"/job-stream/echo/{job['id']}", json={"output": output}).raise_for_status()
    api.post(f"/job-done/echo/{job['id']}", json={"output": outputs}).raise_for_status()


def _head(kind: str) -> dict[str, Any]:
    return {
        "id": "x",
        "object": kind,
        "created": 1,
        "model": "inner",
        "system_fingerprint": "fp_echo",
        "x_extra": {"a": 1},
    }


def _whole(asked: dict[str, Any]) -> dict[str, Any]:
    message = {"role": "assistant", "content": json.dumps(asked), "reasoning": "Hm.", "reasoning_content": "Hm."}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "token_ids": [1, 2]}
    return {**_head("chat.completion"), "choices": [choice], "usage": USAGE}


def _chunks(asked: dict[str, Any]) -> list[str]:
    def chunk(delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return {**_head("chat.completion.chunk"), "choices": [choice]}

    parts = [
        chunk({"role": "assistant", "content": ""}),
        chunk({"reasoning": "Hm.", "reasoning_content": "Hm."}),
        chunk({"content": json.dumps(asked)}),
        chunk({}, "stop"),
    ]
    if (asked.get("stream_options") or {}).get("include_usage"):
        parts.append({**_head("chat.completion.chunk"), "choices": [], "usage": USAGE})
    return [f"data: {json.dumps(part)}\n\n" for part in parts] + ["data: [DONE]\n\n"]
