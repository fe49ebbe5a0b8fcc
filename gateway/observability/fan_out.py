"""Pass each event on to every observer."""

from collections.abc import Callable, Sequence

from gateway.exchange.events import Event, Observer
from gateway.observability.logs import EventLog


def fan_out(observers: Sequence[Observer], log: EventLog) -> Callable[[Event], None]:
    """Return an observer that tells all of these; one that raises is logged, and hides nothing from the others."""

    def observe(event: Event) -> None:
        for observer in observers:
            try:
                observer(event)
            except Exception as error:  # noqa: BLE001 - an observer must not break what it observes.
                log.say("observer.broke", observed=type(event).__name__, error=type(error).__name__)

    return observe
