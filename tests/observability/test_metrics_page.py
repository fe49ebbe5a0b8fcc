"""The page that is scraped: at most one rendering a second for each of the two media types."""

import threading
from collections.abc import Callable

import anyio
import pytest

from gateway.observability.metrics import Metrics
from gateway.observability.metrics_page import KEPT_S, MetricsPage
from tests.fakes.clock import FakeClock

OPENMETRICS = "application/openmetrics-text;version=1.0.0"

pytestmark = pytest.mark.real_time


class Counted(Metrics):
    """Metrics that count how often they were read and rendered, and wait for the test where it says so."""

    def __init__(self) -> None:
        super().__init__(version="x", read=lambda: ())
        self.readings = 0
        self.rendered: list[str] = []
        self.may_end = threading.Event()
        self.may_end.set()

    def take_readings(self) -> None:
        self.readings += 1
        super().take_readings()

    def render(self, accept: str = "", pause: Callable[[], object] | None = None) -> tuple[bytes, str]:
        assert threading.current_thread() is not threading.main_thread()
        assert pause is not None
        self.rendered.append(accept)
        assert self.may_end.wait(30)
        return b"%d" % len(self.rendered), accept


async def test_repeated_scrapes_within_a_second_get_the_same_bytes() -> None:
    metrics, clock = Counted(), FakeClock()
    page = MetricsPage(metrics, clock)
    first = await page.get("")
    clock.now_s += KEPT_S * 0.9
    for accept in (
        "",
        "*/*",
        "text/plain;version=1.0.0",
        "application/openmetrics-text;version=0.0.1",
        "a=b;version=?",
    ):
        assert await page.get(accept) == first
    assert (metrics.readings, metrics.rendered) == (1, [first[1]])
    clock.now_s += KEPT_S * 0.2
    assert (await page.get(""))[0] == b"2"
    assert metrics.readings == 2


async def test_a_page_that_takes_long_is_followed_by_a_pause_as_long() -> None:
    clock = FakeClock()

    class Slow(Counted):
        def render(self, accept: str = "", pause: Callable[[], object] | None = None) -> tuple[bytes, str]:
            clock.now_s += 3
            return super().render(accept, pause)

    metrics = Slow()
    page = MetricsPage(metrics, clock)
    await page.get("")
    clock.now_s += 2.9
    await page.get("")
    assert len(metrics.rendered) == 1
    clock.now_s += 0.2
    await page.get("")
    assert len(metrics.rendered) == 2


async def test_each_media_type_has_its_page() -> None:
    metrics = Counted()
    page = MetricsPage(metrics, FakeClock())
    plain, rich = await page.get(""), await page.get(OPENMETRICS)
    assert plain[1].startswith("text/plain; version=0.0.4")
    assert rich[1].startswith("application/openmetrics-text; version=1.0.0")
    for version in ("1.0.0", "1.2.3", "2.0.0", "77.0.0"):
        assert await page.get(f"application/openmetrics-text;version={version};escaping=values") == rich
    assert len(metrics.rendered) == 2


async def test_concurrent_scrapes_are_one_rendering() -> None:
    metrics = Counted()
    metrics.may_end.clear()
    page = MetricsPage(metrics, FakeClock())
    found: list[bytes] = []

    async def scrape() -> None:
        found.append((await page.get(""))[0])

    async with anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(scrape)
        await anyio.wait_all_tasks_blocked()
        metrics.may_end.set()
    assert found == [b"1"] * 50
    assert (metrics.readings, len(metrics.rendered)) == (1, 1)


async def test_a_scraper_that_leaves_does_not_spoil_the_page_of_the_others() -> None:
    metrics = Counted()
    metrics.may_end.clear()
    page = MetricsPage(metrics, FakeClock())
    found: list[bytes] = []

    async def scrape() -> None:
        found.append((await page.get(""))[0])

    async with anyio.create_task_group() as tasks:
        leaving = anyio.CancelScope()

        async def leave() -> None:
            with leaving:
                await page.get("")

        tasks.start_soon(leave)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(scrape)
        await anyio.wait_all_tasks_blocked()
        leaving.cancel()
        metrics.may_end.set()
    assert len(found) == 1
    assert len(metrics.rendered) <= 2


async def test_a_rendering_that_fails_is_tried_again() -> None:
    class Failing(Counted):
        def render(self, accept: str = "", pause: Callable[[], object] | None = None) -> tuple[bytes, str]:
            if self.readings == 1:
                raise OSError("no memory")
            return super().render(accept, pause)

    page = MetricsPage(Failing(), FakeClock())
    with pytest.raises(OSError, match="no memory"):
        await page.get("")
    assert (await page.get(""))[0] == b"1"
