"""The search for secrets finds what is planted, wherever tests of this suite could let it out."""

import pathlib
import subprocess
import sys

import pytest

from tests.planted_tests import run_planted
from tests.processes import Served, fairpod
from tests.secrets_scan import PIECE_LENGTH, LeakError, Secrets, pieces
from tests.stacks import KEY, RUNPOD_KEY

ROOT = pathlib.Path(__file__).parent.parent
SECRETS = Secrets(keys=("fp-abcdefghijklmnop", "short"), prompts=("my question",), completions=("my answer",))


@pytest.mark.parametrize(
    "text",
    [
        "key=fp-abcdefghijklmnop",
        "…efghijklmnop…",
        "it is short",
        "Authorization: Bearer anything-at-all",
        "rpa_whoever",
        '{"event":"my question"}',
        'File "/src/handler.py", line 7',
        "Traceback (most recent call last):",
    ],
)
def test_a_leak_is_found_everywhere(text: str) -> None:
    with pytest.raises(LeakError, match="the log holds"):
        SECRETS.check("the log", text)
    with pytest.raises(LeakError):
        SECRETS.check("an answer", text, is_answer=True)


def test_a_completion_belongs_into_its_answer_alone() -> None:
    SECRETS.check("an answer", "this is my answer", is_answer=True)
    with pytest.raises(LeakError, match="completion"):
        SECRETS.check("the log", "this is my answer")


def test_what_is_harmless_passes() -> None:
    line = "exchange.settled tenant=acme status=401 reason=invalid_api_key key=[redacted] fp-abcdefgh"
    SECRETS.check("the log", f"{line} Send 'Authorization: Bearer KEY' with a key of this gateway.")


def test_a_key_has_all_its_pieces() -> None:
    key = "0123456789abcdef"
    assert pieces(key) == [key[start : start + PIECE_LENGTH] for start in range(5)]
    assert pieces("short") == ["short"]


PLANTED = f"""
import logging
import sys

import pytest
import structlog


def test_printed():
    print({RUNPOD_KEY!r})


def test_written():
    sys.stderr.write({KEY!r})


def test_warned():
    logging.getLogger("x").warning("count to %d", 3)


def test_logged():
    structlog.get_logger().info("x", said="You said: Hello")


@pytest.fixture
def late():
    yield
    print({KEY!r})


def test_late(late):
    pass


def test_harmless():
    print("harmless")
"""


@pytest.mark.server
def test_tests_that_let_something_out_fail(tmp_path: pathlib.Path) -> None:
    output = run_planted(tmp_path, PLANTED)
    assert "4 failed, 2 passed, 1 error" in output, output
    assert output.count("LeakError: Captured") >= 5


@pytest.mark.server
def test_the_log_of_a_process_is_searched_when_it_stops(tmp_path: pathlib.Path) -> None:
    served = Served(tmp_path, None)
    served.log.write_text(f"gateway.started upstream_key={RUNPOD_KEY}\n")
    served.process = subprocess.Popen([sys.executable, "-c", ""], text=True)
    with pytest.raises(LeakError, match=r"out\.log"):
        served.kill()


@pytest.mark.server
def test_what_a_command_says_is_searched() -> None:
    with pytest.raises(LeakError, match="fairpod check-config"):
        fairpod("check-config", "--config", RUNPOD_KEY)
