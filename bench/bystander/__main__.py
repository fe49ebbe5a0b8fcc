"""`python -m bench.bystander`: alone, beside, alone...; fails if the polite client is slower beside."""

import pathlib
import sys

from bench.bystander.report import lines, report
from bench.bystander.run import Size, compare

RESULTS = pathlib.Path(__file__).parent.parent / "results"


def main() -> int:
    """Measure, print, keep."""
    compared = compare(Size())
    text = report(compared)
    print(text)
    (RESULTS / "bystander.md").write_text(text)
    return 1 if any(line.is_missed for line in lines(compared)) else 0


if __name__ == "__main__":
    sys.exit(main())
