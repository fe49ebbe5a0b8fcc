"""Build OpenAI chunks for the dialects of workers that do not produce them."""

from msgspec import Raw

from gateway.apis import Api
from gateway.translate.dialects.contract import Chunk, Delta
from gateway.translate.request import ClientRequest
from gateway.wire import openai


def finish_chunk(request: ClientRequest, *, completion_tokens: int) -> list[Delta]:
    """Return a chunk with the finish reason `length` if the token count reached the maximum, else no chunk.

    These workers send no finish reason. Nothing is inferred for several choices.
    """
    tokens_max = request.max_tokens
    if request.n != 1 or tokens_max is None or tokens_max < 1 or completion_tokens < tokens_max:
        return []
    text: dict[str, object] = {"delta": {}} if request.api.is_chat else {"text": ""}
    return [Chunk({"choices": Raw(openai.encode([{"index": 0, **text, "finish_reason": "length"}]))})]


def text_chunk(api: Api, texts: list[str], *, usage: tuple[int, int] | None = None) -> Chunk:
    """Build a chunk with one text for each choice, and the usage so far as (prompt, completion) tokens."""
    choices = [
        {"index": index, "delta": {"content": text}, "finish_reason": None}
        if api.is_chat
        else {"index": index, "text": text, "finish_reason": None}
        for index, text in enumerate(texts)
    ]
    fields = {"choices": Raw(openai.encode(choices))}
    if usage is not None:
        prompt_tokens, completion_tokens = usage
        counts = {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens}
        fields["usage"] = Raw(openai.encode({**counts, "total_tokens": prompt_tokens + completion_tokens}))
    return Chunk(fields)
