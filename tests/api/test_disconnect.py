from gateway.api.disconnect import Departure


def test_who_asks_is_told_once() -> None:
    departure, told = Departure(), []
    departure.tell(lambda: told.append(1))
    assert told == []
    departure.happen()
    departure.happen()
    assert told == [1]


def test_who_asks_late_is_told_at_once() -> None:
    departure, told = Departure(), []
    departure.happen()
    departure.tell(lambda: told.append(1))
    assert told == [1]


def test_who_no_longer_asks_is_not_told() -> None:
    departure, told = Departure(), []
    departure.tell(lambda: told.append(1))
    departure.tell(None)
    departure.happen()
    assert told == []
