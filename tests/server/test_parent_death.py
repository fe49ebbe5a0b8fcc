"""A tied process dies with its parent, and so does what it forks."""

import os
import signal
import subprocess
import sys

import pytest

from tests.demo.processes import wait_until_gone
from tests.waiting import BOUND_S

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(sys.platform != "linux", reason="the tether is the kernel's, and Linux's"),
]

# Stands for a part: forks once, as the SDK does for its pings, and says who is there.
PART = """
import os, sys, time
child = os.fork()
if child == 0:
    time.sleep(60)
print(os.getpid(), child, sys.argv, __name__, flush=True)
time.sleep(60)
"""
PARENT = """
import os, subprocess, sys
part = [sys.executable, "-m", "gateway.server.parent_death", str(os.getpid()), "SIGKILL", "part", "--flag"]
subprocess.run(part, start_new_session=True)
"""


@pytest.fixture
def environment(tmp_path):
    (tmp_path / "part.py").write_text(PART)
    return {**os.environ, "PYTHONPATH": str(tmp_path)}


def test_killing_the_parent_leaves_nothing(environment):
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, env=environment) as parent:
        part, fork, said = parent.stdout.readline().split(maxsplit=2)
        assert said.strip() == f"['{environment['PYTHONPATH']}/part.py', '--flag'] __main__"
        parent.kill()
        assert wait_until_gone([int(part), int(fork)]) == []


def test_killing_the_part_leaves_nothing(environment):
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, env=environment) as parent:
        part, fork, _ = parent.stdout.readline().split(maxsplit=2)
        os.kill(int(part), signal.SIGKILL)
        assert wait_until_gone([int(part), int(fork)]) == []


def test_a_parent_that_is_gone_already(environment):
    not_its_parent = "1"
    run = subprocess.run(
        [sys.executable, "-m", "gateway.server.parent_death", not_its_parent, "SIGKILL", "part"],
        env=environment, capture_output=True, timeout=BOUND_S, check=False,
    )  # fmt: skip
    assert (run.returncode, run.stdout) == (1, b"")
