"""Who is slowed down is seen; who is not, is not."""

from bench.bystander.polite import Times, measures
from bench.bystander.report import against_neighbours, lines, report
from bench.bystander.run import Compared, Size


def turn(factor: float) -> Times:
    times = Times()
    for measure in measures():
        times.by_measure[measure] = [factor * milliseconds for milliseconds in (1, 2, 2, 9)]
    return times


def compared(beside: float, *, slow_bytes: int = 40) -> Compared:
    return Compared(
        size=Size(turns=3),
        alone=[turn(1), turn(1.3), turn(0.9)],
        beside=[turn(beside), turn(beside)],
        slow_bytes=[slow_bytes] * 2,
        closed=0,
    )


def missed(seen: Compared) -> list[str]:
    return [line.measure for line in lines(seen) if line.is_missed]


def test_the_turns_are_compared_with_those_before_and_after() -> None:
    assert missed(compared(1.2)) == []
    assert missed(compared(1.3)) == list(measures())
    text = report(compared(1.3))
    assert text.count("MISSED") == len(measures())
    assert "1.80 to 2.60" in text


def test_a_machine_that_slows_down_meanwhile_slows_both() -> None:
    assert against_neighbours([2, 4, 6], [(1, 3), (3, 5), (5, 7)]) == 1
    assert against_neighbours([2, 9, 6], [(1, 3), (3, 5), (5, 7)]) == 1
    assert against_neighbours([4, 8, 12], [(1, 3), (3, 5), (5, 7)]) == 2


def test_a_slow_reader_that_got_nothing_disturbed_nobody() -> None:
    assert missed(compared(1, slow_bytes=0)) == ["bytes that the slow reader had read by the end of each turn"]
