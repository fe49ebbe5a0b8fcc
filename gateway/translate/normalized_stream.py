"""Read the chunks of one streamed answer in normalized form, and count its tokens: what all writers have in common."""

from msgspec import Raw

from gateway.domain import Usage
from gateway.errors import OutputLostError
from gateway.translate.choices import ChoiceNormalizer
from gateway.translate.chunk_template import ChunkTemplate
from gateway.translate.request import ClientRequest
from gateway.translate.restart_detector import RestartDetector
from gateway.translate.usage import estimate_usage, read_usage, settle_usage
from gateway.wire import openai
from gateway.wire.lenient import is_null, is_object
from gateway.wire.openai import Fields

RESTARTED = "The worker was lost during its answer, and the job was restarted."


class NormalizedStream:
    """Read the chunks of one answer."""

    def __init__(self, request: ClientRequest, *, answer_id: str) -> None:
        self.usage: Usage | None = None
        """The worker's last token counts, which are cumulative within a stream."""
        self._counted_bytes = 0
        """Bytes of text that were written when the last counts arrived."""
        self._counted_parts = 0
        self._usage_fields: Fields = {}
        self._request = request
        self._choices = ChoiceNormalizer(request, answer_id=answer_id)
        self._restarts = RestartDetector()
        self._template: ChunkTemplate | None = None
        """Template whose chunks are written without reading them; every other chunk removes it."""
        self._is_plain = False
        """True if the last chunk's choices were passed on unchanged and it carried no usage."""

    @property
    def text_bytes(self) -> int:
        """Return the bytes of text written so far."""
        return self._choices.text_bytes

    @property
    def is_whole(self) -> bool:
        """Return True if every requested choice has its finish reason."""
        return self._choices.is_whole

    def settled_usage(self) -> Usage:
        """Return the worker's counts or an estimate; text written after the last counts is estimated and added."""
        prompt_tokens, parts = self._request.prompt_tokens, self._choices.parts
        counted = settle_usage(self.usage, prompt_tokens=prompt_tokens, completion_bytes=self.text_bytes, parts=parts)
        bytes_since = self.text_bytes - self._counted_bytes
        if counted is not self.usage or self.is_whole or not bytes_since:
            return counted
        parts_since = parts - self._counted_parts
        more = estimate_usage(prompt_tokens=0, completion_bytes=bytes_since, parts=parts_since).completion_tokens
        return Usage(
            prompt_tokens=counted.prompt_tokens,
            completion_tokens=counted.completion_tokens + more,
            is_estimate=True,
        )

    def _read(self, chunk: Fields) -> Raw | None:
        """Return the choices of a chunk in normalized form, or None if there is nothing to pass on.

        Raises:
            OutputLostError: The chunk is malformed, or belongs to a second run of the job.
            JobFailedError: The worker gave up on the answer.
        """
        self._template, self._is_plain = None, False
        if self._restarts.is_restart(chunk):
            raise OutputLostError(RESTARTED)
        choices = self._choices.add(chunk)
        usage = chunk.get("usage")
        if is_object(usage) and usage is not None and (counted := read_usage(usage)) is not None:
            self.usage, self._usage_fields = counted, openai.decode_fields(usage)
            self._counted_bytes, self._counted_parts = self.text_bytes, self._choices.parts
        self._is_plain = choices is not None and choices is chunk.get("choices") and is_null(usage)
        return choices
