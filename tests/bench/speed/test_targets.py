"""The table says what was met, what was missed, and what was not measured."""

from bench.speed.peers import DIRECT, ENVOY, LITELLM, OURS
from bench.speed.readings import Readings, Subject, markdown
from bench.speed.report import has_unaccepted, report, targets_table
from bench.speed.stage import QUICK
from bench.speed.targets import target_rows
from bench.speed.workloads_ours import LOST
from bench.speed.workloads_relay import CPU_REQUEST, FIRST_BYTE_P50, FIRST_BYTE_P99


def relayed(**costs_us: tuple[float, ...]) -> Readings:
    """CPU per request, by peer and round."""
    readings = Readings()
    for peer, values in costs_us.items():
        for value in values:
            readings.add(Subject("relay", "32 clients", peer), CPU_REQUEST, value)
    return readings


def test_ratios_are_taken_round_by_round() -> None:
    readings = relayed(Fairpod=(100, 400, 300), Envoy=(50, 200, 100))
    ratio = readings.ratio(Subject("relay", "32 clients", OURS), Subject("relay", "32 clients", ENVOY), CPU_REQUEST)
    assert ratio.values == (2, 2, 3)
    assert ratio.median == 2


def test_a_miss_fails_unless_it_is_accepted() -> None:
    rows = target_rows(relayed(Fairpod=(500,), LiteLLM=(10_000,), Envoy=(200,)), QUICK)
    assert [(row.number, [bound.name for bound in row.missed]) for row in rows] == [("relay", [f"of {LITELLM}'s"])]
    assert has_unaccepted(rows, {})
    accepted = {("relay", f"of {LITELLM}'s"): "shown by a profile"}
    assert not has_unaccepted(rows, accepted)
    assert "MISSED" in targets_table(rows, {})
    assert "MISSED" not in targets_table(rows, accepted)
    assert "shown by a profile" in report(rows, Readings(), accepted)


def test_a_missing_peer_is_said_and_is_no_miss() -> None:
    readings = relayed(Fairpod=(500,), Envoy=(200,))
    readings.missing[LITELLM] = "no such package"
    rows = target_rows(readings, QUICK)
    assert not has_unaccepted(rows, {})
    assert "not measured" in targets_table(rows, {})
    assert f"- {LITELLM} is missing: no such package" in report(rows, readings, {})


def test_a_workload_that_broke_off_is_said() -> None:
    readings = Readings()
    readings.failed["held"] = "RuntimeError: some held streams did not begin"
    assert "- workload held broke off: RuntimeError: some held streams did not begin" in report([], readings, {})


def test_nothing_measured_is_no_row() -> None:
    assert target_rows(Readings(), QUICK) == []


def test_the_upstreams_own_time_is_taken_off() -> None:
    readings = Readings()
    for peer, value in ((DIRECT, 2.0), (OURS, 2.5)):
        readings.add(Subject("first-byte", "half load", peer), FIRST_BYTE_P50, value)
        readings.add(Subject("first-byte", "half load", peer), FIRST_BYTE_P99, 10 * value)
    (row,) = target_rows(readings, QUICK)
    assert [(bound.value, bound.is_met) for bound in row.bounds] == [(0.5, True), (5, True)]


def test_what_is_lost_once_is_missed() -> None:
    readings = Readings()
    readings.add(Subject("held", f"{QUICK.held_streams} streams", OURS), LOST, 1)
    (row,) = target_rows(readings, QUICK)
    assert [bound.name for bound in row.missed] == ["lost"]


def test_tables_are_even() -> None:
    lines = markdown(relayed(Fairpod=(1,), nginx=(2,)).table([OURS, LITELLM, "nginx"])).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert LITELLM not in lines[0]
