import pytest

from gateway.fairshare.share_ratios import MEMORY_S, ShareRatios

WEIGHTS = {"three": 3.0, "one": 1.0}


def metered(rates: dict[str, float], weights: dict[str, float], seconds: int) -> ShareRatios:
    meter = ShareRatios()
    for second in range(seconds):
        meter.note({name: rate * second for name, rate in rates.items()}, weights, float(second))
    return meter


def test_a_fair_split_is_one_for_everybody() -> None:
    assert metered({"three": 30, "one": 10}, WEIGHTS, 20).ratios() == pytest.approx({"three": 1, "one": 1})


def test_who_borrows_has_more_and_who_lends_less() -> None:
    assert metered({"three": 20, "one": 20}, WEIGHTS, 20).ratios() == pytest.approx({"three": 2 / 3, "one": 2})


def test_who_is_alone_has_its_share() -> None:
    assert metered({"one": 5}, {"one": 1.0}, 20).ratios() == {"one": 1.0}


def test_what_was_long_ago_fades() -> None:
    meter = metered({"three": 0, "one": 40}, WEIGHTS, 20)
    before = meter.ratios()["three"]
    served = {"three": 0.0, "one": 40.0 * 19}
    for second in range(20, 20 + int(5 * MEMORY_S)):
        served = {"three": served["three"] + 30, "one": served["one"] + 10}
        meter.note(served, WEIGHTS, float(second))
    assert before == 0
    assert meter.ratios() == pytest.approx({"three": 1, "one": 1}, abs=0.02)


def test_who_is_gone_is_forgotten() -> None:
    meter = metered({"three": 30, "one": 10}, WEIGHTS, 20)
    for second in range(20, 20 + int(10 * MEMORY_S)):
        meter.note({"one": 200.0 + 40 * (second - 19)}, {"one": 1.0}, float(second))
    assert meter.ratios() == {"one": pytest.approx(1, abs=0.05)}


def test_who_returns_in_the_moment_it_is_forgotten_begins_anew() -> None:
    meter = ShareRatios()
    for now_s in (0.0, 5 * MEMORY_S):
        meter.note({"one": now_s}, {"one": 1.0}, now_s)
    meter.note({}, {}, 10 * MEMORY_S)
    assert meter.ratios() == {}


def test_nothing_served_is_no_ratio() -> None:
    assert metered({"one": 0}, {"one": 1.0}, 5).ratios() == {}
