"""`python -m bench.speed`: measure, print the table, draw, and fail if a target is missed."""

import argparse
import pathlib
import signal
import subprocess
import sys

from bench.speed.all_workloads import WORKLOADS
from bench.speed.fetching import MissingError
from bench.speed.plots import draw
from bench.speed.profiling import PROFILED, profile
from bench.speed.report import has_unaccepted, report
from bench.speed.stage import FULL, QUICK, say, staged
from bench.speed.targets import ACCEPTED_MISSES, target_rows

RESULTS = pathlib.Path(__file__).parent.parent / "results"


def main(arguments: list[str]) -> int:
    """Run all workloads, or those that are named. Only a whole and full run is kept as the result."""
    parser = argparse.ArgumentParser(prog="python -m bench.speed", description=main.__doc__)
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=" ".join(WORKLOADS))
    parser.add_argument("--quick", action="store_true", help="three minutes: one short round of everything")
    parser.add_argument("--profile", choices=PROFILED, help="print where the gateway's time goes instead")
    given = parser.parse_args(arguments)
    if unknown := set(given.workloads) - set(WORKLOADS):
        parser.error(f"unknown: {' '.join(sorted(unknown))}")
    # Who is told to end leaves no process behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    scale = QUICK if given.quick else FULL
    if given.profile:
        try:
            print(profile(given.profile, scale))
        except MissingError as error:
            parser.error(str(error))
        return 0
    with staged(scale) as stage:
        for name in given.workloads or WORKLOADS:
            say(f"measuring {name}: {WORKLOADS[name].__doc__}")
            try:
                WORKLOADS[name](stage)
            except (RuntimeError, OSError, subprocess.SubprocessError) as error:
                stage.readings.failed[name] = f"{type(error).__name__}: {error}"
    rows = target_rows(stage.readings, scale)
    text = report(rows, stage.readings, ACCEPTED_MISSES)
    print(text)
    if not given.workloads and not given.quick:
        (RESULTS / "speed.md").write_text(text)
        say(f"drawn: {draw(stage.readings, RESULTS).name}")
    return 1 if stage.readings.failed or has_unaccepted(rows, ACCEPTED_MISSES) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
