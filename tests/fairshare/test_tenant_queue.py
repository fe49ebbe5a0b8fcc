from gateway.fairshare.tenant_queue import TenantQueue


def granted(line: TenantQueue[str]) -> list[str]:
    return [line.grant() for _ in range(len(line))]


def test_first_come_first_served_and_urgent_before_ordinary() -> None:
    line: TenantQueue[str] = TenantQueue()
    for name in ("a", "b"):
        line.enqueue(name)
    line.enqueue("u", is_urgent=True)
    assert len(line) == 3
    assert granted(line) == ["u", "a", "b"]
    assert len(line) == 0


def test_urgent_tickets_do_not_starve_ordinary_ones() -> None:
    line: TenantQueue[str] = TenantQueue()
    for number in range(8):
        line.enqueue(f"u{number}", is_urgent=True)
    for name in ("a", "b", "c"):
        line.enqueue(name)
    assert granted(line) == ["u0", "u1", "u2", "a", "u3", "u4", "u5", "b", "u6", "u7", "c"]


def test_a_withdrawn_ticket_has_no_turn() -> None:
    line: TenantQueue[str] = TenantQueue()
    for name in ("a", "b"):
        line.enqueue(name)
    assert line.withdraw("a")
    assert not line.withdraw("a")
    assert not line.withdraw("never there")
    assert granted(line) == ["b"]


def test_members_take_turns_however_many_tickets_one_has() -> None:
    line: TenantQueue[str] = TenantQueue()
    for ticket in ("a1", "a2", "a3", "b1", "c1", "b2"):
        line.enqueue(ticket, member=ticket[0])
    assert granted(line) == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_the_newest_is_the_one_that_came_last_and_still_waits() -> None:
    line: TenantQueue[str] = TenantQueue()
    for ticket in ("a1", "b1", "a2"):
        line.enqueue(ticket, member=ticket[0], is_urgent=ticket == "b1")
    assert line.newest() == "a2"
    line.withdraw("a2")
    assert line.newest() == "b1"
    assert line.grant() == "b1"
    assert line.newest() == "a1"
