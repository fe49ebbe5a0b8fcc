"""Hold what all entries for one endpoint at Runpod share: its workers and its jobs."""

from collections.abc import Callable

import msgspec

from gateway.exchange.abandoned import AbandonedAttempts
from gateway.exchange.gpu_time import GpuTime
from gateway.exchange.under_way import UnderWay


class AtAddress(msgspec.Struct, frozen=True):
    """Represent one Runpod endpoint, whichever entries of the configuration use it."""

    gpu: GpuTime
    abandoned: AbandonedAttempts
    under_way: Callable[[float], UnderWay]
    """Tells how many requests were under way at a time a moment ago, of all entries and replicas."""
    settle_s: Callable[[], float]
    """Tells how long what happened before a reading of /health may be on its way here, as ends of answers."""
