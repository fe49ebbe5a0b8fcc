"""`python -m bench.first_text`: 64 streams, then 20 newcomers beside 500; fails where a target is missed."""

import pathlib
import sys

from bench.first_text.report import lines, report
from bench.first_text.run import Load, measure

RESULTS = pathlib.Path(__file__).parent.parent / "results"
LOADS = (Load(streams=64, words=100), Load(streams=500, words=400, newcomers=20))


def main() -> int:
    """Measure, print, keep."""
    found = [line for load in LOADS for line in lines(measure(load))]
    text = report(found)
    print(text)
    (RESULTS / "first_text.md").write_text(text)
    return 1 if any(line.is_missed for line in found) else 0


if __name__ == "__main__":
    sys.exit(main())
