"""A test that needs a server and does not say so fails, whatever it catches."""

import contextlib
import pathlib
import subprocess
import sys

import pytest

from tests.planted_tests import run_planted

ROOT = pathlib.Path(__file__).parent.parent

PLANTED = """
import asyncio
import contextlib
import os
import socket
import subprocess

import pytest

from tests.serving import serving


def test_that_listens():
    with serving(None):
        pass


async def test_that_listens_in_its_loop():
    await asyncio.start_server(print, "127.0.0.1", 0)


def test_that_starts_a_process():
    subprocess.run(["true"])


async def test_that_starts_a_process_in_its_loop():
    await asyncio.create_subprocess_exec("true")


def test_that_catches_everything():
    with contextlib.suppress(Exception):
        os.system("true")


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def test_whose_fixture_listens(listener):
    pass


@pytest.mark.server
def test_that_says_so(listener):
    subprocess.run(["true"])


def test_that_connects():
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", 1), timeout=1):
        pass
"""


@pytest.mark.server
def test_a_test_without_the_mark_that_needs_a_server_fails(tmp_path: pathlib.Path) -> None:
    # What fails here is to be the guard's doing, and not a warning's.
    output = run_planted(tmp_path, PLANTED, "-W", "ignore", "-o", "asyncio_mode=auto")
    assert "5 failed, 2 passed, 1 error" in output, output
    assert output.count("mark it with pytest.mark.server") >= 6


def test_the_guard_watches_this_test() -> None:
    """Whoever starts it: `make quick`, `make test`, or a person with an editor."""
    from tests.conftest import GUARD
    from tests.server_guard import ServerError

    with contextlib.suppress(ServerError):
        subprocess.run([sys.executable, "-c", ""], check=False)
    assert "started a process" in (GUARD.violation() or "")
