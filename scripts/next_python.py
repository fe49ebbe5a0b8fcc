"""Runs the tests that need no server on the Python of the image, where this machine has it.

Usage: next_python.py. Which one that is, the Dockerfile says. The tests get an environment of their own, made from the
same lock file; of each property they try a tenth, since this is about the interpreter and what the wheels for it do.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UV = ROOT / ".venv" / "bin" / "uv"
EFFORT = "0.1"
FOLDERS = (
    "admission", "api", "commands", "config", "contracts", "emulator", "exchange", "fairshare", "fuzz", "observability",
    "state", "translate", "upstream", "wire",
)  # fmt: skip
"""Those of the gateway's own code. Charts, dashboards and clients run on the Python of their own users."""


def main() -> int:
    """Run them; 0 as well where there is no such Python."""
    version = image_version((ROOT / "Dockerfile").read_text())
    python = _find(version)
    if python is None:
        print(f"Not tested on Python {version}, the image's: it is not available here.")
        return 0
    environment = ROOT / f".venv-{version}"
    _make(environment, python)
    command = (environment / "bin" / "python", "-m", "pytest", "-q", "-n", "2", "--dist", "worksteal")
    where = [f"tests/{folder}" for folder in FOLDERS]
    print(f"Python {version}:", flush=True)
    done = subprocess.run(
        [*command, "-m", "not server and not alone", *where],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "FAIRPOD_TEST_EFFORT": EFFORT},
        check=False,
    )
    return done.returncode


def image_version(dockerfile: str) -> str:
    """Return the version of Python that the image is built from.

    Raises:
        ValueError: The file names none, or several.
    """
    (version,) = set(re.findall(r"^FROM python:(\d+\.\d+)", dockerfile, re.MULTILINE))
    return str(version)


def _find(version: str) -> Path | None:
    """Return the interpreter, by the search path or as pyenv keeps it; one that does not start is none."""
    on_path = shutil.which(f"python{version}")
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [Path(on_path)] if on_path else []
    candidates += [found / "bin" / f"python{version}" for found in sorted(pyenv.glob(f"{version}.*"), reverse=True)]
    return next((each for each in candidates if _starts(each)), None)


def _starts(python: Path) -> bool:
    try:
        return subprocess.run([python, "-c", "import venv"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _make(environment: Path, python: Path) -> None:
    """Make the environment, or bring it up to date, which takes a second where nothing has changed."""
    interpreter = environment / "bin" / "python"
    if not interpreter.exists():
        subprocess.run([UV, "venv", "--quiet", "--python", python, environment], check=True)
    install: list[str | Path] = [UV, "pip", "install", "--quiet", "--compile-bytecode", "--python", interpreter]
    subprocess.run(
        [*install, "--require-hashes", "-r", "requirements/tools.txt", "-r", "requirements/test.txt"],
        cwd=ROOT,
        check=True,
    )


if __name__ == "__main__":
    sys.exit(main())
