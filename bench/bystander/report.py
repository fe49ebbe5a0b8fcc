"""The comparison, as text that is Markdown too. Pure."""

import itertools
import platform
import statistics
from collections.abc import Sequence

from bench.bystander.crowd import READ_BYTES
from bench.bystander.polite import Times, measures
from bench.bystander.run import Compared
from bench.columns import Line, columns
from bench.fairness.measures import percentile
from bench.fairness.row import Bound

SLOWER_MAX = 1.1
HEADER = ("measure", "alone, ms", "the turns alone", "beside, ms", "the turns beside", "ratio", "noise", "target", "")


def lines(compared: Compared) -> list[Line]:
    """What has a target."""
    slow = compared.slow_bytes
    return [
        *(_ratio_line(compared, measure, 50) for measure in measures()),
        Line(
            measure="bytes that the slow reader had read by the end of each turn",
            seen=", ".join(map(str, slow)),
            # It is there to hold a seat; one that was cut off at once would disturb nobody.
            bounds=[Bound("", min(slow), READ_BYTES, is_lower=True)],
        ),
    ]


def _ratio_line(compared: Compared, measure: str, percent: float) -> Line:
    alone, beside = (_by_turn(turns, measure, percent) for turns in (compared.alone, compared.beside))
    ratio = against_neighbours(beside, list(itertools.pairwise(alone)))
    return Line(measure=measure, seen=f"{ratio:.2f}", bounds=[Bound("", round(ratio, 3), SLOWER_MAX)])


def against_neighbours(turns: Sequence[float], neighbours: Sequence[tuple[float, float]]) -> float:
    """The median of each turn's ratio to the mean of the turns before and after it.

    What a machine is busy with for longer than that falls on both.
    """
    return statistics.median(turn / statistics.mean(two) for turn, two in zip(turns, neighbours, strict=True))


def _by_turn(turns: Sequence[Times], measure: str, percent: float) -> list[float]:
    return [percentile(times.by_measure[measure], percent) for times in turns]


def _typical(turns: Sequence[Times], measure: str, percent: float) -> float:
    return statistics.median(_by_turn(turns, measure, percent))


def _spread(turns: Sequence[Times], measure: str, percent: float) -> str:
    each = _by_turn(turns, measure, percent)
    return f"{min(each):.2f} to {max(each):.2f}"


def _noise(compared: Compared, measure: str, percent: float) -> float:
    """What the ratio comes to where there is nothing to tell apart: each turn alone to those before and after it."""
    alone = _by_turn(compared.alone, measure, percent)
    return against_neighbours(alone[1:-1], list(zip(alone, alone[2:], strict=False)))


def table(compared: Compared) -> str:
    """Each measure at its median, which is judged, and at its 99th percentile, which is not."""
    return columns([HEADER, *(_row(compared, measure, percent) for measure in measures() for percent in (50, 99))])


def _row(compared: Compared, measure: str, percent: float) -> tuple[str, ...]:
    line = _ratio_line(compared, measure, percent)
    is_judged = percent == 50
    return (
        f"{measure}, p{percent}",
        f"{_typical(compared.alone, measure, percent):.2f}",
        _spread(compared.alone, measure, percent),
        f"{_typical(compared.beside, measure, percent):.2f}",
        _spread(compared.beside, measure, percent),
        line.seen,
        f"{_noise(compared, measure, percent):.2f}",
        ", ".join(map(str, line.bounds)) if is_judged else "",
        line.verdict if is_judged else "",
    )


def report(compared: Compared) -> str:
    """The whole of it."""
    size = compared.size
    asked = min(sum(map(len, times.by_measure.values())) for times in (*compared.alone, *compared.beside))
    return f"""\
# A polite client, alone and beside

Short answers on the job route, timed at the client: alone, and beside one client that reads a large stream at a few
bytes a second and {size.connections} connections that do nothing (a third each: nothing sent, half a head, a finished
request). {size.turns} turns alone and {size.turns - 1} beside take {size.turn_s:g} s each, one after the other by
turns. A time is the median over the turns; the ratio is that of each turn beside to the turns alone before and after
it, at the median. The noise of the machine is how far the turns alone lie apart, and the same ratio among them.

{table(compared)}

The slow reader had read so many bytes at the end of its turns: {", ".join(map(str, compared.slow_bytes))}. Idle
connections that the gateway had closed by then: {compared.closed}. At least {asked} times were taken in each turn.

Measured with Python {platform.python_version()} on {platform.machine()}.
"""
