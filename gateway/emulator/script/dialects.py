"""Wrap an answer into the outputs that each kind of worker yields. Pure.

Sources: runpod-workers/worker-vllm (README and handler of 2.23 and 2.25), runpod-workers/worker-sglang, and Runpod's
docs of 2023 for `legacy`.
"""

import random
from collections.abc import Iterator

import msgspec

from gateway.emulator.script.answer import Answer
from gateway.emulator.script.openai import Step, encode
from gateway.emulator.settings import Dialect

BATCH_TOKENS = (1, 3, 9, 27, 50)
"""Batch sizes in tokens: worker-vllm before 2.24 begins with small batches and ends with large ones."""


class Slicing(msgspec.Struct, frozen=True, kw_only=True):
    """Describe where raw event text is cut into outputs."""

    seed: str
    slice_bytes: int = 0
    """Size of each output in bytes; 0 cuts at random sizes, different for each seed."""
    cuts_characters: bool = False
    by_event: bool = False


def event(data: bytes) -> bytes:
    """Format one server-sent event."""
    return b"data: %b\n\n" % data


def event_outputs(steps: Iterator[Step], dialect: Dialect, slicing: Slicing) -> Iterator[Step]:
    """Return the outputs of a worker that relays an OpenAI stream."""
    if dialect is Dialect.VLLM:
        return _cut(steps, slicing)
    if dialect is Dialect.SGLANG:
        return _pretty(steps)
    return _batched(steps, as_dicts=dialect is Dialect.VLLM_DICTS)


def whole_output(body: bytes, dialect: Dialect) -> bytes:
    """Return the only output of a worker for a request without a stream. worker-sglang yields JSON text."""
    return encode(body.decode()) if dialect is Dialect.SGLANG else body


def token_outputs(answer: Answer, *, is_stream: bool) -> Iterator[Step]:
    """Yield batches of tokens with cumulative `usage.output`, or the whole answer in one if not streamed."""
    length = max(len(choice.tokens) for choice in answer.choices)
    position = 0
    for size in _batch_sizes() if is_stream else iter([length]):
        batch = [choice.tokens[position : position + size] for choice in answer.choices]
        position += size
        output = sum(min(position, len(choice.tokens)) for choice in answer.choices)
        # Empty steps are pauses: a batch takes as long as its tokens do.
        yield from ([] for _ in range(min(size, length) - 1))
        choices = [{"tokens": ["".join(tokens)]} for tokens in batch]
        yield [encode({"choices": choices, "usage": {"input": answer.prompt_tokens, "output": output}})]
        if position >= length:
            return


def legacy_outputs(answer: Answer) -> Iterator[Step]:
    """Yield one output for each token, in the shape of 2023; only the first one counts the prompt's tokens."""
    for position in range(max(len(choice.tokens) for choice in answer.choices)):
        text = [choice.tokens[position] if position < len(choice.tokens) else "" for choice in answer.choices]
        input_tokens = answer.prompt_tokens if position == 0 else 0
        yield [encode({"text": text, "input_tokens": input_tokens, "output_tokens": position + 1})]


def legacy_result(answer: Answer) -> bytes:
    """Build the result that /status showed for such a job: an object, not the list of yields."""
    return encode(
        {
            "text": [choice.text for choice in answer.choices],
            "input_tokens": answer.prompt_tokens,
            "output_tokens": answer.completion_tokens,
        }
    )


def text_outputs(answer: Answer) -> Iterator[Step]:
    """Return one plain string for each token of the first choice."""
    return ([encode(token)] for token in answer.choices[0].tokens)


def _cut(steps: Iterator[Step], slicing: Slicing) -> Iterator[Step]:
    """Cut the text of the stream into pieces. A character that is cut becomes U+FFFD on both sides."""
    chance = random.Random(slicing.seed)
    held = b""
    for step in _with_done(steps):
        if slicing.by_event:
            yield [encode(event(data).decode()) for data in step]
            continue
        held += b"".join(map(event, step))
        pieces: Step = []
        size = slicing.slice_bytes or chance.randint(1, 240)
        while len(held) >= size:
            end = size if slicing.cuts_characters else _character_end(held, size)
            pieces.append(_as_text(held[:end]))
            held = held[end:]
            size = slicing.slice_bytes or chance.randint(1, 240)
        yield pieces
    if held:
        yield [_as_text(held)]


def _as_text(piece: bytes) -> bytes:
    return encode(piece.decode("utf-8", errors="replace"))


def _character_end(text: bytes, size: int) -> int:
    """Return the first position at or after `size` that is not inside a character."""
    while size < len(text) and text[size] & 0xC0 == 0x80:
        size += 1
    return size


def _batched(steps: Iterator[Step], *, as_dicts: bool) -> Iterator[Step]:
    sizes = _batch_sizes()
    size, held = next(sizes), list[bytes]()
    for step in steps if as_dicts else _with_done(steps):
        held.extend(step)
        if len(held) < size:
            yield []
            continue
        yield [_batch(held, as_dicts=as_dicts)]
        size, held = next(sizes), []
    if held:
        yield [_batch(held, as_dicts=as_dicts)]


def _batch(chunks: list[bytes], *, as_dicts: bool) -> bytes:
    return b"[%b]" % b",".join(chunks) if as_dicts else encode(b"".join(map(event, chunks)).decode())


def _batch_sizes() -> Iterator[int]:
    yield from BATCH_TOKENS
    while True:
        yield BATCH_TOKENS[-1]


def _pretty(steps: Iterator[Step]) -> Iterator[Step]:
    """Yield pretty-printed events, all in the last step: worker-sglang waits for the whole answer."""
    events: Step = []
    for step in _with_done(steps):
        for data in step:
            lines = data if data == b"[DONE]" else msgspec.json.format(data, indent=2)
            events.append(encode(event(lines.replace(b"\n", b"\ndata: ")).decode()))
        yield []
    yield events


def _with_done(steps: Iterator[Step]) -> Iterator[Step]:
    yield from steps
    yield [b"[DONE]"]
