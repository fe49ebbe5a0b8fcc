"""The whole demo as a user runs it; whatever ends it, nothing of it is left."""

import contextlib
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import openai
import pytest

from tests.demo.processes import descendants, wait_until_gone
from tests.waiting import BOUND_S, a_moment, eventually

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("default_hangup")]

READY_S_MAX = 2 * BOUND_S
GONE_S_MAX = BOUND_S
STOP_CPU_S_MAX = 10
"""What the model may still compute for an answer that nobody wants; all of it would cost a minute."""
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]


class Demo:
    """A running demo: what it said, and the processes it consists of."""

    def __init__(self, process, output):
        self.process = process
        self.output = output
        self.base_url = re.search(r"base URL +(\S+)", output)[1]
        self.key = re.search(r"API key +(\S+)", output)[1]
        self.model = re.search(r"model +(\S+)", output)[1]
        self.pids = descendants(process.pid)

    @property
    def client(self):
        return openai.OpenAI(base_url=self.base_url, api_key=self.key, max_retries=0)

    def part(self, module):
        """The process of one part, by what it was told to run."""
        (pid,) = [pid for pid in self.pids if module in _command_line(pid) and self.process.pid == _parent(pid)]
        return pid

    def nothing_is_left(self):
        return wait_until_gone(self.pids) == []


def _command_line(pid):
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")


def _parent(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@contextlib.contextmanager
def demo(tmp_path, worker):
    """A demo that answers."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    output = tmp_path / "output"
    with output.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "demo", "--port", "0", "--worker", worker],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
            env={**os.environ, "TMPDIR": str(temporary)},
        )
    try:

        def is_ready():
            assert process.poll() is None, output.read_text()
            return "Ctrl-C stops everything" in output.read_text()

        eventually(is_ready, within_s=READY_S_MAX, or_show=output.read_text)
        yield Demo(process, output.read_text())
    finally:
        process.kill()
        process.wait(30)


def test_a_closed_terminal_leaves_nothing():
    ours, theirs = pty.openpty()
    command = ["setsid", "--ctty", sys.executable, "-m", "gateway", "demo", "--port", "0", "--worker", "scripted"]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        said = b""
        while b"Ctrl-C stops everything" not in said:
            said += os.read(ours, 4096)
        running = Demo(process, said.decode())
        os.close(ours)
        process.wait(GONE_S_MAX)
        assert running.nothing_is_left()


@pytest.mark.parametrize("part", ["emulator", "serve"])
def test_a_part_that_dies_ends_all_and_is_named(tmp_path, part):
    with demo(tmp_path, "scripted") as running:
        os.kill(running.part(part), signal.SIGKILL)
        assert running.process.wait(GONE_S_MAX) == 1
        assert running.nothing_is_left()
    name = {"emulator": "emulator", "serve": "gateway"}[part]
    assert f"The {name} was killed by signal 9." in (tmp_path / "output").read_text()


def _cpu_s(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _assert_stops(pid):
    """It comes to rest, and not because it has said all."""
    begun_s = before_s = _cpu_s(pid)

    def rests():
        nonlocal before_s
        for _ in range(5):
            a_moment()
        used_s, before_s = _cpu_s(pid) - before_s, _cpu_s(pid)
        return used_s < 0.1

    eventually(rests)
    assert before_s - begun_s < STOP_CPU_S_MAX


def test_the_real_model_answers_streams_and_stops(tmp_path):
    with demo(tmp_path, "model") as running:
        chunks = list(
            running.client.chat.completions.create(model=running.model, messages=QUESTION, stream=True, temperature=0)
        )
        assert "Paris" in "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)

        story = [{"role": "user", "content": "Tell me a very long story about a river."}]
        stream = running.client.chat.completions.create(
            model=running.model, messages=story, stream=True, max_tokens=3000, temperature=1.5
        )
        next(iter(stream))
        stream.close()
        worker = running.part("gateway.demo.worker")
        _assert_stops(worker)

        with pytest.raises(openai.BadRequestError, match="context"):
            running.client.chat.completions.create(
                model=running.model, messages=[{"role": "user", "content": "word " * 5000}]
            )

        # The SDK's ping process is the worker's own child.
        assert descendants(worker)
        os.kill(worker, signal.SIGKILL)
        assert running.process.wait(GONE_S_MAX) == 1
        assert running.nothing_is_left()
    assert "The worker was killed by signal 9." in (tmp_path / "output").read_text()


def test_a_signal_ends_it_in_peace_and_leaves_nothing(tmp_path):
    with demo(tmp_path, "model") as running:
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(GONE_S_MAX) == 0
        assert running.nothing_is_left()
    assert list((tmp_path / "temporary").iterdir()) == []
    assert (tmp_path / "output").read_text() == running.output


def test_killing_the_demo_itself_leaves_no_process(tmp_path):
    with demo(tmp_path, "model") as running:
        assert len(running.pids) == 4
        running.process.kill()
        assert running.nothing_is_left()
