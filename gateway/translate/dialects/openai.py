"""Implement the dialect of workers that accept OpenAI requests as jobs: worker-vllm from 0.3 on and worker-sglang."""

from msgspec import Raw

from gateway.errors import OutputLostError
from gateway.translate.dialects.contract import Delta, Whole
from gateway.translate.dialects.openai_object import NOT_JSON, read_object
from gateway.translate.dialects.openai_stream import OpenAIReader
from gateway.translate.request import ClientRequest, worker_fields
from gateway.wire import openai
from gateway.wire.items import decode_items
from gateway.wire.malformed import MALFORMED
from gateway.wire.openai import Parts


class OpenAIDialect:
    """Translate for a worker that takes `openai_route` and `openai_input`."""

    def __init__(self, request: ClientRequest, upstream_model: str) -> None:
        self._request = request
        self._upstream_model = upstream_model
        self._reader = OpenAIReader(stream=request.stream, has_choices=request.api.has_choices)
        self._has_whole = self._has_objects = False

    @property
    def is_over(self) -> bool:
        """Return True if `[DONE]` or a complete answer was read."""
        return self._reader.is_over or self._has_whole

    @property
    def marks_end(self) -> bool:
        """Return True unless the answer has a form without an end mark, that is, `[DONE]` or finish reasons.

        One object as text has none, because it is invalid JSON if it is cut short. Objects in answer to a request
        without a stream have none, because the job's output holds all of them.
        """
        return not (self._reader.is_object or (self._has_objects and not self._request.stream))

    def job_input(self) -> Parts:
        """Return the same pair of fields that Runpod's own /openai route makes of a request."""
        fields = worker_fields(self._request, upstream_model=self._upstream_model)
        route = openai.encode(self._request.api.path)
        return b'{"openai_route":' + route + b',"openai_input":', *openai.join_fields(fields), b"}"

    def read(self, output: Raw) -> list[Delta]:
        """Parse an output: text is buffered, objects are complete, and a list holds either."""
        body = bytes(output)
        match body[:1]:
            case b'"':
                return self._reader.feed(_text(output))
            case b"{":
                delta = read_object(body, stream=self._request.stream, has_choices=self._request.api.has_choices)
                self._has_whole |= isinstance(delta, Whole)
                self._has_objects = True
                return [delta]
            case b"[":
                return self._read_items(body)
            case _:
                # null, a boolean or a number is not part of an answer.
                return []

    def _read_items(self, body: bytes) -> list[Delta]:
        try:
            return [delta for item in _items(body) for delta in self.read(item)]
        except RecursionError:
            raise OutputLostError(NOT_JSON) from None

    def end(self) -> list[Delta]:
        """Return the deltas that the last slice of text completes."""
        return self._reader.end()


def _text(output: Raw) -> bytes:
    try:
        return openai.decode_string(output).encode()
    except MALFORMED:
        raise OutputLostError(NOT_JSON) from None


def _items(body: bytes) -> list[Raw]:
    try:
        return decode_items(body)
    except MALFORMED:
        raise OutputLostError(NOT_JSON) from None
