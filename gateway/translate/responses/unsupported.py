"""Reject what the stateless Responses API cannot do, with the reason and what to send instead."""

from gateway.errors import InvalidRequestError
from gateway.wire import openai
from gateway.wire.lenient import integer_of, is_null
from gateway.wire.openai import Fields

_HISTORY = "Responses are not stored here."
_INSTEAD = {
    "conversation": f"{_HISTORY} Send the items of the conversation in 'input' instead of 'conversation'.",
    "prompt": "Prompt templates are not stored here. Send the text in 'instructions' and 'input' instead of 'prompt'.",
    "context_management": "The gateway does not shorten conversations. Shorten 'input' in the client, and leave out "
    "'context_management'.",
}
"""Fields that need a store, and what to do without one."""


def refuse_stateful(fields: Fields) -> None:
    """Check that a request needs nothing that outlives it.

    Raises:
        InvalidRequestError: It refers to stored state, or wants an answer in the background or several answers.
    """
    if not is_null(fields.get("previous_response_id")):
        reason = (
            f"{_HISTORY} Send the whole conversation in 'input', with the earlier output items, instead of "
            "'previous_response_id'."
        )
        raise InvalidRequestError(reason, param="previous_response_id", code="previous_response_not_found")
    if bytes(fields.get("background", b"")) == b"true":
        reason = f"{_HISTORY} Leave out 'background', and read the answer from this request; stream it if it is long."
        raise unsupported(reason, "background")
    for name, reason in _INSTEAD.items():
        if not is_null(fields.get(name)):
            raise unsupported(reason, name)
    if openai.is_present(fields, "n") and integer_of(fields["n"]) != 1:
        raise unsupported("A response has one answer: leave out 'n', and send one request for each answer.", "n")


def unsupported(reason: str, param: str) -> InvalidRequestError:
    """Return the error for a value that is valid at OpenAI, and not here."""
    return InvalidRequestError(reason, param=param, code="unsupported_value")
