from gateway.api.disconnect import Disconnect


def test_who_asks_is_told_once() -> None:
    disconnect, told = Disconnect(), []
    disconnect.subscribe(lambda: told.append(1))
    assert told == []
    disconnect.fire()
    disconnect.fire()
    assert told == [1]


def test_who_asks_late_is_told_at_once() -> None:
    disconnect, told = Disconnect(), []
    disconnect.fire()
    disconnect.subscribe(lambda: told.append(1))
    assert told == [1]


def test_who_no_longer_asks_is_not_told() -> None:
    disconnect, told = Disconnect(), []
    disconnect.subscribe(lambda: told.append(1))
    disconnect.subscribe(None)
    disconnect.fire()
    assert told == []
