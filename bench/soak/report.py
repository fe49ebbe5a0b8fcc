"""What was seen, with its targets, as text that is Markdown too. Pure."""

import platform
from collections import Counter
from collections.abc import Sequence

from bench.columns import Line, table
from bench.fairness.row import Bound
from bench.soak.client import End
from bench.soak.measures import WARM_UP_S, cpu_share, growth_mb_a_minute, seats_used
from bench.soak.plan import LOAD, TENANTS
from bench.soak.run import Soaked, ends
from bench.soak.watch import by_label, total

LONG_S = 300.0
"""Shorter runs show whether anything breaks; memory, descriptors and load are judged in longer ones only."""
GROWTH_MB_MAX = 0.15
"""A minute: about 100 bytes for each request."""
CPU_MAX = 0.6
"""Of a core: beyond it a line of work would look like a leak."""
DESCRIPTORS_MORE_MAX = 4
THREADS_MORE_MAX = 8
"""libuv's four and those of the resolver come with the first request, and stay."""
FAULTLESS = {"completed", "client_left", "refused"}


def lines(soaked: Soaked) -> list[Line]:
    """All that is measured."""
    return [*_load_lines(soaked), *_error_lines(soaked), *_process_lines(soaked), *_job_lines(soaked)]


def _load_lines(soaked: Soaked) -> list[Line]:
    seen, ledger, planned = ends(soaked.visited), soaked.ledger, soaked.planned
    streams = sum(visit.is_stream for visit in planned)
    phases = (ledger.left_in_line, ledger.left_before_output, ledger.left_in_answer)
    load = seats_used(soaked.samples) / soaked.size.seats
    asked = sum(seen.values())
    return [
        Line(
            measure="requests: answered whole and right, left, refused",
            seen=f"{asked}: {seen[End.ANSWERED]}, {seen[End.LEFT]}, {seen[End.REFUSED]}",
            bounds=[Bound("all", asked, len(planned), is_lower=True)],
        ),
        Line(measure="streams, whole answers", seen=f"{streams}, {len(planned) - streams}"),
        Line(
            measure="disconnects that the gateway saw: in line, before output, in the answer",
            seen=", ".join(map(str, phases)),
            bounds=_if_long(soaked, [Bound("each", min(phases), 0.02 * ledger.left, is_lower=True)]),
        ),
        Line(
            measure="seats used, on average",
            seen=f"{load:.0%} of {soaked.size.seats}",
            bounds=_if_long(
                soaked, [Bound("", round(load, 2), LOAD - 0.1, is_lower=True), Bound("", round(load, 2), LOAD + 0.1)]
            ),
        ),
    ]


