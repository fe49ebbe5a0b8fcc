"""Name the state of a connection: what its client sends next, and how far its latest request is answered.

h11 calls the two halves the states of the client and of the server (`h11._state`). The first is ours; the second is
read from uvicorn's flags, so that a decision names a pair of states instead of testing flags one after the other.
"""

from enum import Enum, auto

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle


class Reading(Enum):
    """Name what the next bytes of a connection are."""

    BETWEEN = auto()
    """The beginning of a request: none has begun, or the last one is complete."""
    HEAD = auto()
    """More of a request's head."""
    BODY = auto()
    """More of its body or trailers."""
    DISCARD = auto()
    """Nothing that is parsed: no other request is answered on this connection."""

    @property
    def is_in_message(self) -> bool:
        """Return True while a request is incomplete."""
        return self is Reading.HEAD or self is Reading.BODY


class Answering(Enum):
    """Name how far the latest request with a complete head is answered."""

    NONE = auto()
    """There was no request."""
    PENDING = auto()
    """The application has the request, and has sent nothing."""
    STARTED = auto()
    """A part of the response was sent."""
    COMPLETE = auto()
    """The whole response was sent, possibly before the request was complete."""


def answering(cycle: RequestResponseCycle | None) -> Answering:
    """Return the state of uvicorn's latest request and response; None stands for no request."""
    if cycle is None:
        return Answering.NONE
    if cycle.response_complete:
        return Answering.COMPLETE
    return Answering.STARTED if cycle.response_started else Answering.PENDING
