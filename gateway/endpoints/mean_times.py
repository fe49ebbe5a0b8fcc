"""Track moving means of the time that a tenant's requests take, to predict what a cancel saves."""

NEWEST_PART = 0.1
"""Weight of the newest request in the mean: about the last twenty count."""


class MeanTimes:
    """Track mean seconds by tenant and endpoint."""

    def __init__(self) -> None:
        self._means_s: dict[tuple[str, str], float] = {}

    def note(self, tenant: str, endpoint: str, seconds: float) -> None:
        """Record the seconds that a complete request took."""
        key = (tenant, endpoint)
        mean_s = self._means_s.get(key, seconds)
        self._means_s[key] = mean_s + NEWEST_PART * (seconds - mean_s)

    def mean_s(self, tenant: str, endpoint: str) -> float | None:
        """Return the mean seconds of the last requests; None before the first."""
        return self._means_s.get((tenant, endpoint))
