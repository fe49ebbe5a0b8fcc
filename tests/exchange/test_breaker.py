from gateway.exchange.breaker import FAILURES_MAX, LATELY_S, PAUSE_S_FIRST, PAUSE_S_MAX, TRIAL_S_MAX, Breaker


def opened(now_s: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(FAILURES_MAX):
        breaker.failed(now_s)
    return breaker


def test_a_row_of_failures_opens_it_and_one_success_breaks_the_row() -> None:
    breaker = Breaker()
    for _ in range(3):
        for _ in range(FAILURES_MAX - 1):
            breaker.failed(0.0)
        assert breaker.enter_s(0.0) is None
        breaker.succeeded()
    assert not breaker.is_open
    assert opened().is_open


def test_while_it_rests_nobody_is_let_through_and_nobody_looks() -> None:
    breaker = opened()
    assert breaker.rest_s(1.0) == breaker.enter_s(1.0) == PAUSE_S_FIRST - 1.0
    assert not breaker.wants_look(1.0)
    breaker.looked(is_well=True, now_s=1.0)
    assert breaker.enter_s(1.0) is not None


def test_after_the_rest_one_request_tries_once_the_endpoint_is_seen_to_be_well() -> None:
    breaker = opened()
    assert breaker.wants_look(PAUSE_S_FIRST)
    assert breaker.enter_s(PAUSE_S_FIRST) is not None
    breaker.looked(is_well=True, now_s=PAUSE_S_FIRST)
    assert breaker.rest_s(PAUSE_S_FIRST) is None
    assert [breaker.enter_s(PAUSE_S_FIRST) is None for _ in range(3)] == [True, False, False]
    breaker.succeeded()
    assert breaker.enter_s(PAUSE_S_FIRST) is None
    assert not breaker.is_open


def test_each_rest_is_twice_as_long_up_to_a_bound() -> None:
    breaker, now_s, rests_s = opened(), 0.0, list[float]()
    for is_well in (True, False) * 4:
        rest_s = breaker.rest_s(now_s)
        assert rest_s is not None
        rests_s.append(rest_s)
        now_s += rest_s
        breaker.looked(is_well=is_well, now_s=now_s)
        if breaker.enter_s(now_s) is None:
            breaker.failed(now_s)
    assert rests_s[:4] == [5, 10, 20, 40]
    assert rests_s[4:] == [PAUSE_S_MAX] * 4


def test_a_trial_that_never_tells_does_not_block_for_ever() -> None:
    breaker = opened()
    breaker.looked(is_well=True, now_s=PAUSE_S_FIRST)
    assert breaker.enter_s(PAUSE_S_FIRST) is None
    assert breaker.enter_s(PAUSE_S_FIRST + TRIAL_S_MAX) is None


def test_the_failures_of_those_who_were_under_way_do_not_prolong_the_rest() -> None:
    breaker = opened()
    for _ in range(50):
        breaker.failed(1.0)
    assert breaker.rest_s(1.0) == PAUSE_S_FIRST - 1.0


def test_an_endpoint_whose_health_cannot_be_read_is_tried_all_the_same() -> None:
    breaker, now_s = opened(), 0.0
    for _ in range(10):
        rest_s = breaker.rest_s(now_s)
        if rest_s is None:
            break
        now_s += rest_s
        breaker.looked(is_well=False, now_s=now_s)
    assert breaker.enter_s(now_s) is None
    assert now_s < 2 * PAUSE_S_MAX
    # Nobody else, and not before the longest rest if it fails.
    assert breaker.enter_s(now_s) is not None
    breaker.failed(now_s)
    assert breaker.rest_s(now_s) == PAUSE_S_MAX


def test_a_doubtful_refusal_counts_unless_work_was_taken_lately() -> None:
    breaker = Breaker()
    breaker.succeeded(100.0)
    for _ in range(2 * FAILURES_MAX):
        breaker.doubted(100.0 + LATELY_S)
    assert not breaker.is_open
    for _ in range(FAILURES_MAX):
        breaker.doubted(101.0 + LATELY_S)
    assert breaker.is_open
    never = Breaker()
    for _ in range(FAILURES_MAX):
        never.doubted(0.0)
    assert never.is_open


def test_what_is_put_off_neither_counts_nor_breaks_a_row() -> None:
    breaker = Breaker()
    for _ in range(FAILURES_MAX - 1):
        breaker.failed(0.0)
        breaker.put_off()
    assert not breaker.is_open
    breaker.failed(0.0)
    assert breaker.is_open
