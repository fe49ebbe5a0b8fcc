from gateway.body_rate import (
    BODY_BYTES_PER_S_MIN,
    LINGER_BYTES_PER_S_MIN,
    LINGER_S,
    LINGER_S_MAX,
    READ_BYTES_PER_S_MIN,
    BodyPace,
    UnreadResponse,
)

READ_S = 30.0


def seconds_held(subject: BodyPace, bytes_per_s: float, *, seconds: int = 3600) -> int | None:
    """After how long a client that sends at this rate is too slow; None if it may go on."""
    for now_s in range(1, seconds):
        if subject.is_too_slow(now_s, int(now_s * bytes_per_s), read_s=READ_S):
            return now_s
    return None


def test_a_body_that_trickles_is_not_waited_for_for_ever() -> None:
    assert seconds_held(BodyPace(0.0), 0.1) == 31
    assert seconds_held(BodyPace(0.0), 1) == 31
    assert seconds_held(BodyPace(0.0), BODY_BYTES_PER_S_MIN / 2) == 60


def test_a_body_at_the_least_rate_may_be_as_long_as_any() -> None:
    assert seconds_held(BodyPace(0.0), BODY_BYTES_PER_S_MIN) is None


def test_time_in_which_nobody_asked_for_it_does_not_count() -> None:
    subject = BodyPace(0.0)
    subject.begin(1000.0, 5)
    assert not subject.is_too_slow(1000.0 + READ_S - 1, 5, read_s=READ_S)
    assert subject.is_too_slow(1000.0 + READ_S, 5, read_s=READ_S)


def test_the_rest_of_an_answered_body_is_read_while_it_comes_well() -> None:
    subject = BodyPace(0.0)
    subject.begin(100.0, 5000)
    assert not subject.is_linger_over(100.0 + LINGER_S - 1, 5000)
    assert subject.is_linger_over(100.0 + LINGER_S, 5000)
    assert subject.is_linger_over(100.0 + LINGER_S + 1, 5010)
    sent = 5000 + 20 * LINGER_BYTES_PER_S_MIN
    assert not subject.is_linger_over(120.0, sent)
    assert subject.is_linger_over(100.0 + LINGER_S_MAX, 10**12)


def test_a_client_has_to_read_at_the_least_rate_once_the_buffer_was_full_for_a_while() -> None:
    full_bytes, write_s = 10 * READ_BYTES_PER_S_MIN, 20.0
    unread = UnreadResponse(5.0, full_bytes)
    assert not unread.is_too_slow(24.9, full_bytes, write_s=write_s)
    assert unread.is_too_slow(25.0, full_bytes, write_s=write_s)
    assert not unread.is_too_slow(26.9, full_bytes - 2 * READ_BYTES_PER_S_MIN, write_s=write_s)
    assert unread.is_too_slow(27.0, full_bytes - 2 * READ_BYTES_PER_S_MIN, write_s=write_s)
