"""Declare the states of an exchange, the events that it processes in each, and the states that may follow."""

from enum import IntEnum, auto


class State(IntEnum):
    """Name what an exchange waits for."""

    NEW = auto()
    WAITING = auto()
    """A permit of an endpoint."""
    ATTEMPTING = auto()
    """An attempt to serve the request, with a permit."""
    PAUSING = auto()
    """The end of a pause between two attempts, with a permit."""
    LEAVING = auto()
    """Runpod's reply to a submission, although the exchange was cut: then the canceller takes the job over."""
    SETTLING = auto()
    """The cost of the job whose answer the client has."""
    OVER = auto()


class Event(IntEnum):
    """Name what a driver reports, by the method of `Exchange` that processes it."""

    START = auto()
    WAIT_ENDED = auto()
    HEAD = auto()
    PIECE = auto()
    ENDED = auto()
    FAILED = auto()
    WRITTEN = auto()
    RESUMED = auto()
    JOURNAL_ANSWERED = auto()
    DUE = auto()
    CUT = auto()
    """The client has disconnected, or the process shuts down."""


_ON = frozenset({State.WAITING, State.ATTEMPTING, State.PAUSING, State.SETTLING, State.OVER})
"""States that may follow when an attempt begins, fails or ends: it may be repeated, here or at the next endpoint."""
_LEAVING = frozenset({State.LEAVING, State.OVER})
_SETTLING = frozenset({State.SETTLING, State.OVER})
_CALL = (Event.HEAD, Event.PIECE, Event.ENDED, Event.FAILED)

TRANSITIONS: dict[State, dict[Event, frozenset[State]]] = {
    State.NEW: {Event.START: _ON, Event.CUT: frozenset({State.NEW})},
    State.WAITING: {Event.WAIT_ENDED: _ON, Event.DUE: _ON, Event.CUT: frozenset({State.OVER})},
    State.ATTEMPTING: {
        **dict.fromkeys(
            (*_CALL, Event.WAIT_ENDED, Event.WRITTEN, Event.RESUMED, Event.JOURNAL_ANSWERED, Event.DUE),
            _ON | {State.ATTEMPTING},
        ),
        Event.CUT: _LEAVING,
    },
    State.PAUSING: {Event.RESUMED: _ON, Event.DUE: _ON, Event.CUT: frozenset({State.OVER})},
    State.LEAVING: dict.fromkeys((*_CALL, Event.DUE), _LEAVING),
    State.SETTLING: dict.fromkeys((*_CALL, Event.WAIT_ENDED, Event.RESUMED, Event.DUE), _SETTLING),
    State.OVER: {},
}
"""For each state, the events that it processes. Any other event comes too late, and is ignored."""
