"""Lines say whether their targets are met."""

from bench.columns import Line, table
from bench.fairness.row import Bound

MET = Line(measure="met", seen="3", bounds=[Bound("", 3, 3), Bound("more", 1, 0, is_lower=True)])
MISSED = Line(measure="missed by a little", seen="4", bounds=[Bound("", 3, 3), Bound("", 4, 3)])
READ = Line(measure="to read", seen="5")


def test_one_missed_target_is_a_miss() -> None:
    assert [line.verdict for line in (MET, MISSED, READ)] == ["pass", "MISSED", ""]
    assert [line.is_missed for line in (MET, MISSED, READ)] == [False, True, False]


def test_the_table_is_even() -> None:
    lines = table([MET, MISSED, READ]).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert "≤ 3, more ≥ 0" in lines[2]
