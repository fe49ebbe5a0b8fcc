"""Create the parts that are only imported if the configuration needs them: a process without them is smaller."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.admission.lease_store import LeaseStore
from gateway.clock import Clock
from gateway.config.loader import ConfigError, Problem
from gateway.config.schema import State
from gateway.config.schema import Traces as TracesSection
from gateway.events import Observer
from gateway.jobs.journal import JournalStore

if TYPE_CHECKING:
    from gateway.observability.traces import TraceExporter


def lease_store(state: State) -> LeaseStore | None:
    """Return the store of leases that replicas share; None for a single process."""
    if state.kind == "memory":
        return None
    from gateway.state.redis_leases import RedisLeases  # noqa: PLC0415

    return RedisLeases(state.url or "", prefix=state.prefix)


def journal_store(state: State, process: str, observe: Observer) -> JournalStore | None:
    """Return the store in which processes journal their open jobs; None for a single process."""
    if state.kind == "memory":
        return None
    from gateway.state.redis_journal import RedisJournal  # noqa: PLC0415

    return RedisJournal(state.url or "", prefix=state.prefix, process=process, observe=observe)


def traces(section: TracesSection | None, *, clock: Clock, say: Callable[..., None]) -> "TraceExporter | None":
    """Return the trace exporter; None if traces are not configured.

    Raises:
        ConfigError: The `otel` extra is not installed.
    """
    if section is None:
        return None
    try:
        from gateway.observability.traces import TraceExporter  # noqa: PLC0415
    except ImportError:
        text = "requires the `otel` extra; run: pip install 'fairpod[otel]'"
        raise ConfigError([Problem("traces", text)]) from None
    return TraceExporter(
        endpoint=section.endpoint,
        headers=section.headers,
        sample_ratio=section.sample_ratio,
        service_name=section.service_name,
        clock=clock,
        say=say,
    )
