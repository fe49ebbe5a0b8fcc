"""Parts that are imported only where the configuration asks for them: a process without them is smaller."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.admission.lease_store import LeaseStore
from gateway.clock import Clock
from gateway.config.reading import ConfigError, Problem
from gateway.config.sections import State
from gateway.config.sections import Traces as TracesSection
from gateway.exchange.events import Observer
from gateway.exchange.journal import JournalStore

if TYPE_CHECKING:
    from gateway.observability.traces import Traces


def lease_store(state: State) -> LeaseStore | None:
    """Where replicas lease what they share; None for a process alone."""
    if state.kind == "memory":
        return None
    from gateway.state.redis_leases import RedisLeases  # noqa: PLC0415

    return RedisLeases(state.url or "", prefix=state.prefix)


def journal_store(state: State, process: str, observe: Observer) -> JournalStore | None:
    """Where processes journal their open jobs; None for a process alone."""
    if state.kind == "memory":
        return None
    from gateway.state.redis_journal import RedisJournal  # noqa: PLC0415

    return RedisJournal(state.url or "", prefix=state.prefix, process=process, observe=observe)


def traces(section: TracesSection | None, *, clock: Clock, say: Callable[..., None]) -> "Traces | None":
    """Where requests are told of as traces; None where nobody wants them.

    Raises:
        ConfigError: What that takes is not installed.
    """
    if section is None:
        return None
    try:
        from gateway.observability.traces import Traces  # noqa: PLC0415
    except ImportError:
        text = "this needs an extra part that is not installed: pip install 'fairpod[otel]'"
        raise ConfigError([Problem("traces", text)]) from None
    return Traces(
        endpoint=section.endpoint,
        headers=section.headers,
        sample_ratio=section.sample_ratio,
        service_name=section.service_name,
        clock=clock,
        say=say,
    )
