"""Pass each event to every observer."""

from collections.abc import Callable, Sequence

from gateway.events import Event, Observer
from gateway.observability.logs import EventLog


def fan_out(observers: Sequence[Observer], log: EventLog) -> Callable[[Event], None]:
    """Return an observer that calls all of these; if one raises, that is logged and the others are still called."""

    def observe(event: Event) -> None:
        for observer in observers:
            try:
                observer(event)
            except Exception as error:  # noqa: BLE001 - an observer must not break what it observes.
                log.say("observer.broke", observed=type(event).__name__, error=type(error).__name__)

    return observe
