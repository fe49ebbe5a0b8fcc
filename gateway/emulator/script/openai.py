"""Format the scripted worker's answers as OpenAI objects: whole ones, and the steps of a stream. Pure."""

import base64
import hashlib
import struct
from collections.abc import Iterator

import msgspec

from gateway.emulator.script.answer import Answer, Choice, ModelError, ToolCall
from gateway.emulator.script.requests import ModelRequest, texts

DEFAULT_MODEL = "scripted"
DIMENSIONS_MAX = 16_384
Step = list[bytes]
"""Outputs of one moment, one JSON object each. A stream has a step for each token."""

encode = msgspec.json.encode


class Heading(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the fields that all chunks of one answer share."""

    id: str
    created: int
    model: str


def chat_body(answer: Answer, heading: Heading) -> bytes:
    """Build a `chat.completion`."""
    choices = [
        {
            "index": index,
            "message": {
                "role": "assistant",
                "content": choice.text if not choice.tool_calls else None,
                "refusal": None,
                "tool_calls": [
                    _tool_call(call, heading.id, position) for position, call in enumerate(choice.tool_calls)
                ],
            },
            "logprobs": None,
            "finish_reason": choice.finish_reason,
            "stop_reason": None,
        }
        for index, choice in enumerate(answer.choices)
    ]
    return encode({**_head(heading, "chat.completion"), "choices": choices, "usage": _usage(answer)})


def completion_body(answer: Answer, heading: Heading) -> bytes:
    """Build a `text_completion`."""
    choices = [
        {"index": index, "text": choice.text, "logprobs": None, "finish_reason": choice.finish_reason}
        for index, choice in enumerate(answer.choices)
    ]
    return encode({**_head(heading, "text_completion"), "choices": choices, "usage": _usage(answer)})


def chat_steps(answer: Answer, heading: Heading, *, with_usage: bool) -> Iterator[Step]:
    """Yield the chunks of a `chat.completion.chunk` stream, without [DONE]."""
    head = encode(_head(heading, "chat.completion.chunk"))[:-1] + b',"choices":['

    def chunk(index: int, delta: bytes, finish: bytes = b'"finish_reason":null') -> bytes:
        return b'%b{"index":%d,"delta":%b,"logprobs":null,%b}]}' % (head, index, delta, finish)

    yield [chunk(index, b'{"role":"assistant","content":""}') for index in range(len(answer.choices))]
    for position in range(max(len(choice.tokens) for choice in answer.choices)):
        yield [
            chunk(index, b'{"content":%b}' % encode(choice.tokens[position]))
            for index, choice in enumerate(answer.choices)
            if position < len(choice.tokens)
        ]
    for index, choice in enumerate(answer.choices):
        for delta in _tool_deltas(choice, heading.id):
            yield [chunk(index, delta)]
    finishes = [b'"finish_reason":%b,"stop_reason":null' % encode(choice.finish_reason) for choice in answer.choices]
    yield [chunk(index, b"{}", finish) for index, finish in enumerate(finishes)]
    if with_usage:
        yield [head + b'],"usage":%b}' % encode(_usage(answer))]


def completion_steps(answer: Answer, heading: Heading, *, with_usage: bool) -> Iterator[Step]:
    """Yield the chunks of a `text_completion` stream, without [DONE]; the last token carries the finish reason."""
    head = _head(heading, "text_completion")
    all_pieces = [choice.pieces for choice in answer.choices]
    for position in range(max(map(len, all_pieces)) or 1):
        step: Step = []
        for index, (choice, pieces) in enumerate(zip(answer.choices, all_pieces, strict=True)):
            if position < max(1, len(pieces)):
                is_last = position + 1 >= len(pieces)
                text = pieces[position] if pieces else ""
                finish_reason = choice.finish_reason if is_last else None
                entry = {"index": index, "text": text, "logprobs": None, "finish_reason": finish_reason}
                step.append(encode({**head, "choices": [entry]}))
        yield step
    if with_usage:
        yield [encode({**head, "choices": [], "usage": _usage(answer)})]


def embeddings_body(request: ModelRequest, *, dimensions: int) -> bytes:
    """Build a list of embeddings: unit vectors that depend only on the text."""
    inputs = texts(request.input)
    if not inputs:
        raise ModelError(400, "BadRequestError", "input is missing or empty", param="input")
    size = dimensions if request.dimensions is None else request.dimensions
    if not 1 <= size <= DIMENSIONS_MAX:
        message = f"dimensions must be between 1 and {DIMENSIONS_MAX}"
        raise ModelError(400, "BadRequestError", message, param="dimensions")
    vectors = [_vector(text, size) for text in inputs]
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": (
                base64.b64encode(struct.pack(f"<{size}f", *vector)).decode()
                if request.encoding_format == "base64"
                else vector
            ),
        }
        for index, vector in enumerate(vectors)
    ]
    tokens = sum(len(text.split()) for text in inputs)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return encode({"object": "list", "data": data, "model": request.model or DEFAULT_MODEL, "usage": usage})


def models_body(models: tuple[str, ...], created: int) -> bytes:
    """Build the list of models."""
    data = [
        {"id": name, "object": "model", "created": created, "owned_by": "vllm", "root": name, "max_model_len": 32768}
        for name in models or (DEFAULT_MODEL,)
    ]
    return encode({"object": "list", "data": data})


def _head(heading: Heading, kind: str) -> dict[str, object]:
    return {"id": heading.id, "object": kind, "created": heading.created, "model": heading.model}


def _usage(answer: Answer) -> dict[str, int]:
    prompt, completion = answer.prompt_tokens, answer.completion_tokens
    return {"prompt_tokens": prompt, "total_tokens": prompt + completion, "completion_tokens": completion}


def _tool_call(call: ToolCall, answer_id: str, position: int) -> dict[str, object]:
    return {
        "id": _call_id(answer_id, position),
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }


def _tool_deltas(choice: Choice, answer_id: str) -> Iterator[bytes]:
    """Yield the deltas of a choice's tool calls: id, type and name once, then the arguments, 6 characters at a time."""
    for position, call in enumerate(choice.tool_calls):
        first = {"index": position, **_tool_call(ToolCall(call.name, ""), answer_id, position)}
        yield encode({"tool_calls": [first]})
        for start in range(0, len(call.arguments), 6):
            piece = {"index": position, "function": {"arguments": call.arguments[start : start + 6]}}
            yield encode({"tool_calls": [piece]})


def _call_id(answer_id: str, position: int) -> str:
    return f"chatcmpl-tool-{answer_id.removeprefix('chatcmpl-')}-{position}"


def _vector(text: str, size: int) -> list[float]:
    digest = hashlib.shake_256(text.encode()).digest(4 * size)
    numbers = [value / 2**31 - 1.0 for value in struct.unpack(f"<{size}I", digest)]
    length = sum(number * number for number in numbers) ** 0.5 or 1.0
    return [number / length for number in numbers]
