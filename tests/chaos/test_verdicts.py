"""The judge of chaos is not to be deceived."""

import json
from typing import Any

import pytest

from tests.chaos.questions import Question
from tests.chaos.verdicts import DishonestError, Ending, Reply, judge

HEAD = "HTTP/1.1 200 OK\r\nx-request-id: r\r\n\r\n"
ERROR = {"message": "No.", "type": "server_error", "param": None, "code": None}
DONE = "data: [DONE]\n\n"
STREAMED = Question(model="m-job", tenant="acme", stream=True, text="count to 3", expected="1 2 3")
WHOLE = Question(model="m-job", tenant="acme", stream=False, text="count to 3", expected="1 2 3")


def chunks(*texts: str) -> str:
    return "".join(f"data: {json.dumps({'choices': [{'delta': {'content': text}}]})}\n\n" for text in texts)


def failure(error: Any = ERROR) -> str:
    return f"data: {json.dumps({'error': error})}\n\n"


def message(text: str | None) -> str:
    return json.dumps({"choices": [{"message": {"content": text}}]})


def ending(question: Question, body: str, **fields: Any) -> Ending:
    reply = Reply(**{"status": 200, "head": HEAD, "is_complete": True, **fields, "body": body.encode()})
    return judge(question, reply).ending


def test_honest_endings() -> None:
    assert ending(STREAMED, f": keep-alive\n\n{chunks('1', ' 2', ' 3')}{DONE}") is Ending.WHOLE
    assert ending(STREAMED, chunks("1", " 2") + failure()) is Ending.FAILED
    assert ending(STREAMED, chunks("1", " 2"), is_complete=False) is Ending.BROKEN
    assert ending(STREAMED, chunks("1") + "data: {", is_complete=False) is Ending.BROKEN
    assert ending(STREAMED, json.dumps({"error": ERROR}), status=502) is Ending.FAILED
    assert ending(WHOLE, message("1 2 3")) is Ending.WHOLE
    assert ending(WHOLE, message("1 2 3")[:9], is_complete=False) is Ending.BROKEN
    assert ending(WHOLE, "", status=0, is_complete=False) is Ending.BROKEN


@pytest.mark.parametrize(
    "body",
    [
        "",
        chunks("1", " 2", " 3"),
        chunks("1", " 2") + DONE,
        chunks("1", " 3") + DONE,
        chunks("1", " 2", " 2", " 3") + DONE,
        chunks(" 2", "1", " 3") + DONE,
        chunks("1", " 3") + failure(),
        chunks("1", "1") + failure(),
        chunks("1") + failure() + DONE,
        chunks("1") + failure() + chunks(" 2"),
        chunks("1") + failure({"message": "No."}),
        chunks("1") + "data: {",
    ],
)
def test_deceptive_streams(body: str) -> None:
    with pytest.raises(DishonestError):
        ending(STREAMED, body)


def test_deceptive_answers() -> None:
    for text in ("1 2", "", None, "1 2 3 3"):
        with pytest.raises(DishonestError):
            ending(WHOLE, message(text))
    with pytest.raises(DishonestError, match="request id"):
        ending(WHOLE, json.dumps({"error": ERROR}), status=502, head="")


def test_where_characters_were_cut_ascii_is_compared() -> None:
    question = Question(model="m-job", tenant="acme", stream=False, text="", expected="a 🙂 b")
    for text, is_honest in (("a \ufffd\ufffd b", True), ("a \ufffd", False), ("a  b", True)):
        reply = Reply(status=200, head=HEAD, body=message(text).encode(), is_complete=True)
        if is_honest:
            assert judge(question, reply, are_characters_cut=True).ending is Ending.WHOLE
        else:
            with pytest.raises(DishonestError):
                judge(question, reply, are_characters_cut=True)
