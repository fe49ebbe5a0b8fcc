from gateway.fairshare.line import Line


def granted(line: Line[str]) -> list[str]:
    out = []
    while (ticket := line.grant()) is not None:
        out.append(ticket)
    return out


def test_first_come_first_served_and_urgent_before_ordinary() -> None:
    line: Line[str] = Line()
    for name in ("a", "b"):
        line.enqueue(name)
    line.enqueue("u", is_urgent=True)
    assert len(line) == 3
    assert granted(line) == ["u", "a", "b"]
    assert len(line) == 0


def test_urgent_tickets_do_not_starve_ordinary_ones() -> None:
    line: Line[str] = Line()
    for number in range(8):
        line.enqueue(f"u{number}", is_urgent=True)
    for name in ("a", "b", "c"):
        line.enqueue(name)
    assert granted(line) == ["u0", "u1", "u2", "a", "u3", "u4", "u5", "b", "u6", "u7", "c"]


def test_a_withdrawn_ticket_has_no_turn() -> None:
    line: Line[str] = Line()
    for name in ("a", "b"):
        line.enqueue(name)
    line.withdraw("a")
    line.withdraw("a")
    line.withdraw("never there")
    assert granted(line) == ["b"]
