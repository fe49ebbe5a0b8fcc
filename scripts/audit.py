"""Holds locked dependencies against the published advisories.

Usage: audit.py FILE, a requirements file with versions and hashes. The exit code is 1 for a known hole, and 75 where
the advisories could not be read, or not for every dependency: then nothing is known, which is no pass.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

TIME_S_MAX = 120
NOT_AUDITED = 75
"""EX_TEMPFAIL of sysexits.h: try again later."""
Dependencies = list[dict[str, Any]]
"""As pip-audit reports them."""


def main() -> int:
    """Audit the file; return 0 only where every dependency was looked up and none has a known hole."""
    if len(sys.argv) != 2:
        print("Usage: audit.py FILE", file=sys.stderr)
        return 1
    code, lines = verdict(sys.argv[1], _audit(sys.argv[1]))
    print("\n".join(lines), file=sys.stderr if code else sys.stdout)
    return code


def verdict(file: str, found: Dependencies) -> tuple[int, list[str]]:
    """The exit code, and what to print."""
    audited = [each for each in found if "skip_reason" not in each]
    if not audited:
        return NOT_AUDITED, [
            "*" * 100,
            f"NOT AUDITED: the advisories for {file} are out of reach from here, and nothing is known of its packages.",
            "Run `make audit` where pypi.org can be reached, before anything is released.",
            "*" * 100,
        ]
    holes = [(each, hole) for each in audited for hole in each["vulns"]]
    lines = []
    for each, hole in holes:
        mended = ", ".join(hole["fix_versions"]) or "no version yet"
        lines.append(f"{each['name']} {each['version']}: {hole['id']}, mended in {mended}. Then run `make lock`.")
    lines.append(f"{file}: {len(audited)} of {len(found)} dependencies audited, {len(holes)} known holes.")
    if holes:
        return 1, lines
    if missed := [each["name"] for each in found if "skip_reason" in each]:
        lines.append(f"NOT AUDITED: {', '.join(missed)}.")
        return NOT_AUDITED, lines
    return 0, lines


def _audit(file: str) -> Dependencies:
    """What pip-audit says of each dependency; nothing where it could not look."""
    program = Path(sys.executable).with_name("pip-audit")
    command: list[str | Path] = [
        program,
        "--requirement",
        file,
        "--require-hashes",
        "--disable-pip",
        "--format",
        "json",
    ]
    command += ["--progress-spinner", "off", "--timeout", "10"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIME_S_MAX, check=False)
        dependencies: Dependencies = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError, KeyError):
        return []
    return dependencies


if __name__ == "__main__":
    sys.exit(main())
