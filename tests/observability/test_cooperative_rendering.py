from collections.abc import Iterator

from prometheus_client import PlatformCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.observability.cooperative_rendering import (
    SAMPLES_BETWEEN,
    SLICE_CHARACTERS,
    Paced,
    encode_in_slices,
    pause,
)


class Gauges(Collector):
    def collect(self) -> Iterator[Metric]:
        for name, count in (("a", 3 * SAMPLES_BETWEEN), ("b", SAMPLES_BETWEEN - 1)):
            family = GaugeMetricFamily(name, "x", labels=["n"])
            for number in range(count):
                family.add_metric([str(number)], number)
            yield family


def test_the_page_is_the_same_and_the_loop_has_its_turns() -> None:
    pauses: list[None] = []
    assert generate_latest(Paced(Gauges(), lambda: pauses.append(None))) == generate_latest(Gauges())
    assert len(pauses) == 3


def test_a_collector_that_keeps_its_families_is_shown_again() -> None:
    kept = PlatformCollector(registry=None)
    pages = [generate_latest(Paced(kept, lambda: None)) for _ in range(2)]
    assert pages == [generate_latest(kept)] * 2
    assert b"python_info{" in pages[1]


def test_text_is_joined_and_the_loop_has_its_turns() -> None:
    pauses: list[None] = []
    pieces = [f"é{number}\n" * 100 for number in range(SLICE_CHARACTERS // 100)]
    page = encode_in_slices(b"begin\n", pieces, lambda: pauses.append(None))
    assert page == b"begin\n" + "".join(pieces).encode()
    assert len(pauses) == sum(map(len, pieces)) // SLICE_CHARACTERS
    assert encode_in_slices(b"", [], lambda: pauses.append(None)) == b""


def test_a_pause_ends() -> None:
    pause()
