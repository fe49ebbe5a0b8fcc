"""The table says what was missed, and whether that was known."""

import io

from bench.fairness import plots
from bench.fairness.all_rows import ACCEPTED_MISSES, MEASUREMENTS
from bench.fairness.report import report, table, unaccepted
from bench.fairness.row import Bound, Row
from bench.fairness.rows_vtc import gap_in_tokens, overload

MET = Row(
    number="1", measure="m", cells={"ours": "3"}, bounds=[Bound("max", 3, 3), Bound("use", 1, 0.9, is_lower=True)]
)
MISSED = Row(number="2", measure="m", cells={"ours": "4"}, bounds=[Bound("max", 4, 3)])
UNBOUND = Row(number="3", measure="m", cells={"FIFO": "5"})


def test_bounds() -> None:
    assert not MET.missed
    assert not UNBOUND.missed
    assert [str(bound) for bound in MISSED.missed] == ["max ≤ 3"]
    assert not Bound("use", 0.8, 0.9, is_lower=True).is_met


def test_a_miss_fails_unless_it_is_accepted() -> None:
    rows = [MET, MISSED, UNBOUND]
    assert [row.number for row, _ in unaccepted(rows, {})] == ["2"]
    assert unaccepted(rows, {("2", "max"): "known"}) == []
    assert "MISSED" in table(rows, {})
    text = report(rows, {("2", "max"): "known"}, ["something else"])
    assert "MISSED" not in text
    assert "max ≤ 3 is missed with 4. known" in text
    assert "- something else" in text


def test_the_table_is_even() -> None:
    lines = table([MET, MISSED, UNBOUND], {}).splitlines()
    assert len({len(line) for line in lines}) == 1


def test_rows_are_told_apart_and_say_what_they_are() -> None:
    numbers = [measurement.number for measurement in MEASUREMENTS]
    assert len(set(numbers)) == len(numbers)
    assert all(measurement.rows.__doc__ for measurement in MEASUREMENTS)
    assert all(reason for reason in ACCEPTED_MISSES.values())


def test_the_first_row_is_measured_and_met() -> None:
    (row,) = overload()
    assert not row.missed
    assert set(row.cells) == {"FIFO", "round robin", "VTC", "attained only", "ours"}
    assert gap_in_tokens.__doc__


def test_a_plot_is_the_same_each_time() -> None:
    drawn = []
    for _ in range(2):
        file = io.BytesIO()
        plots.save(plots.service_over_time("overload", "title"), file)
        drawn.append(file.getvalue())
    assert drawn[0] == drawn[1]
    assert b"<svg" in drawn[0]
    assert b"dc:date" not in drawn[0]
