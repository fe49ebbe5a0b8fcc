"""`python -m bench.fairness`: measure, print the table, draw, and fail if a target is missed."""

import argparse
import pathlib
import sys

from bench.fairness.all_rows import ACCEPTED_MISSES, MEASUREMENTS, NOT_MEASURED
from bench.fairness.plots import draw_all
from bench.fairness.report import misses, report, table, unaccepted
from bench.fairness.row import Row

RESULTS = pathlib.Path(__file__).parent.parent / "results"
NAME = "fairness"


def main(arguments: list[str]) -> int:
    """Run all of it, or with `--only` some rows, which then are printed and not kept."""
    parser = argparse.ArgumentParser(prog="python -m bench.fairness", description=main.__doc__)
    numbers = [measurement.number for measurement in MEASUREMENTS]
    parser.add_argument("--only", nargs="+", choices=numbers, metavar="ROW", help=" ".join(numbers))
    only = parser.parse_args(arguments).only
    rows: list[Row] = []
    for measurement in MEASUREMENTS:
        if not only or measurement.number in only:
            print(f"measuring {measurement.number}: {measurement.rows.__doc__}", file=sys.stderr)
            rows.extend(measurement.rows())
    if only:
        print(table(rows, ACCEPTED_MISSES), "\nMissed:", misses(rows, ACCEPTED_MISSES), sep="\n")
    else:
        text = report(rows, ACCEPTED_MISSES, NOT_MEASURED)
        print(text)
        paths = draw_all(RESULTS)
        (RESULTS / NAME).with_suffix(".md").write_text(text)
        print("Drawn:", *(path.name for path in paths), file=sys.stderr)
    return 1 if unaccepted(rows, ACCEPTED_MISSES) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
