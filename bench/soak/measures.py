"""From samples to numbers. Pure."""

from collections.abc import Sequence

from bench.soak.watch import Sample

WARM_UP_S = 120.0
"""Pools, caches and the allocator's arenas fill first."""


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The rise of the straight line that fits the points best, by least squares, in y for each x; 0 for too few."""
    if len(points) < 2:
        return 0.0
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


def growth_mb_a_minute(samples: Sequence[Sample]) -> float:
    """How private memory grows once the process is warm."""
    return slope([(each.at_s / 60, each.footprint.private_mb) for each in samples if each.at_s >= WARM_UP_S])


def seats_used(samples: Sequence[Sample]) -> float:
    """Permits held, on average."""
    return sum(each.held.permits for each in samples) / len(samples)


def cpu_share(samples: Sequence[Sample]) -> float:
    """The part of one core that was used between the first sample and the last."""
    first, last = samples[0], samples[-1]
    return (last.footprint.cpu_s - first.footprint.cpu_s) / (last.at_s - first.at_s)
