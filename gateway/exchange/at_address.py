"""What all entries for one endpoint at Runpod share: its workers, and the jobs that it has."""

from collections.abc import Callable

import msgspec

from gateway.exchange.abandoned import AbandonedAttempts
from gateway.exchange.gpu_time import GpuTime


class AtAddress(msgspec.Struct, frozen=True):
    """One Runpod endpoint, whatever entries of the configuration use it."""

    gpu: GpuTime
    abandoned: AbandonedAttempts
    count_live: Callable[[float], int]
    """Tells how many jobs of requests under way Runpod surely had at a time, of all entries and replicas."""
