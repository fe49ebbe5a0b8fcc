"""The audit of dependencies, on what pip-audit reports."""

from scripts.audit import verdict

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


def test_that_nothing_could_be_read_is_said() -> None:
    for found in ([], [SKIPPED]):
        code, (line,) = verdict("f.txt", list(found))
        assert code == 0
        assert line.startswith("Not audited")
