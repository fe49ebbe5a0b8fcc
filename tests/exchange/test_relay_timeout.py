from gateway.exchange.relay_timeout import RelayTimeout
from tests.fakes.clock import FakeClock
from tests.machines import services

RUNS = True


def test_the_timeout_is_that_of_what_was_seen() -> None:
    clock = FakeClock()
    upstream = services(clock, cold_start_timeout_s=5.0, execution_timeout_s=12.0).upstreams["chat"]
    begun_s = clock.monotonic_s()

    def left_s(timeout: RelayTimeout) -> float:
        return timeout.deadline_s - begun_s

    stream = RelayTimeout(upstream, is_stream=True, is_warm=True)
    whole = RelayTimeout(upstream, is_stream=False, is_warm=False)
    warm = RelayTimeout(upstream, is_stream=False, is_warm=True)
    assert [left_s(each) for each in (stream, whole, warm)] == [5, 5, 12]
    clock.now_s += 2
    for each in (stream, whole, warm):
        each.seen(RUNS)
    assert [left_s(each) for each in (stream, whole, warm)] == [5, 14, 12]
    warm.seen(not RUNS)
    assert (left_s(warm), warm.has_begun) == (5, False)
    for each in (stream, whole):
        each.output()
    assert [left_s(each) for each in (stream, whole)] == [14, 14]
