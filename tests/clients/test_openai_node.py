"""openai-node: runs the suite in `node/` with node's own test runner, once for each way."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.clients.tenants import LIMITED_KEY, NARROW_KEY, TENANTS
from tests.clients.ways import JOB_VLLM, OPENAI_VLLM, Way
from tests.stacks import KEY

pytestmark = pytest.mark.server

NODE = Path(__file__).parent / "node"
SUITE_S_MAX = 50
TEXT_TESTS, OPENAI_TESTS = 16, 22
"""How many tests the suite has for workers of either kind: one that vanishes is noticed."""
INSTALL = "npm ci --prefix tests/clients/node"


@pytest.fixture(scope="module")
def node() -> str:
    """The command, if all is there."""
    command = shutil.which("node")
    if command is None:
        pytest.fail("Node 18 or newer is missing: sudo apt-get install nodejs npm", pytrace=False)
    if not (NODE / "node_modules" / "openai").is_dir():
        pytest.fail(f"openai-node is not installed: {INSTALL}", pytrace=False)
    return command


@pytest.mark.parametrize(
    "way",
    [JOB_VLLM, OPENAI_VLLM, Way("job", "vllm-batched"), Way("job", "sglang"), Way("job", "tokens")],
    ids=str,
)
def test_suite(node: str, way: Way) -> None:
    tests = (OPENAI_TESTS if way.speaks_openai else TEXT_TESTS) - (way.dialect == "sglang")
    with way.stack(tenants=TENANTS) as stack:
        environment = {
            **os.environ,
            "FAIRPOD_URL": stack.url,
            "FAIRPOD_EMULATOR_URL": stack.emulator_url,
            "FAIRPOD_KEY": KEY,
            "FAIRPOD_LIMITED_KEY": LIMITED_KEY,
            "FAIRPOD_NARROW_KEY": NARROW_KEY,
            "FAIRPOD_ROUTE": way.route,
            "FAIRPOD_SPEAKS_OPENAI": "yes" if way.speaks_openai else "no",
            "FAIRPOD_STREAMS_AT_ONCE": "no" if way.dialect == "sglang" else "yes",
        }
        done = subprocess.run(
            [node, "--test", "--test-reporter=tap", "suite.mjs"],
            cwd=NODE,
            env=environment,
            capture_output=True,
            text=True,
            timeout=SUITE_S_MAX,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    counts = {
        name: int(count)
        for name, count in re.findall(r"^# (tests|pass|fail|skipped) (\d+)$", done.stdout, re.MULTILINE)
    }
    assert counts == {"tests": tests, "pass": tests, "fail": 0, "skipped": 0}
