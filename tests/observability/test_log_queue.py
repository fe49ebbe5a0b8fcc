from gateway.observability.log_queue import LineQueue


def taken(queue: LineQueue) -> list[bytes]:
    return queue.take(1_000_000)


def test_lines_come_out_in_the_order_in_which_they_came() -> None:
    queue = LineQueue()
    for line, is_urgent in ((b"a", False), (b"B", True), (b"c", False), (b"D", True)):
        queue.put(line, is_urgent=is_urgent)
    assert len(queue) == 4
    assert taken(queue) == [b"a", b"B", b"c", b"D"]
    assert (len(queue), taken(queue), queue.dropped) == (0, [], 0)


def test_it_is_bounded_by_lines() -> None:
    queue = LineQueue(lines_max=3)
    for number in range(5):
        queue.put(b"%d" % number, is_urgent=False)
    assert queue.dropped == 2
    assert taken(queue) == [b"0", b"1", b"2"]


def test_it_is_bounded_by_bytes() -> None:
    queue = LineQueue(bytes_max=10)
    for line in (b"x" * 6, b"y" * 5, b"z" * 4, b"!"):
        queue.put(line, is_urgent=False)
    assert queue.dropped == 2
    assert taken(queue) == [b"x" * 6, b"z" * 4]
    queue.put(b"w" * 10, is_urgent=False)
    assert taken(queue) == [b"w" * 10]


def test_an_urgent_line_takes_the_place_of_the_newest_ordinary_ones() -> None:
    queue = LineQueue(bytes_max=10)
    for line in (b"aaaa", b"bbb", b"ccc"):
        queue.put(line, is_urgent=False)
    queue.put(b"ERROR", is_urgent=True)
    assert queue.dropped == 2
    assert taken(queue) == [b"aaaa", b"ERROR"]


def test_an_urgent_line_that_cannot_have_room_drops_no_other() -> None:
    queue = LineQueue(lines_max=4, bytes_max=10)
    queue.put(b"aaaa", is_urgent=False)
    queue.put(b"ERRORERRORS", is_urgent=True)
    assert (queue.dropped, len(queue)) == (1, 1)
    queue.put(b"FIRST", is_urgent=True)
    queue.put(b"SECOND", is_urgent=True)
    assert queue.dropped == 2
    assert taken(queue) == [b"aaaa", b"FIRST"]
    # What was taken leaves its room.
    queue.put(b"bbbb", is_urgent=False)
    queue.put(b"10 BYTES !", is_urgent=True)
    assert (queue.dropped, taken(queue)) == (3, [b"10 BYTES !"])


def test_urgent_lines_are_bounded_too() -> None:
    queue = LineQueue(lines_max=2)
    for line in (b"1", b"2", b"3"):
        queue.put(line, is_urgent=True)
    queue.put(b"x", is_urgent=False)
    assert queue.dropped == 2
    assert taken(queue) == [b"1", b"2"]


def test_it_is_taken_in_pieces_of_at_least_a_line() -> None:
    queue = LineQueue()
    for line in (b"long" * 10, b"ab", b"cd", b"ef"):
        queue.put(line, is_urgent=False)
    assert [queue.take(4) for _ in range(4)] == [[b"long" * 10], [b"ab", b"cd"], [b"ef"], []]


def test_it_is_half_empty_by_both_measures() -> None:
    queue = LineQueue(lines_max=4, bytes_max=10)
    assert queue.is_half_empty()
    queue.put(b"xxxxxx", is_urgent=False)
    assert not queue.is_half_empty()
    taken(queue)
    for _ in range(3):
        queue.put(b"", is_urgent=False)
    assert not queue.is_half_empty()
