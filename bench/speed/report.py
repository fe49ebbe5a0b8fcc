"""The result as text that is Markdown too."""

import os
import pathlib
import platform
import sys
import sysconfig
from collections.abc import Sequence

from bench.fairness.report import Reasons, misses, unaccepted
from bench.fairness.row import Bound, Row
from bench.speed.measures import percentile
from bench.speed.peers import DIRECT, KINDS, OURS
from bench.speed.readings import Readings, markdown

LEGEND = """\
Each gateway runs on one core, the load and the upstream on another. The load is a closed loop with kept connections
unless a line says otherwise, in rounds that take the gateways in turn after a warm-up; a number is the median of the
rounds, with the least and the most, and ratios are taken round by round. CPU time is the kernel's account of all
threads of the process. Fairpod runs with three tenants of different weight, fair share, metrics that are read each
second, and logs as JSON to a file; the others with nothing that they do not need. Compare within a line."""
MISSED = "MISSED"


def targets_table(rows: Sequence[Row], accepted: Reasons) -> str:
    """A line for each target."""
    lines = [("#", "work", "target", "measured", "")]
    for row in rows:
        by_name = {bound.name: bound for bound in row.bounds}
        for name, measured in row.cells.items():
            bound = by_name.get(name)
            lines.append((row.number, row.measure, str(bound or name), measured, _verdict(row.number, bound, accepted)))
    return markdown(lines)


def _verdict(number: str, bound: Bound | None, accepted: Reasons) -> str:
    if bound is None:
        return ""
    if bound.is_met:
        return "met"
    return "accepted" if (number, bound.name) in accepted else MISSED


def report(rows: Sequence[Row], readings: Readings, accepted: Reasons) -> str:
    """The whole of it."""
    missing = "".join(f"- {name} is missing: {why}\n" for name, why in readings.missing.items())
    missing += "".join(f"- workload {name} broke off: {why}\n" for name, why in readings.failed.items())
    return f"""\
# Speed, measured

{LEGEND}

{machine()} {_others(readings)}

## Targets

{targets_table(rows, accepted)}

{misses(rows, accepted)}

## Readings

{missing}
{markdown(readings.table([*(kind.name for kind in KINDS), DIRECT]))}
"""


def _others(readings: Readings) -> str:
    if not readings.others:
        return ""
    median, most = (100 * percentile(readings.others, percent) for percent in (50, 100))
    return f"Processes that do not belong here had {median:.0f} % of the gateway's core (median), {most:.0f} % at most."


def has_unaccepted(rows: Sequence[Row], accepted: Reasons) -> bool:
    """Whether a target is missed without a proof."""
    return bool(unaccepted(rows, accepted))


def machine() -> str:
    """Where it was measured, and what."""
    versions = ", ".join(f"{kind.name} {kind.version}" for kind in KINDS if kind.name != OURS)
    python = f"Python {platform.python_version()} ({_build()})"
    return f"{_cpu()}, {os.cpu_count()} cores, Linux {platform.release()}, {python}; {versions}."


def _build() -> str:
    """How this interpreter was built: one without profile-guided optimisation takes a seventh more CPU time."""
    flags = str(sysconfig.get_config_var("CONFIG_ARGS"))
    if "--enable-optimizations" in flags:
        return "with profile-guided optimisation" + (" and LTO" if "--with-lto" in flags else "")
    if sys.base_prefix == "/usr" and pathlib.Path("/etc/debian_version").exists():
        # debian/rules makes `profile-opt`, which no configuration variable tells.
        return "Debian's, with profile-guided optimisation"
    return "without profile-guided optimisation"


def _cpu() -> str:
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
