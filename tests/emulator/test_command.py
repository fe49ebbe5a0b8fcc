import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys

import httpx
import msgspec
import pytest

from gateway.emulator.command import add_arguments, read_settings, run
from gateway.emulator.faults import FailWith, Faults
from gateway.emulator.limits import Limit
from gateway.emulator.settings import Dialect, EmulatorSettings
from tests.waiting import BOUND_S, eventually

PROGRAM = """
import argparse, sys
from gateway.emulator.command import add_arguments, run
parser = argparse.ArgumentParser()
add_arguments(parser)
sys.exit(run(parser.parse_args()))
"""


def parsed(*flags: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(flags)


def test_without_flags_everything_is_as_by_default():
    arguments = parsed()
    assert read_settings(arguments) == EmulatorSettings()
    assert (arguments.host, arguments.port) == ("127.0.0.1", 9000)


def test_flags_of_every_kind():
    settings = read_settings(
        parsed(
            *("--api-key", "k", "--workers", "3", "--token-interval-s", "0.5", "--no-aggregate", "--dialect", "tokens"),
            *("--worker", "none", "--models", "a", "org/b", "--limit", "run=5/2", "--limit", "cancel=/1"),
            *(
                "--cold-start-s",
                "2",
                "--fail-with",
                "handler",
                "--lost-operations",
                "run",
                "stream",
                "--cut-characters",
            ),
        )
    )
    assert (settings.api_key, settings.workers, settings.token_interval_s, settings.aggregate) == ("k", 3, 0.5, False)
    assert (settings.dialect, settings.worker, settings.models) == (Dialect.TOKENS, "none", ("a", "org/b"))
    assert settings.limits == {"run": Limit(per_10s=5, concurrent=2), "cancel": Limit(concurrent=1)}
    assert settings.faults == Faults(
        cold_start_s=2.0, fail_with=FailWith.HANDLER, lost_operations=("run", "stream"), cut_characters=True
    )


def test_the_hooks_of_a_start_have_a_shorter_flag_and_standby_workers_theirs():
    assert read_settings(parsed("--prestart", "25")).prestart_s == 25.0
    assert read_settings(parsed("--prestart-s", "25")).prestart_s == 25.0
    assert read_settings(parsed("--standby-workers", "3")).standby_workers == 3
    assert read_settings(parsed("--idle-shown", "running", "--idle-timeout-s", "1")).idle_shown == "running"


@pytest.mark.parametrize("struct", [EmulatorSettings, Faults])
def test_every_setting_and_every_fault_is_a_flag(struct):
    names = {field.name for field in msgspec.structs.fields(struct)} - {"faults", "limits"}
    flags = {name.partition(":")[2] for name in vars(parsed())}
    assert names <= flags


@pytest.mark.parametrize(
    "flags",
    [["--dialect", "klingon"], ["--workers", "many"], ["--fail-with", "grace"], ["--nonsense"], ["--worker", "remote"]],
)
def test_flags_that_argparse_refuses(flags, capsys):
    with pytest.raises(SystemExit) as exit_:
        parsed(*flags)
    assert exit_.value.code == 2
    assert flags[0] in capsys.readouterr().err


@pytest.mark.parametrize("limit", ["run", "run=x/1", "walk=1/1"])
def test_a_limit_that_makes_no_sense(limit, capsys):
    assert run(parsed("--limit", limit)) == 2
    assert limit in capsys.readouterr().err


@pytest.mark.server
def test_the_command_serves_until_it_is_told_to_stop():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "--port", str(port), "--api-key", "k"],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout.readline().startswith(f"Runpod emulator: http://127.0.0.1:{port}/v2/")

        def is_healthy() -> bool:
            with contextlib.suppress(httpx.ConnectError):
                health = httpx.get(f"http://127.0.0.1:{port}/v2/ep/health", headers={"authorization": "k"})
                return health.status_code == 200
            return False

        eventually(is_healthy)
        assert httpx.get(f"http://127.0.0.1:{port}/v2/ep/health").status_code == 401
        process.send_signal(signal.SIGINT)
        assert process.wait(BOUND_S) == 0
    finally:
        process.kill()
        process.wait(30)
        process.stdout.close()
