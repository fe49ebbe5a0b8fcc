"""`python -m bench.soak`: load, quiet, the table; fails if a target is missed."""

import argparse
import pathlib
import sys

from bench.soak.plot import draw
from bench.soak.report import LONG_S, lines, report
from bench.soak.run import Size, soak

RESULTS = pathlib.Path(__file__).parent.parent / "results"


def main(arguments: list[str]) -> int:
    """Put a gateway under load and see what it keeps. Runs too short to judge memory are printed and not kept."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=main.__doc__)
    parser.add_argument("--minutes", type=float, default=15.0, help="of load (default %(default)s)")
    size = Size(seconds=parser.parse_args(arguments).minutes * 60)
    soaked = soak(size)
    text = report(soaked)
    print(text)
    if size.seconds >= LONG_S:
        draw(soaked, RESULTS / "soak.svg")
        (RESULTS / "soak.md").write_text(text)
    return 1 if any(line.is_missed for line in lines(soaked)) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
