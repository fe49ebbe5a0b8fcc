"""Debian's Prometheus and its tool, where they are."""

import pathlib
import shutil
import subprocess


def path_of(program: str) -> str:
    """The program, or a sentence about where to get it."""
    path = shutil.which(program)
    assert path is not None, f"{program} is missing; on Debian or Ubuntu: apt-get install prometheus"
    return path


def promtool(*arguments: str | pathlib.Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    return subprocess.run(
        [path_of("promtool"), *arguments], input=stdin, capture_output=True, text=True, timeout=30, check=False
    )
