"""Notices that an answer begins anew in mid-stream: its job's worker died, and Runpod gave the job to another one."""

from msgspec import Raw

from gateway.wire.openai import Fields

_UNNAMED = frozenset({b"null", b'""'})
_ALIKE_MIN = 2
"""So many chunks with one id show that the worker keeps to one for an answer, as vLLM and SGLang do."""


class Retelling:
    """Follows the id of an answer's chunks. A worker that names every chunk anew is never taken for two."""

    def __init__(self) -> None:
        self._id: Raw | None = None
        self._alike = 0

    def begins_with(self, chunk: Fields) -> bool:
        """Whether this chunk belongs to another telling than the chunks before it."""
        answer_id = chunk.get("id")
        if answer_id is None or bytes(answer_id) in _UNNAMED:
            return False
        if answer_id == self._id:
            self._alike += 1
            return False
        is_another = self._alike >= _ALIKE_MIN
        self._id, self._alike = answer_id, 1
        return is_another
