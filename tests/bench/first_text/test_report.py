from bench.first_text.report import lines, report
from bench.first_text.run import Load, Measured
from bench.first_text.streams import Stream


def stream(*arrivals_s: float, status: int = 200) -> Stream:
    return Stream(status=status, first_text_s=arrivals_s[0] if arrivals_s else None, arrivals_s=list(arrivals_s))


def test_the_first_text_is_held_against_the_endpoint_s_own() -> None:
    load = Load(streams=3, words=1)
    good = Measured(load=load, streams=[stream(0.11)] * 3, newcomers=[], upstream_s=[0.1] * 3)
    assert not any(line.is_missed for line in lines(good))
    late = Measured(load=load, streams=[stream(0.13)] * 3, newcomers=[], upstream_s=[0.1] * 3)
    assert [line.is_missed for line in lines(late)] == [False, True]
    assert "missed" in report(lines(late))


def test_a_stream_without_text_or_refused_misses() -> None:
    load = Load(streams=1, words=1)
    silent = Measured(load=load, streams=[stream(status=429)], newcomers=[], upstream_s=[0.1])
    assert [line.is_missed for line in lines(silent)] == [True, True]


def test_newcomers_and_gaps_beside_many_streams() -> None:
    load = Load(streams=176, words=1, newcomers=20)
    streams = [stream(0.1, 1.1, 2.1)] * 176
    held = Measured(load=load, streams=streams, newcomers=[stream(0.2)] * 20, upstream_s=[0.1])
    assert not any(line.is_missed for line in lines(held))
    slow = Measured(load=load, streams=streams, newcomers=[stream(0.2), stream(0.4)], upstream_s=[0.1])
    assert [line.is_missed for line in lines(slow)] == [False, True, False]
