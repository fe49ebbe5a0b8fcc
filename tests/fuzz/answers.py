"""What a client may be answered: OpenAI's objects, a stream of its chunks, or its error envelope; nothing else."""

import json
from typing import Any

DIGITS_MAX = 4000


def parsed(body: bytes) -> Any:
    """The JSON, by a parser that takes none of Python's liberties."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    # A worker's own field may hold a number of any length: JSON has no bound, Python has.
    return json.loads(body.decode(), parse_constant=refuse, parse_int=lambda text: int(text[:DIGITS_MAX]))


def check_error(error: Any) -> None:
    """The inside of the envelope: all four keys, and something to read."""
    assert isinstance(error, dict)
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    assert isinstance(error["message"], str)
    assert isinstance(error["type"], str)
    assert all(error[name] is None or isinstance(error[name], str) for name in ("param", "code"))


def check_envelope(status: int, content_type: str, body: bytes) -> None:
    assert content_type.startswith("application/json")
    assert status >= 400
    assert status != 500, body
    answer = parsed(body)
    assert set(answer) == {"error"}
    check_error(answer["error"])


def check_usage(usage: Any) -> None:
    assert all(type(usage[name]) is int and usage[name] >= 0 for name in ("prompt_tokens", "total_tokens"))


def check_completion(body: bytes, *, model: str, choices: int) -> None:
    """A whole chat or text completion, with as many choices as were asked for."""
    answer = parsed(body)
    assert answer["object"] in {"chat.completion", "text_completion"}
    assert answer["model"] == model
    assert isinstance(answer["id"], str)
    assert isinstance(answer["created"], int)
    assert len(answer["choices"]) >= choices
    for choice in answer["choices"]:
        assert type(choice["index"]) is int
        assert isinstance(choice["finish_reason"], str)
        if answer["object"] == "chat.completion":
            message = choice["message"]
            assert message["role"] == "assistant"
            assert message["content"] is None or isinstance(message["content"], str)
        else:
            assert isinstance(choice["text"], str)
    check_usage(answer["usage"])


def check_embeddings(body: bytes, *, model: str) -> None:
    answer = parsed(body)
    assert answer["object"] == "list"
    assert answer["model"] == model
    assert isinstance(answer["data"], list)
    check_usage(answer["usage"])


def check_stream(body: bytes, *, model: str) -> None:
    """Chunks under one name, then the end mark, or an error as the last event."""
    assert body.endswith(b"\n\n")
    frames = [frame for frame in body.split(b"\n\n")[:-1] if not frame.startswith(b":")]
    assert all(frame.startswith(b"data: ") and b"\n" not in frame for frame in frames)
    *data, last = [frame.removeprefix(b"data: ") for frame in frames]
    chunks = [parsed(each) for each in data]
    if last != b"[DONE]":
        answer = parsed(last)
        assert set(answer) == {"error"}
        check_error(answer["error"])
        assert not answer["error"]["message"].startswith("Internal gateway error.")
    else:
        assert chunks
    assert len({(chunk["id"], chunk["created"], chunk["object"]) for chunk in chunks}) <= 1
    for chunk in chunks:
        check_chunk(chunk, model=model)


def check_chunk(chunk: Any, *, model: str) -> None:
    assert chunk["object"] in {"chat.completion.chunk", "text_completion"}
    assert chunk["model"] == model
    assert isinstance(chunk["choices"], list)
    for choice in chunk["choices"]:
        assert type(choice["index"]) is int
        assert choice["finish_reason"] is None or isinstance(choice["finish_reason"], str)
        if chunk["object"] == "chat.completion.chunk":
            content = choice["delta"].get("content")
            assert content is None or isinstance(content, str)
        else:
            assert isinstance(choice["text"], str)
