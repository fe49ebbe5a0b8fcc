"""Which output the user sees, and how a part ends."""

import os

import anyio
import pytest

from gateway.demo.child import TAIL_LINES, Child, is_trouble
from tests.demo.processes import wait_until_gone
from tests.waiting import BOUND_S, eventually_here


@pytest.mark.parametrize(
    ("line", "is_stderr", "expected"),
    [
        ('{"requestId": null, "message": "m", "level": "ERROR"}', False, True),
        ('{"event": "request.refused", "level": "warning"}', True, True),
        ('{"event": "exchange.settled", "level": "info"}', True, False),
        ("INFO:     Application startup complete.", True, False),
        ("ERROR:    [Errno 98] address already in use", True, True),
        ("Traceback (most recent call last):", True, True),
        ("--- Starting Serverless Worker |  Version 1.12.0 ---", False, False),
        ("[1, 2]", False, False),
    ],
)
def test_only_trouble_is_shown(line, is_stderr, expected):
    assert is_trouble(line, is_stderr=is_stderr) is expected


async def run(tmp_path, source):
    """Run a part to its end; returns how it ended, its tail and the complaints."""
    (tmp_path / "part.py").write_text(source)
    complaints = []
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    child = await Child.start("part", ["part"], environment=environment, complain=complaints.append)
    how = ""
    async with anyio.create_task_group() as group:
        group.start_soon(child.read_output)
        how = await child.ended()
    await child.stop(grace_s=0)
    return how, list(child.tail), complaints


@pytest.mark.server
async def test_the_last_words_are_kept(tmp_path):
    how, tail, complaints = await run(tmp_path, "import sys\nfor n in range(50): print(n)\nsys.exit('no')")
    assert how == "ended with status 1"
    assert tail == [*(str(n) for n in range(50 - TAIL_LINES // 2, 50)), "no"]
    assert complaints == ["part: no"]


@pytest.mark.server
async def test_a_killed_part(tmp_path):
    how, _, _ = await run(tmp_path, "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    assert how == "was killed by signal 9"


@pytest.mark.server
async def test_endless_lines_and_broken_text_do_no_harm(tmp_path):
    _, tail, _ = await run(tmp_path, "import sys\nsys.stdout.buffer.write(b'\\xff' * 300_000 + b'\\n\\nend')")
    assert tail[-1] == "end"
    assert max(map(len, tail)) <= 8192
    assert len(tail) <= TAIL_LINES


@pytest.mark.server
async def test_a_part_that_ignores_sigterm_is_killed_with_what_it_started(tmp_path):
    source = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(subprocess.Popen(["sleep", "60"]).pid, flush=True)
time.sleep(60)
"""
    (tmp_path / "part.py").write_text(source)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    child = await Child.start("part", ["part"], environment=environment, complain=print)
    async with anyio.create_task_group() as group:
        group.start_soon(child.read_output)
        await eventually_here(lambda: child.tail)
        with anyio.fail_after(BOUND_S):
            await child.stop(grace_s=0.2)
    assert wait_until_gone([child.pid, int(child.tail[0])]) == []
