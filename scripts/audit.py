"""Holds locked dependencies against the published advisories: fails on a known hole, says so where none can be read.

Usage: audit.py FILE, a requirements file with versions and hashes.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

TIME_S_MAX = 120
Dependencies = list[dict[str, Any]]
"""As pip-audit reports them."""


def main() -> int:
    """Audit the file; 1 where something is to be done about it."""
    if len(sys.argv) != 2:
        print("Usage: audit.py FILE", file=sys.stderr)
        return 1
    code, lines = verdict(sys.argv[1], _audit(sys.argv[1]))
    print("\n".join(lines))
    return code


def verdict(file: str, found: Dependencies) -> tuple[int, list[str]]:
    """The exit code, and what to print."""
    audited = [each for each in found if "skip_reason" not in each]
    if not audited:
        return 0, [f"Not audited: the advisories for {file} are out of reach from here."]
    holes = [(each, hole) for each in audited for hole in each["vulns"]]
    lines = []
    for each, hole in holes:
        mended = ", ".join(hole["fix_versions"]) or "no version yet"
        lines.append(f"{each['name']} {each['version']}: {hole['id']}, mended in {mended}. Then run `make lock`.")
    lines.append(f"{file}: {len(audited)} of {len(found)} dependencies audited, {len(holes)} known holes.")
    return (1 if holes else 0), lines


def _audit(file: str) -> Dependencies:
    """What pip-audit says of each dependency; nothing where it could not look."""
    program = Path(sys.executable).with_name("pip-audit")
    command = [program, "--requirement", file, "--require-hashes", "--disable-pip", "--format", "json"]
    command += ["--progress-spinner", "off", "--timeout", "10"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIME_S_MAX, check=False)
        dependencies: Dependencies = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError, KeyError):
        return []
    return dependencies


if __name__ == "__main__":
    sys.exit(main())
