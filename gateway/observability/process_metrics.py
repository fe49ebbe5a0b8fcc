"""Export metrics of the process itself: its shared state and its configuration."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from gateway.admission.lease_store import RecordKind
from gateway.events import ConfigRead, Reload


class StoreMetrics:
    """Export whether the state that replicas share is reachable."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._up = Gauge(
            "gateway_state_store_up", "1 if the shared state store is reachable, else 0.", registry=registry
        )
        # True at first, because without Redis the state is in this process's memory.
        self._is_up = self._is_journal_up = True
        self._up.set(1)
        name, text = (
            "gateway_state_records_unreadable_total",
            "Number of unreadable records in the shared state store that were skipped.",
        )
        self.unreadable = Counter(name, text, ["kind"], registry=registry)
        for kind in RecordKind:
            self.unreadable.labels(kind.value)

    def note(self, *, is_up: bool) -> None:
        """Record whether leases can be renewed."""
        self._is_up = is_up
        self._up.set(self._is_up and self._is_journal_up)

    def note_journal(self, *, is_up: bool) -> None:
        """Record whether open jobs can be journalled; if not, the store counts as unreachable too."""
        self._is_journal_up = is_up
        self._up.set(self._is_up and self._is_journal_up)


class ConfigMetrics:
    """Export the outcomes of configuration reloads, under the names that Prometheus uses for its own reloads."""

    def __init__(self, registry: CollectorRegistry, started_at_s: float) -> None:
        self._reloads = Counter(
            "gateway_config_reloads_total",
            "Number of configuration reloads by outcome.",
            ["outcome"],
            registry=registry,
        )
        for outcome in Reload:
            self._reloads.labels(outcome.value)
        self._successful = Gauge(
            "gateway_config_last_reload_successful",
            "1 if the last configuration reload succeeded, else 0.",
            registry=registry,
        )
        self._succeeded_at = Gauge(
            "gateway_config_last_reload_success_timestamp_seconds",
            "Unix time of the last successful configuration reload.",
            registry=registry,
        )
        self._succeed(started_at_s)

    def note(self, event: ConfigRead) -> None:
        """Count a reload."""
        self._reloads.labels(event.outcome.value).inc()
        if event.outcome is Reload.REFUSED:
            self._successful.set(0)
        else:
            self._succeed(event.at_s)

    def _succeed(self, at_s: float) -> None:
        self._successful.set(1)
        self._succeeded_at.set(at_s)
