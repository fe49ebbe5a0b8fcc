"""Implement the dialect of workers that yield or return plain text, such as a short handler. Usage is estimated."""

import msgspec
from msgspec import Raw

from gateway.errors import InvalidRequestError, OutputLostError
from gateway.translate.dialects.contract import Delta
from gateway.translate.dialects.synthetic_chunks import text_chunk
from gateway.translate.prompt import flatten, refuse_beyond_text, sampling_params
from gateway.translate.request import ClientRequest
from gateway.translate.worker_errors import raise_error_in
from gateway.wire import openai
from gateway.wire.malformed import MALFORMED
from gateway.wire.openai import Parts

_decode = msgspec.json.Decoder(list[str] | str).decode


class TextDialect:
    """Translate for a worker that takes a `prompt`, or `messages` if it prefers those."""

    is_over = False
    marks_end = False

    def __init__(self, request: ClientRequest, _upstream_model: str) -> None:
        refuse_beyond_text(request)
        if request.n > 1:
            raise InvalidRequestError(
                "This model's worker supports only one choice. Set 'n' to 1.", param="n", code="unsupported_value"
            )
        self._request = request

    def job_input(self) -> Parts:
        """Return both the prompt and the messages, because the handler may read either."""
        request = self._request
        asked = {"prompt": Raw(openai.encode(flatten(request))), "sampling_params": sampling_params(request)}
        if "messages" in request.fields:
            asked["messages"] = request.fields["messages"]
        return (openai.encode({**asked, "stream": request.stream}),)

    def read(self, output: Raw) -> list[Delta]:
        """Parse one text, or a list of texts."""
        try:
            value = _decode(output)
        except MALFORMED:
            raise_error_in(output)
            raise OutputLostError("The worker did not send text.") from None
        return [text_chunk(self._request.api, [text]) for text in (value if isinstance(value, list) else [value])]

    def end(self) -> list[Delta]:
        """Return nothing: no text is held back."""
        return []
