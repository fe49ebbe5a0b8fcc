"""Implement the dialect of workers from 2023, as the oldest page of Runpod's documentation shows them.

    {"text": ["new text"], "input_tokens": 22, "output_tokens": 1}

`input_tokens` is set only on the first output; /status holds one such object with everything. In the documentation,
`output_tokens` counts a single yield, while other workers count from the start: counts that always grow are cumulative.
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


class _Part(msgspec.Struct):
    text: list[str] | str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    error: object = None


_NO_TEXT = "The worker did not send its text and token counts."
_decode = msgspec.json.Decoder(list[_Part] | _Part).decode


class LegacyDialect:
    """Translate for a worker that takes `prompt` and `sampling_params`."""

    is_over = False
    marks_end = False

    def __init__(self, request: ClientRequest, _upstream_model: str) -> None:
        refuse_beyond_text(request)
        self._request = request
        self._prompt_tokens = 0
        self._count_sum = 0
        self._count_last = 0
        self._counts_grow = True

    def job_input(self) -> Parts:
        """Return the conversation as one prompt, with sampling parameters."""
        request = self._request
        params = sampling_params(request)
        return (openai.encode({"prompt": flatten(request), "stream": request.stream, "sampling_params": params}),)

    def read(self, output: Raw) -> list[Delta]:
        """Parse one part of the text, or a list of parts."""
        try:
            parts = _decode(output)
        except MALFORMED:
            raise_error_in(output)
            raise OutputLostError(_NO_TEXT) from None
        parts = parts if isinstance(parts, list) else [parts]
        if any(part.text is None or not is_blank(part.error) for part in parts):
            raise_error_in(output)
            raise OutputLostError(_NO_TEXT)
        return [self._delta(part) for part in parts]

    def _delta(self, part: _Part) -> Delta:
        self._prompt_tokens += part.input_tokens
        self._counts_grow &= part.output_tokens > self._count_last
        self._count_sum += part.output_tokens
        self._count_last = part.output_tokens
        texts = [part.text] if isinstance(part.text, str) else part.text or []
        usage = (self._prompt_tokens, self._completion_tokens())
        return text_chunk(self._request.api, texts, usage=usage)

    def _completion_tokens(self) -> int:
        return self._count_last if self._counts_grow else self._count_sum

    def end(self) -> list[Delta]:
        """Return a finish reason, if it can be inferred from the token count; no text is held back."""
        return finish_chunk(self._request, completion_tokens=self._completion_tokens())
