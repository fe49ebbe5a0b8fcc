"""Sets this checkout up: Python parts into .venv, Node parts under the tests, the rest through apt where allowed.

Usage: setup.py runtime|demo|test. It needs Python 3.11 or newer and nothing else, and says in one sentence what is
missing and how to get it. Running it again costs a second.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
NEXT_VENV = ROOT / ".venv-runpod-next"
"""Where the pre-release of Runpod's worker SDK lives, which one test runs beside the pinned one."""
NODE_SUITE = ROOT / "tests" / "clients" / "node"
NODE_VERSION_MIN = 18
SERVERS = {"redis-server": "redis-server", "prometheus": "prometheus", "promtool": "prometheus"}
"""Programs that tests start, each on a port of its own, and their Debian packages."""


def main() -> int:
    """Set up what is asked for."""
    if len(sys.argv) != 2 or sys.argv[1] not in {"runtime", "demo", "test"}:
        return _fail("Usage: setup.py runtime|demo|test")
    if sys.version_info < (3, 11):
        return _fail("Fairpod needs Python 3.11 or newer: apt-get install python3, or set PYTHON=python3.11.")
    wanted = sys.argv[1]
    try:
        _make_venv()
        _install_python_parts(wanted)
        if wanted == "test":
            _install_next_worker_sdk()
            _install_node_parts()
            _install_servers()
    except subprocess.CalledProcessError as error:
        return _fail(f"Could not set up: `{' '.join(map(str, error.cmd))}` failed with exit code {error.returncode}.")
    return 0


def _fail(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return 1


def _run(*command: str | Path, cwd: Path = ROOT) -> None:
    subprocess.run(command, cwd=cwd, check=True)


def _make_venv() -> None:
    if (VENV / "bin" / "python").exists():
        return
    try:
        _run(sys.executable, "-m", "venv", VENV)
    except subprocess.CalledProcessError:
        # Debian ships venv without pip in a package of its own.
        shutil.rmtree(VENV, ignore_errors=True)
        _apt_install("python3-venv", needed_for="a virtual environment")
        _run(sys.executable, "-m", "venv", VENV)


def _install_python_parts(wanted: str) -> None:
    python, uv = VENV / "bin" / "python", VENV / "bin" / "uv"
    if not uv.exists():
        _run(python, "-m", "pip", "install", "--quiet", "--require-hashes", "-r", "requirements/tools.txt")
    install = (uv, "pip", "install", "--quiet", "--python", python)
    _run(*install, "--require-hashes", "-r", "requirements/tools.txt", "-r", f"requirements/{wanted}.txt")
    _run(*install, "--no-deps", "--no-build-isolation", "--editable", ".")


def _install_next_worker_sdk() -> None:
    """Install it, or say how to; without it only its own test fails."""
    uv, python = VENV / "bin" / "uv", NEXT_VENV / "bin" / "python"
    install = (
        uv,
        "pip",
        "install",
        "--quiet",
        "--python",
        python,
        "--require-hashes",
        "-r",
        "requirements/runpod-next.txt",
    )
    try:
        if not python.exists():
            _run(uv, "venv", "--quiet", "--python", VENV / "bin" / "python", NEXT_VENV)
        _run(*install)
    except subprocess.CalledProcessError:
        shutil.rmtree(NEXT_VENV, ignore_errors=True)
        by_hand = f"{uv} venv {NEXT_VENV} && {' '.join(map(str, install))}"
        print(f"Runpod's next worker SDK is missing, needed for one test. Install with: {by_hand}", file=sys.stderr)


def _install_node_parts() -> None:
    if _node_version() < NODE_VERSION_MIN or shutil.which("npm") is None:
        _apt_install("nodejs", "npm", needed_for="the tests with OpenAI's client for Node")
    _run("npm", "ci", "--silent", "--no-audit", "--no-fund", cwd=NODE_SUITE)


def _install_servers() -> None:
    missing = [package for program, package in SERVERS.items() if shutil.which(program) is None]
    if missing:
        _apt_install(*missing, needed_for="the tests with real servers")


def _node_version() -> int:
    """The major version; 0 where there is none."""
    if (node := shutil.which("node")) is None:
        return 0
    text = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    return int(text.lstrip("v").split(".")[0] or 0)


def _apt_install(*packages: str, needed_for: str) -> None:
    """Install Debian packages, or say how to.

    Raises:
        SystemExit: They cannot be installed from here.
    """
    sudo = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]
    by_hand = f"sudo apt-get install {' '.join(packages)}"
    if shutil.which("apt-get") is None or (sudo and shutil.which("sudo") is None):
        raise SystemExit(f"{' and '.join(packages)} missing, needed for {needed_for}. Install with: {by_hand}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update", "-qq"], ["install", "-qq", "-y", *packages]):
        if subprocess.run([*sudo, "apt-get", *command], env=environment, check=False).returncode != 0:
            raise SystemExit(f"{' and '.join(packages)} missing, needed for {needed_for}. Install with: {by_hand}")


if __name__ == "__main__":
    sys.exit(main())
