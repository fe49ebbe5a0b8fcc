"""Runs tests that have to fail under the rules of this suite, in a pytest of their own."""

import pathlib
import subprocess
import sys
import tomllib

from tests.waiting import BOUND_S

ROOT = pathlib.Path(__file__).parent.parent


def run_planted(directory: pathlib.Path, text: str, *options: str) -> str:
    """Run these tests without the settings of this suite, but for the plugins that it leaves out; return the output."""
    planted = directory / "test_planted.py"
    planted.write_text(text)
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    left_out = [each for name in settings["addopts"] if name.startswith("no:") for each in ("-p", name)]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "tests.conftest",
        "-p",
        "no:cacheprovider",
        "-c",
        "/dev/null",
    ]
    done = subprocess.run(
        [*command, *left_out, *options, f"--rootdir={directory}", planted],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=BOUND_S,
        check=False,
    )
    return done.stdout + done.stderr
