"""Convert the model's chunks to OpenAI's format: cleaned for a stream, or folded into one completion."""

import msgspec
from msgspec import UNSET, UnsetType

from gateway.demo.request import RequestError


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Hold token counts."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Parse llama.cpp's error object."""

    message: str
    code: int = 500
    type: str = "server_error"
    n_ctx: int | None = None
    n_prompt_tokens: int | None = None


class Delta(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the text that a chat chunk adds."""

    role: str | UnsetType = UNSET
    content: str | UnsetType | None = UNSET


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """Hold one alternative's part of a chunk: `delta` in a chat, `text` otherwise."""

    index: int
    delta: Delta | UnsetType = UNSET
    text: str | UnsetType = UNSET
    logprobs: object = UNSET
    finish_reason: str | None = None


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """Hold one event of a stream, as llama.cpp sends it and as clients read it."""

    id: str = ""
    object: str = ""
    created: int = 0
    model: str = ""
    choices: list[Choice] = []
    usage: Usage | UnsetType = UNSET
    error: Failure | UnsetType = UNSET
    prompt_progress: msgspec.Raw | UnsetType = UNSET


_CHUNK = msgspec.json.Decoder(Chunk)
DONE = "data: [DONE]\n\n"


class Answer:
    """Clean one generation's chunks for clients, and count its tokens."""

    def __init__(self, *, alternatives: int) -> None:
        self._alternatives = alternatives
        self._last = Chunk()
        self._prompt_tokens = 0
        self._completion_tokens = 0
        self._speaking: set[int] = set()

    def read(self, data: bytes) -> Chunk | None:
        """Parse one event of the model. Return None if it holds nothing for clients.

        Raises:
            RequestError: The model reports an error.
        """
        chunk = _CHUNK.decode(data)
        if not isinstance(chunk.error, UnsetType):
            raise _request_error(chunk.error)
        if not isinstance(chunk.prompt_progress, UnsetType):
            return None
        self._last = chunk
        if not isinstance(chunk.usage, UnsetType):
            # llama.cpp counts each alternative, and sends its counts between the chunks of the others.
            self._prompt_tokens += chunk.usage.prompt_tokens
            self._completion_tokens += chunk.usage.completion_tokens
        if not chunk.choices:
            return None
        return msgspec.structs.replace(chunk, choices=[self._choice(choice) for choice in chunk.choices], usage=UNSET)

    def usage(self) -> Usage:
        """Return the counts of all alternatives; the prompt, which they share, counts once."""
        prompt_tokens = self._prompt_tokens // self._alternatives
        return Usage(
            prompt_tokens=prompt_tokens,
            completion_tokens=self._completion_tokens,
            total_tokens=prompt_tokens + self._completion_tokens,
        )

    def usage_chunk(self) -> Chunk:
        """Build the chunk with the usage, which follows the last text of a stream."""
        return msgspec.structs.replace(self._last, choices=[], usage=self.usage())

    def _choice(self, choice: Choice) -> Choice:
        if isinstance(choice.delta, UnsetType):
            return choice
        delta = choice.delta
        if not isinstance(delta.role, UnsetType):
            delta = Delta(role=delta.role, content="")
        elif isinstance(delta.content, str) and choice.index not in self._speaking:
            # The template ends in "Answer:", so the first token begins with a space.
            delta = Delta(content=delta.content.lstrip())
            if delta.content:
                self._speaking.add(choice.index)
        return msgspec.structs.replace(choice, delta=delta)


def event(content: object) -> str:
    """Format the content as one server-sent event."""
    return f"data: {msgspec.json.encode(content).decode()}\n\n"


def fold(chunks: list[Chunk], usage: Usage) -> dict[str, object]:
    """Build one completion from a stream's chunks."""
    last = chunks[-1] if chunks else Chunk()
    indexes = sorted({choice.index for chunk in chunks for choice in chunk.choices})
    is_chat = last.object == "chat.completion.chunk"
    return {
        "id": last.id,
        "object": "chat.completion" if is_chat else "text_completion",
        "created": last.created,
        "model": last.model,
        "choices": [_fold_choice(chunks, index=index, is_chat=is_chat) for index in indexes],
        "usage": msgspec.to_builtins(usage),
    }


def _fold_choice(chunks: list[Chunk], *, index: int, is_chat: bool) -> dict[str, object]:
    text = ""
    finish_reason: str | None = None
    logprobs: list[object] = []
    for choice in (choice for chunk in chunks for choice in chunk.choices if choice.index == index):
        content = choice.text if isinstance(choice.delta, UnsetType) else choice.delta.content
        text += content if isinstance(content, str) else ""
        finish_reason = choice.finish_reason or finish_reason
        if isinstance(choice.logprobs, dict):
            logprobs += choice.logprobs.get("content") or []
    said: dict[str, object] = {"message": {"role": "assistant", "content": text}} if is_chat else {"text": text}
    return {
        "index": index,
        **said,
        "logprobs": {"content": logprobs} if logprobs else None,
        "finish_reason": finish_reason,
    }


def _request_error(failure: Failure) -> RequestError:
    if failure.n_ctx is not None:
        return RequestError(
            f"This model's maximum context length is {failure.n_ctx} tokens, "
            f"but the prompt has {failure.n_prompt_tokens}. Please shorten it."
        )
    kind = "BadRequestError" if 400 <= failure.code < 500 else "InternalServerError"
    return RequestError(failure.message, status=failure.code, kind=kind)
