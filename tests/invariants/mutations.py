"""Plant each mistake in a copy of the package, and see whether the tests of its invariant notice.

python -m tests.invariants.mutations [INVARIANT ...]
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from tests.invariants.planted import INVARIANTS, PLANTED, Planted
from tests.invariants.profile import HUNT

ROOT = pathlib.Path(__file__).parent.parent.parent
HERE = pathlib.Path("tests/invariants")
NOT_CAUGHT = "NOT CAUGHT"
RUN_S_MAX = 120
FAILED_TEST = re.compile(r"^(?:FAILED|ERROR) \S*?(\w+\.py)(?:::(\S+))?", re.MULTILINE)
COPIED = ("gateway", "tests")
COPIED_FILES = ("pyproject.toml", "README.md")


def copy_into(folder: pathlib.Path) -> None:
    """Everything that these tests import, so that nothing is found anywhere else."""
    for name in COPIED:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
    for name in COPIED_FILES:
        shutil.copy(ROOT / name, folder / name)


def plant(planted: Planted, folder: pathlib.Path) -> None:
    file = folder / "gateway" / planted.file
    text = file.read_text()
    assert text.count(planted.old) == 1, f"{planted.what}: its text is there {text.count(planted.old)} times"
    file.write_text(text.replace(planted.old, planted.new))


def caught_by(folder: pathlib.Path, tests: tuple[str, ...]) -> str:
    """The first test that fails in this copy."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-q",
        "-p",
        "no:cacheprovider",
        *(str(HERE / test) for test in tests),
    ]
    environment = {
        **os.environ,
        "PYTHONPATH": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",
        HUNT: "1",
        "FAIRPOD_TEST_EFFORT": "1",
    }
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=RUN_S_MAX, check=False
        )
    except subprocess.TimeoutExpired:
        return "a test that never ends"
    failed = FAILED_TEST.search(done.stdout)
    if done.returncode == 0 or failed is None:
        return NOT_CAUGHT if done.returncode == 0 else f"a broken run: {done.stdout[-300:]}"
    said = re.search(r"^E +(?:\w+Error|Failed): (.*)$", done.stdout, re.MULTILINE)
    return f"{failed[1]}::{failed[2]}" + (f" ({said[1][:60]})" if said else "")


def try_out(planted: Planted | None, tests: tuple[str, ...]) -> str:
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        copy_into(folder)
        if planted is not None:
            plant(planted, folder)
        return caught_by(folder, tests)


def main(numbers: list[int]) -> int:
    chosen = {number: named for number, named in INVARIANTS.items() if not numbers or number in numbers}
    everything = tuple(sorted({test for _, tests in chosen.values() for test in tests}))
    untouched = try_out(None, everything)
    if untouched != NOT_CAUGHT:
        print(f"without any mistake: {untouched}")
        return 1
    missed = 0
    print("| invariant | planted | caught by |\n|---|---|---|")
    for planted in PLANTED:
        if planted.invariant not in chosen:
            continue
        name, tests = INVARIANTS[planted.invariant]
        caught = try_out(planted, tests)
        missed += caught == NOT_CAUGHT
        print(f"| {planted.invariant} {name} | {planted.what} | {caught} |", flush=True)
    print(f"{missed} not caught")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main([int(each) for each in sys.argv[1:]]))
