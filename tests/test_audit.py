"""The audit of dependencies, on what pip-audit reports."""

import pathlib
import subprocess

import pytest

from scripts.audit import NOT_AUDITED, verdict
from tests.waiting import BOUND_S

ROOT = pathlib.Path(__file__).parent.parent

SOUND = {"name": "anyio", "version": "4.16.0", "vulns": []}
SKIPPED = {"name": "msgspec", "skip_reason": "not found"}
HOLE = {"id": "PYSEC-2099-1", "fix_versions": ["9.9"], "aliases": [], "description": "…"}


def test_a_known_hole_fails_and_is_named_with_its_mend() -> None:
    code, lines = verdict("f.txt", [SOUND, {"name": "httpx", "version": "1.0", "vulns": [HOLE]}, SKIPPED])
    assert code == 1
    assert lines[0].startswith("httpx 1.0: PYSEC-2099-1, mended in 9.9.")
    assert lines[1] == "f.txt: 2 of 3 dependencies audited, 1 known holes."


def test_sound_dependencies_pass() -> None:
    assert verdict("f.txt", [SOUND]) == (0, ["f.txt: 1 of 1 dependencies audited, 0 known holes."])


def test_that_nothing_could_be_read_is_said_loudly_and_is_no_pass() -> None:
    for found in ([], [SKIPPED]):
        code, lines = verdict("f.txt", list(found))
        assert code == NOT_AUDITED == 75
        assert any(line.startswith("NOT AUDITED: the advisories for f.txt") for line in lines)
        assert len(lines) > 2


def test_a_dependency_that_was_skipped_is_named_and_is_no_pass() -> None:
    code, lines = verdict("f.txt", [SOUND, SKIPPED])
    assert (code, lines[-1]) == (NOT_AUDITED, "NOT AUDITED: msgspec.")


@pytest.mark.server
def test_the_run_of_all_tests_goes_on_offline_and_stops_at_a_hole(tmp_path: pathlib.Path) -> None:
    """What make does with each exit code, with a script that only returns it."""
    for code, expected in ((0, 0), (NOT_AUDITED, 0), (1, 2)):
        stand_in = tmp_path / "bin" / "python"
        stand_in.parent.mkdir(exist_ok=True)
        stand_in.write_text(f"#!/bin/sh\nexit {code}\n")
        stand_in.chmod(0o755)
        command = [
            "make",
            "--no-print-directory",
            "-f",
            str(ROOT / "Makefile"),
            "audit-if-online",
            f"BIN={tmp_path}/bin",
        ]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=BOUND_S, check=False)
        assert done.returncode == expected, done.stderr
