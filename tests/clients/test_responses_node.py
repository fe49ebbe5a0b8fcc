"""openai-node: the Responses API with reasoning, text and a tool call in one answer. Keep-alive events precede it."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.app import Gateway
from gateway.config.loader import parse_config
from gateway.exchange.client_response import KeepAliveIntervals
from tests.fakes.runpod import FakeRunpod
from tests.serving import serving_gateway
from tests.stacks import KEY, config_of
from tests.subject import event

pytestmark = pytest.mark.server

NODE = Path(__file__).parent / "node"
SUITE_S_MAX = 50
COLD: list[Any] = [("IN_QUEUE", [])] * 4
CALL = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": '{"city":'}}
SAID = [
    event(delta={"role": "assistant", "content": ""}),
    *(event(delta={"reasoning_content": each}) for each in ("So ", "it is.")),
    *(event(delta={"content": each}) for each in ("Hello", " there")),
    event(delta={"tool_calls": [CALL]}),
    event(delta={"tool_calls": [{"index": 0, "function": {"arguments": '"Oslo"}'}}]}),
    event(finish_reason="tool_calls"),
    'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}\n\n',
    "data: [DONE]\n\n",
]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A gateway whose jobs are silent for longer than its keep-alive intervals."""
    runpod = FakeRunpod(pages=[*COLD, *(("IN_PROGRESS", [each]) for each in SAID), ("COMPLETED", [])])
    intervals = KeepAliveIntervals(comment_s=0.05, chunk_s=0.1, blank_s=0.5)
    made = Gateway(parse_config(config_of("http://127.0.0.1:1"), {}), transport=runpod, intervals=intervals)
    with serving_gateway(made.app) as served:
        yield served


def test_suite(url: str) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.fail("Node 18 or newer is missing: sudo apt-get install nodejs npm", pytrace=False)
    done = subprocess.run(
        [node, "--test", "--test-reporter=tap", "responses.mjs"],
        cwd=NODE,
        env={**os.environ, "FAIRPOD_URL": url, "FAIRPOD_KEY": KEY},
        capture_output=True,
        text=True,
        timeout=SUITE_S_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^# pass 2$", done.stdout, re.MULTILINE), done.stdout
