from gateway.observability.log_rate_limit import LineLimit


def test_one_line_a_second_says_how_many_were_left_out() -> None:
    subject = LineLimit()
    assert [subject.admit("a", now_s) for now_s in (0.0, 0.0, 0.5, 0.99, 1.0, 1.5, 9.0)] == [
        0, None, None, None, 3, None, 1,
    ]  # fmt: skip


def test_each_kind_has_its_own() -> None:
    subject = LineLimit()
    assert [subject.admit(kind, 5.0) for kind in "abab"] == [0, 0, None, None]
    assert [subject.admit(kind, 6.0) for kind in "abc"] == [1, 1, 0]