def _error_lines(soaked: Soaked) -> list[Line]:
    seen = ends(soaked.visited)
    outcomes = by_label(soaked.metrics, "gateway_requests_total", "outcome")
    faults = {name: count for name, count in outcomes.items() if name not in FAULTLESS}
    unseen = abs(outcomes["refused"] - seen[End.REFUSED])
    # Who leaves as the last byte comes counts as answered here and as gone there.
    extra = outcomes["completed"] - seen[End.ANSWERED]
    calls = by_label(soaked.metrics, "gateway_upstream_requests_total", "outcome")
    failed_calls = {name: count for name, count in calls.items() if name != "ok"}
    return [
        Line(
            measure="errors explained: refusals that the gateway counted too",
            seen=_counts(_kinds(soaked, End.REFUSED)),
            bounds=[Bound("apart", unseen, seen[End.LEFT] // 10)],
        ),
        Line(
            measure="errors unexplained",
            seen=_counts(_kinds(soaked, End.FAILED)),
            bounds=[Bound("", seen[End.FAILED], 0)],
        ),
        Line(
            measure="the gateway's outcomes",
            seen=_counts(outcomes),
            bounds=[
                Bound("faults", sum(faults.values()), 0),
                Bound("answers that nobody got", extra, seen[End.LEFT] // 10),
                Bound("answers out of nothing", -extra, 0),
            ],
        ),
        Line(
            measure="calls to the endpoints: all, and those that failed",
            seen=f"{sum(calls.values())}, {_counts(failed_calls)}",
            bounds=[Bound("failed", sum(failed_calls.values()), 0)],
        ),
        Line(
            measure="bugs counted, bad lines in the log",
            seen=f"{total(soaked.metrics, 'gateway_bugs_total'):.0f}, {soaked.ledger.bad_lines}",
            bounds=[Bound("", total(soaked.metrics, "gateway_bugs_total") + soaked.ledger.bad_lines, 0)],
        ),
    ]


def _process_lines(soaked: Soaked) -> list[Line]:
    before, after = soaked.before.footprint, soaked.after.footprint
    growth = growth_mb_a_minute(soaked.samples)
    cpu = cpu_share(soaked.samples)
    most = max(each.footprint.descriptors for each in soaked.samples)
    return [
        Line(
            measure=f"private memory: growth after the first {WARM_UP_S:g} s, MB a minute",
            seen=f"{growth:+.3f}" if _is_long(soaked) else "too short",
            bounds=_if_long(soaked, [Bound("", growth, GROWTH_MB_MAX)]),
        ),
        Line(
            measure="private memory, RSS, MB: at the start, at the end",
            seen=f"{before.private_mb:.1f}, {before.rss_mb:.1f}; {after.private_mb:.1f}, {after.rss_mb:.1f}",
        ),
        Line(
            measure="file descriptors: at the start, most, at the end",
            seen=f"{before.descriptors}, {most}, {after.descriptors}",
            bounds=_if_long(soaked, [Bound("more", after.descriptors - before.descriptors, DESCRIPTORS_MORE_MAX)]),
        ),
        Line(
            measure="threads: at the start, at the end",
            seen=f"{before.threads}, {after.threads}",
            bounds=[Bound("more", after.threads - before.threads, THREADS_MORE_MAX)],
        ),
        Line(
            measure="CPU of the gateway, of one core",
            seen=f"{cpu:.0%}",
            bounds=_if_long(soaked, [Bound("", round(cpu, 2), CPU_MAX)]),
        ),
    ]


def _job_lines(soaked: Soaked) -> list[Line]:
    held, ledger = soaked.after.held, soaked.ledger
    uncancelled = len(ledger.uncancelled(soaked.job_states))
    outcomes = Counter(ledger.cancelled.values())
    # Those of the OpenAI route have no id that a gateway could learn.
    unknown = [job for job in soaked.job_states if not job.startswith("sync-") and job not in ledger.jobs]
    return [
        Line(
            measure="still held: permits, tickets, exchanges, jobs at the emulator",
            seen=f"{held.permits}, {held.tickets}, {held.exchanges}, {held.jobs}",
            bounds=[Bound("", held.permits + held.tickets + held.exchanges + held.jobs, 0)],
        ),
        Line(
            measure="jobs whose client left; cancels by how they went",
            seen=f"{len(ledger.left_jobs)}; {_counts(outcomes)}",
            bounds=[
                Bound("left and not cancelled", uncancelled, 0),
                Bound("failed", outcomes["failed"], 0),
            ],
        ),
        Line(
            measure="jobs at the emulator that no request knows",
            seen=str(len(unknown)),
            bounds=[Bound("", len(unknown), 0)],
        ),
    ]


def _is_long(soaked: Soaked) -> bool:
    return soaked.size.seconds >= LONG_S


def _if_long(soaked: Soaked, bounds: Sequence[Bound]) -> Sequence[Bound]:
    return bounds if _is_long(soaked) else ()


def _kinds(soaked: Soaked, end: End) -> Counter[str]:
    return Counter({each.kind: count for each, count in soaked.visited.items() if each.end is end})


def _counts(counts: Counter[str] | dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()) if count) or "none"


def report(soaked: Soaked) -> str:
    """The whole of it."""
    size = soaked.size
    weights = ", ".join(map(str, TENANTS.values()))
    return f"""\
# A gateway under load for {size.seconds / 60:g} minutes

Emulator and gateway as processes, {size.seats} seats at two endpoints (one by each route), three tenants with weights
{weights}, arrivals that wait for nobody, half streams. One client in five leaves: in line, before the first chunk, or
in its answer. Then {size.quiet_s:g} s of quiet, and a look at what is left.

{table(lines(soaked))}

![Memory and seats over time](soak.svg)

Measured with Python {platform.python_version()} on {platform.machine()}.
"""
