"""What the kernel says of this very process."""

import os
import pathlib
import subprocess
import sys
import time

import pytest

from bench.speed import kernel

OWN = [os.getpid()]


def test_cpu_time_is_that_of_all_threads() -> None:
    """Whatever other threads of this process do meanwhile: it lies between two readings of the same."""
    for _ in range(3):
        before_s, read_s, after_s = time.process_time(), kernel.cpu_s(OWN), time.process_time()
        assert before_s <= read_s <= after_s
        sum(range(200_000))


def test_the_peak_can_be_forgotten() -> None:
    before_kb = kernel.rss_kb(OWN)
    block = bytearray(b"x" * 50_000_000)
    assert kernel.peak_rss_kb(OWN) >= before_kb + len(block) // 1024 - 10_000
    del block
    kernel.forget_peak(OWN)
    assert kernel.peak_rss_kb(OWN) <= kernel.rss_kb(OWN) + 10_000


def test_cores_have_been_busy() -> None:
    assert kernel.core_busy_s(min(os.sched_getaffinity(0))) > 0
    assert kernel.core_busy_s(100_000) == 0


@pytest.mark.server
def test_children_belong_to_their_parent() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert child.pid in kernel.tree(OWN[0])
        child.kill()
    assert not pathlib.Path(f"/proc/{child.pid}").exists()
