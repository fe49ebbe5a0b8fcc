"""Detect that an answer starts again in mid-stream: its worker died, and Runpod gave the job to another one."""

import re

import msgspec
from msgspec import UNSET, Raw, UnsetType

from gateway.wire import openai
from gateway.wire.malformed import MALFORMED
from gateway.wire.openai import ChoiceView, Fields

_UNNAMED = frozenset({b"null", b'""'})
_EMPTY = re.compile(rb'""|null|\[\]')
SAME_ID_MIN = 2
"""This many chunks with content under one id show that the worker uses one id per answer, as vLLM and SGLang do."""


RUNS_MAX = 128
"""Choices that are followed: others are taken for parts of the first run."""


class _Run(msgspec.Struct, eq=False):
    """What is known of one choice."""

    id: Raw
    kinds: frozenset[str] = frozenset()
    """The kinds of its first content: another run begins with them again."""
    same: int = 1
    role_id: Raw | None = None
    """The id under which a role came again."""


class RestartDetector:
    """Follows the ids of an answer's chunks, for each choice.

    Only chunks with content count: gateways send keep-alive chunks under an id of their own (jundot/omlx#2462). In a
    chat a restarted answer begins with the role again, and with the kind of content with which it began: servers that
    think and answer in two calls send the answer under another id than the reasoning. A worker that uses another id for
    each chunk is never taken for two.
    """

    def __init__(self) -> None:
        self._runs: dict[int, _Run] = {}
        self._last: _Run | None = None
        """The run of the last chunk that was looked into."""

    def is_restart(self, chunk: Fields) -> bool:
        """Report whether a chunk is the first content of another run of the same answer."""
        answer_id = chunk.get("id")
        if answer_id is None or bytes(answer_id) in _UNNAMED:
            return False
        if self._last is not None and answer_id == self._last.id and self._last.kinds:
            self._last.same += 1
            return False
        begins_again = [self._begins_again(view, answer_id) for view in _views(chunk)]
        return any(begins_again)

    def _begins_again(self, view: ChoiceView, answer_id: Raw) -> bool:
        kinds, has_role = _kinds(view), view.delta is not None and bool(view.delta.role)
        index = view.index or 0
        run = self._runs.get(index)
        if run is None or not run.kinds:
            if (has_role or kinds) and (run is not None or len(self._runs) < RUNS_MAX):
                same = run.same + 1 if run is not None and run.id == answer_id else 1
                self._last = self._runs[index] = _Run(answer_id, kinds, same)
            return False
        self._last = run
        if answer_id == run.id:
            run.same += 1
            return False
        if has_role:
            run.role_id = answer_id
        if not kinds:
            return False
        is_again = view.text is not UNSET or run.role_id == answer_id
        is_another = run.same >= SAME_ID_MIN and is_again and not kinds.isdisjoint(run.kinds)
        run.id, run.same = answer_id, 1
        return is_another


def _views(chunk: Fields) -> list[ChoiceView]:
    try:
        return openai.decode_choices(chunk.get("choices", b"[]"))
    except MALFORMED:
        return []


def _kinds(view: ChoiceView) -> frozenset[str]:
    """Return the kinds of content in a choice."""
    if view.delta is None:
        return frozenset() if _is_empty(view.text) else frozenset({"text"})
    delta = view.delta
    reasoning = (delta.reasoning, delta.reasoning_content)
    said = {
        "content": (delta.content,),
        "reasoning": reasoning,
        "refusal": (delta.refusal,),
        "tool": (delta.tool_calls,),
    }
    return frozenset(kind for kind, values in said.items() if not all(map(_is_empty, values)))


def _is_empty(value: Raw | UnsetType) -> bool:
    return value is UNSET or _EMPTY.fullmatch(bytes(value)) is not None
