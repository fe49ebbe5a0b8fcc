"""Workers that speak OpenAI as jobs: worker-vllm from 0.3 on and worker-sglang."""

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
    """A worker that takes `openai_route` and `openai_input`."""

    def __init__(self, request: ClientRequest, upstream_model: str) -> None:
        self._request = request
        self._upstream_model = upstream_model
        self._reader = OpenAIReader(stream=request.stream)
        self._has_whole = self._has_objects = False

    @property
    def is_over(self) -> bool:
        """Whether `[DONE]` was read, or an answer in one piece."""
        return self._reader.is_over or self._has_whole

    @property
    def marks_end(self) -> bool:
        """By `[DONE]` or by finish reasons.

        Not one object as text, which is cut short where it is no JSON, and not objects where no stream was asked for:
        the job's output holds all of them.
        """
        return not (self._reader.is_object or (self._has_objects and not self._request.stream))

    def job_input(self) -> Parts:
        """The pair that Runpod's own /openai route makes of a request."""
        fields = worker_fields(self._request, upstream_model=self._upstream_model)
        route = openai.encode(self._request.api.value)
        return b'{"openai_route":' + route + b',"openai_input":', *openai.join_fields(fields), b"}"

    def read(self, output: Raw) -> list[Delta]:
        """Text is collected; objects are complete as they are."""
        body = bytes(output)
        match body[:1]:
            case b'"':
                return self._reader.feed(_text(output))
            case b"{":
                delta = read_object(body, stream=self._request.stream)
                self._has_whole |= isinstance(delta, Whole)
                self._has_objects = True
                return [delta]
            case b"[":
                return self._read_items(body)
            case _:
                # null, a boolean or a number: no part of an answer.
                return []

    def _read_items(self, body: bytes) -> list[Delta]:
        try:
            return [delta for item in _items(body) for delta in self.read(item)]
        except RecursionError:
            raise OutputLostError(NOT_JSON) from None

    def end(self) -> list[Delta]:
        """What the last slice of text completes."""
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
