"""What a client got, and whether that is honest: the whole answer, or an error that OpenAI's client has a type for."""

import json
from enum import StrEnum
from typing import Any

import msgspec

from tests.chaos.questions import Question

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class Ending(StrEnum):
    """How a request ended for its client."""

    WHOLE = "whole"
    FAILED = "failed"
    """With an error that says so."""
    BROKEN = "broken"
    """The connection broke; a client cannot take it for an end."""
    LEFT = "left"
    """The client went away itself."""


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """An answer as it came over the wire, its transfer coding undone."""

    status: int = 0
    head: str = ""
    body: bytes = b""
    is_complete: bool = False
    """Whether HTTP's own end was seen."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """An ending, and all that the client saw, for the search for secrets."""

    question: Question
    ending: Ending
    answer: str = ""
    """What belongs to an answer."""
    around: str = ""
    """Headers, errors and exceptions."""


class DishonestError(AssertionError):
    """A client got something that is neither its answer nor an error."""


def judge(question: Question, reply: Reply, *, are_characters_cut: bool = False) -> Verdict:
    """Read an answer as a client would, and trust nothing.

    Raises:
        DishonestError: Text is missing, doubled or out of order, or an error is not OpenAI's.
    """
    if reply.status not in {0, 200} and reply.is_complete:
        check_error(json.loads(reply.body)["error"], reply.head)
        return Verdict(question=question, ending=Ending.FAILED, around=reply.head + reply.body.decode())
    if reply.status == 200 and question.stream:
        return _judge_stream(question, reply, are_characters_cut=are_characters_cut)
    if not reply.is_complete:
        return Verdict(question=question, ending=Ending.BROKEN, around=reply.head)
    answer = json.loads(reply.body)
    (choice,) = answer["choices"]
    check_whole(question, choice["message"]["content"], are_characters_cut=are_characters_cut)
    return Verdict(question=question, ending=Ending.WHOLE, answer=reply.body.decode(), around=reply.head)


def _judge_stream(question: Question, reply: Reply, *, are_characters_cut: bool) -> Verdict:
    events = [json_of(event) for event in reply.body.split(b"\n\n") if event.startswith(b"data:")]
    if not reply.is_complete:
        events = [event for event in events if event is not None]
    is_done = bool(events) and events[-1] == "[DONE]"
    chunks = [event for event in events if isinstance(event, dict) and "choices" in event]
    errors = [event["error"] for event in events if isinstance(event, dict) and "error" in event]
    text = "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])
    around = reply.head + json.dumps(errors, ensure_ascii=False)
    if is_done and not errors:
        check_whole(question, text, are_characters_cut=are_characters_cut)
        ending = Ending.WHOLE
    else:
        check_beginning(question, text, are_characters_cut=are_characters_cut)
        if errors:
            (error,) = errors
            check_error(error, reply.head)
            if is_done or events[-1] != {"error": error}:
                raise DishonestError(f"something follows the error event: {events[-2:]}")
        elif reply.is_complete:
            raise DishonestError(f"a stream ended in silence after {text!r}")
        ending = Ending.FAILED if errors else Ending.BROKEN
    return Verdict(question=question, ending=ending, answer=text, around=around)


def json_of(event: bytes) -> Any:
    """The data of an event; None for one that was cut short."""
    data = event.removeprefix(b"data: ")
    try:
        return "[DONE]" if data == b"[DONE]" else json.loads(data)
    except ValueError:
        return None


def check_error(error: Any, head: str) -> None:
    """Raise DishonestError where OpenAI's clients would not understand the error."""
    if not isinstance(error, dict) or error.keys() != {"message", "type", "param", "code"} or not error["message"]:
        raise DishonestError(f"not an error of OpenAI's: {error}")
    if "x-request-id:" not in head.lower():
        raise DishonestError("an answer without a request id")


def check_whole(question: Question, text: str | None, *, are_characters_cut: bool = False) -> None:
    """Raise DishonestError unless this is all of the text, once and in order."""
    if _comparable(text or "", are_characters_cut) != _comparable(question.expected, are_characters_cut):
        raise DishonestError(f"{question.text!r} was answered as if whole with {text!r}")


def check_beginning(question: Question, text: str, *, are_characters_cut: bool = False) -> None:
    """Raise DishonestError unless the text before a failure is the beginning of the answer."""
    if not _comparable(question.expected, are_characters_cut).startswith(_comparable(text, are_characters_cut)):
        raise DishonestError(f"{question.text!r} was answered in part with {text!r}")


def _comparable(text: str, are_characters_cut: bool) -> str:
    """Where workers cut characters only ASCII can be compared: what was cut is lost before the gateway sees it."""
    return "".join(filter(str.isascii, text)) if are_characters_cut else text
