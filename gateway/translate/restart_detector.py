"""Detect that an answer starts again in mid-stream: its worker died, and Runpod gave the job to another one."""

import re

from msgspec import UNSET, Raw, UnsetType

from gateway.wire import openai
from gateway.wire.malformed import MALFORMED
from gateway.wire.openai import ChoiceView, Fields

_UNNAMED = frozenset({b"null", b'""'})
_EMPTY = re.compile(rb'""|null|\[\]')
SAME_ID_MIN = 2
"""This many chunks with content under one id show that the worker uses one id per answer, as vLLM and SGLang do."""


class RestartDetector:
    """Follows the ids of an answer's chunks.

    Only chunks with content count: gateways send keep-alive chunks under an id of their own (jundot/omlx#2462). In a
    chat a restarted answer begins with the role again. A worker that uses another id for each chunk is never taken for
    two.
    """

    def __init__(self) -> None:
        self._id: Raw | None = None
        self._same = 0
        self._has_content = False
        self._role_id: Raw | None = None
        """The id under which a role came again."""

    def is_restart(self, chunk: Fields) -> bool:
        """Report whether a chunk is the first content of another run of the same answer."""
        answer_id = chunk.get("id")
        if answer_id is None or bytes(answer_id) in _UNNAMED:
            return False
        if answer_id == self._id and self._has_content:
            self._same += 1
            return False
        views = _views(chunk)
        has_role = any(view.delta is not None and view.delta.role for view in views)
        has_content = any(map(_has_content, views))
        if not self._has_content:
            if has_role or has_content:
                self._same = self._same + 1 if answer_id == self._id else 1
                self._id, self._has_content = answer_id, has_content
            return False
        if has_role:
            self._role_id = answer_id
        if not has_content:
            return False
        is_text_completion = any(view.text is not UNSET for view in views)
        is_another = self._same >= SAME_ID_MIN and (is_text_completion or self._role_id == answer_id)
        self._id, self._same = answer_id, 1
        return is_another


def _views(chunk: Fields) -> list[ChoiceView]:
    try:
        return openai.decode_choices(chunk.get("choices", b"[]"))
    except MALFORMED:
        return []


def _has_content(view: ChoiceView) -> bool:
    if view.delta is None:
        return not _is_empty(view.text)
    delta = view.delta
    said = (delta.content, delta.reasoning, delta.reasoning_content, delta.refusal, delta.tool_calls)
    return not all(map(_is_empty, said))


def _is_empty(value: Raw | UnsetType) -> bool:
    return value is UNSET or _EMPTY.fullmatch(bytes(value)) is not None
