"""Moving means of what a tenant's requests take, to predict what a cancel saves."""

NEWEST_PART = 0.1
"""How much of the mean the newest request is: the last twenty or so count."""


class MeanTimes:
    """Mean seconds, by tenant and endpoint."""

    def __init__(self) -> None:
        self._means_s: dict[tuple[str, str], float] = {}

    def note(self, tenant: str, endpoint: str, seconds: float) -> None:
        """Note what a complete request took."""
        key = (tenant, endpoint)
        mean_s = self._means_s.get(key, seconds)
        self._means_s[key] = mean_s + NEWEST_PART * (seconds - mean_s)

    def mean_s(self, tenant: str, endpoint: str) -> float | None:
        """Return the mean of the last requests; None before the first."""
        return self._means_s.get((tenant, endpoint))
