"""Writes the recordings: what workers yield, one JSON value a line, after a line that says what was asked.

Run `python -m tests.recordings.make` to write them again from the emulator's scripted workers, which speak as the
workers do. `model-worker.jsonl` was taken from a real Runpod SDK worker with a real model (`fairpod demo`), and
`docs-2023.jsonl` holds the shapes of the oldest page of Runpod's documentation; both are kept by hand.
"""

import json
import pathlib
from typing import Any

import httpx

from gateway.emulator.app import build_emulator
from gateway.emulator.settings import Dialect, EmulatorSettings
from tests.serving import serving

HERE = pathlib.Path(__file__).parent
QUESTION = "größer 😀 naïve — ﷽ and\u2028two lines"
OPENAI = {"vllm", "vllm-batched", "vllm-dicts", "sglang"}
TOOL = {
    "type": "function",
    "function": {
        "name": "magic_function",
        "parameters": {"type": "object", "properties": {"input": {"type": "integer"}}, "required": ["input"]},
    },
}


def main() -> None:
    for dialect in Dialect:
        for stream in (True, False):
            record(dialect.value, f"{dialect.value}-{'stream' if stream else 'whole'}", {"stream": stream})
    record("vllm", "vllm-tools", {"stream": True, "tools": [TOOL]}, question="Use the magic function on 3")


def record(dialect: str, name: str, asked: dict[str, Any], question: str = QUESTION) -> None:
    messages = [{"role": "user", "content": question}]
    body = {"model": "org/real", "messages": messages, **asked}
    if asked.get("stream"):
        body["stream_options"] = {"include_usage": True}
    job_input = {"openai_route": "/v1/chat/completions", "openai_input": body} if dialect in OPENAI else body
    with serving(build_emulator(EmulatorSettings(dialect=Dialect(dialect)))) as url:
        job_id = httpx.post(f"{url}/v2/e/run", json={"input": job_input}).json()["id"]
        outputs: list[Any] = []
        while True:
            page = httpx.post(f"{url}/v2/e/stream/{job_id}").json()
            outputs += [item["output"] for item in page["stream"]]
            if page["status"] == "COMPLETED" and not page["stream"]:
                break
        status = httpx.post(f"{url}/v2/e/status/{job_id}").json()
    if not outputs:
        outputs = status["output"] if isinstance(status["output"], list) else [status["output"]]
    head = {"dialect": "openai" if dialect in OPENAI else dialect, "asked": asked}
    lines = [json.dumps(line, ensure_ascii=False) for line in (head, *outputs)]
    (HERE / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
