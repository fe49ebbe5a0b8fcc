"""Let the event loop run while a thread renders the metrics.

A computing thread releases the global interpreter lock (GIL) every 5 ms (`sys.getswitchinterval`), and the event loop
needs it after each wait: a request with ten waits takes 50 ms longer. Measured with the 22 000 series of 1000 tenants:
the loop waits for the GIL for a median of 5.1 ms, and 0.2 ms with these pauses; the page takes 0.09 s instead of
0.02 s.
"""

import copy
import io
import threading
from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

SAMPLES_BETWEEN = 100
"""Number of samples between two pauses: about a millisecond of rendering."""
SLICE_CHARACTERS = 32 * 1024
"""Number of characters of our own text between two pauses: about a quarter of a millisecond of rendering."""
PAUSE_S = 0.001
_NEVER = threading.Event()


def pause() -> None:
    """Sleep for PAUSE_S seconds, without the GIL."""
    _NEVER.wait(PAUSE_S)


class Paced(Collector):
    """Yield the metric families of another collector, with pauses between samples. Each can be iterated once."""

    def __init__(self, collector: Collector, pause: Callable[[], object]) -> None:
        self._collector = collector
        self._pause = pause

    def collect(self) -> Iterator[Metric]:
        """Yield the metric families."""
        for family in self._collector.collect():
            # A copy, because some collectors yield the same families each time.
            paced = copy.copy(family)
            paced.samples = self._paced(family.samples)  # type: ignore[assignment]  # the renderers iterate over it.
            yield paced

    def _paced(self, samples: Iterable[Sample]) -> Iterator[Sample]:
        for number, sample in enumerate(samples, 1):
            yield sample
            if number % SAMPLES_BETWEEN == 0:
                self._pause()


def encode_in_slices(begin: bytes, pieces: Iterable[str], pause: Callable[[], object]) -> bytes:
    """Append pieces of text to the begin of a page, with pauses.

    To join and encode 20 MB at once would take some milliseconds. `io.BytesIO` returns its contents without a copy.
    """
    page = io.BytesIO()
    page.write(begin)
    waiting: list[str] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= SLICE_CHARACTERS:
            page.write("".join(waiting).encode())
            waiting.clear()
            size = 0
            pause()
    page.write("".join(waiting).encode())
    return page.getvalue()
