"""Implement the dialect of workers that yield batches of tokens.

These are worker-vllm up to 2.23 on its raw route, and Runpod's public endpoints:

    {"choices": [{"tokens": ["a batch of text"]}], "usage": {"input": 5, "output": 3}}

The text is new each time, `usage.output` is cumulative. There is no role, no id and no finish reason; only the job's
state shows that an answer was cut short.
"""

import msgspec
from msgspec import Raw

from gateway.errors import OutputLostError
from gateway.translate.dialects.contract import Delta
from gateway.translate.dialects.synthetic_chunks import finish_chunk, text_chunk
from gateway.translate.error_shapes import is_blank
from gateway.translate.prompt import flatten, refuse_beyond_text, sampling_params
from gateway.translate.request import ClientRequest
from gateway.translate.worker_errors import raise_error_in
from gateway.wire import openai
from gateway.wire.malformed import MALFORMED
from gateway.wire.openai import Parts


class _Choice(msgspec.Struct):
    tokens: list[str] = []


class _Usage(msgspec.Struct):
    input: int = 0
    output: int = 0


class _Batch(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: object = None


_NO_BATCH = "The worker did not send batches of tokens."
_decode = msgspec.json.Decoder(list[_Batch] | _Batch).decode


class TokensDialect:
    """Translate for a worker that takes `messages` or `prompt`, with `sampling_params`."""

    is_over = False
    marks_end = False

    def __init__(self, request: ClientRequest, _upstream_model: str) -> None:
        refuse_beyond_text(request)
        self._request = request
        self._completion_tokens = 0

    def job_input(self) -> Parts:
        """Return the prompt or messages and the sampling parameters.

        The first batches are small, to shorten the time to the first token.
        """
        request = self._request
        if request.api.is_chat:
            asked = {"messages": request.fields["messages"]}
        else:
            asked = {"prompt": Raw(openai.encode(flatten(request)))}
        batching = {"min_batch_size": 1, "batch_size_growth_factor": 2, "max_batch_size": 8}
        params = sampling_params(request)
        return (openai.encode({**asked, "stream": request.stream, "sampling_params": params, **batching}),)

    def read(self, output: Raw) -> list[Delta]:
        """Parse one batch, or a list of batches."""
        try:
            batches = _decode(output)
        except MALFORMED:
            raise_error_in(output)
            raise OutputLostError(_NO_BATCH) from None
        batches = batches if isinstance(batches, list) else [batches]
        if any(batch.choices is None or not is_blank(batch.error) for batch in batches):
            raise_error_in(output)
            raise OutputLostError(_NO_BATCH)
        return [self._delta(batch) for batch in batches]

    def _delta(self, batch: _Batch) -> Delta:
        usage = (batch.usage.input, batch.usage.output) if batch.usage else None
        self._completion_tokens = usage[1] if usage else self._completion_tokens
        return text_chunk(self._request.api, ["".join(choice.tokens) for choice in batch.choices or ()], usage=usage)

    def end(self) -> list[Delta]:
        """Return a finish reason, if it can be inferred from the token count; no text is held back."""
        return finish_chunk(self._request, completion_tokens=self._completion_tokens)
