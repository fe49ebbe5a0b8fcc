"""Render the metrics for Prometheus, at most once a second for any number of scrapers."""

import anyio
import msgspec
from anyio import to_thread

from gateway.clock import Clock
from gateway.observability.cooperative_rendering import pause
from gateway.observability.metrics import Metrics, media_type_for

KEPT_S = 1.0


class _Page(msgspec.Struct, frozen=True):
    body: bytes
    until_s: float


class MetricsPage:
    """Render the metrics in a thread, one page at a time, and return the same bytes to all requests within a second."""

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self._metrics = metrics
        self._clock = clock
        self._kept: dict[str, _Page] = {}
        """Latest page of each of the two media types."""
        self._rendering = anyio.Lock()

    async def get(self, accept: str) -> tuple[bytes, str]:
        """Return the body and its media type, for the `Accept` header of the request."""
        media_type = media_type_for(accept)
        page = self._fresh(media_type)
        if page is None:
            async with self._rendering:
                # Another request may have rendered the page while this one waited for the lock.
                page = self._fresh(media_type) or await self._render(media_type)
        return page.body, media_type

    def _fresh(self, media_type: str) -> _Page | None:
        page = self._kept.get(media_type)
        return page if page is not None and self._clock.monotonic_s() < page.until_s else None

    async def _render(self, media_type: str) -> _Page:
        begin_s = self._clock.monotonic_s()
        self._metrics.take_readings()
        body, _ = await to_thread.run_sync(self._metrics.render, media_type, pause)
        end_s = self._clock.monotonic_s()
        # The age counts from the start of rendering, so that a scrape once a second always gets a new page. A page that
        # takes long to render is kept for as long again, so that rendering takes at most half of the time.
        page = self._kept[media_type] = _Page(body, max(begin_s + KEPT_S, end_s + (end_s - begin_s)))
        return page
