"""Detect that an answer restarts in mid-stream: its worker died, and Runpod dispatched the job to another one."""

import re

import msgspec
from msgspec import UNSET, Raw, UnsetType

from gateway.wire import openai
from gateway.wire.malformed import MALFORMED
from gateway.wire.openai import ChoiceView, Fields

_UNNAMED = frozenset({b"null", b'""'})
_EMPTY = re.compile(rb'""|null|\[\]')
SAME_ID_MIN = 2
"""Number of content chunks under one id that show that the worker uses one id per answer, as vLLM and SGLang do."""


RUNS_MAX = 128
"""Maximum number of choices that are tracked; all others are treated as parts of the first run."""


class _Run(msgspec.Struct, eq=False):
    """Track the current run of one choice."""

    id: Raw
    first_kinds: frozenset[str] = frozenset()
    """Kinds of its first content, with which another run begins too; empty until the content comes."""
    chunks: int = 1
    """Number of its chunks that came under `id` without another id in between."""
    role_id: Raw | None = None
    """New id under which a role was repeated."""


class RestartDetector:
    """Track the ids of an answer's chunks, for each choice.

    Only chunks with content count: gateways send keep-alive chunks under an id of their own (jundot/omlx#2462). In a
    chat, a restarted answer begins with the role again, and with the kind of content with which it first began: servers
    that reason and answer in two calls send the answer under another id than the reasoning. A worker that uses a new id
    for each chunk is never reported as restarted.
    """

    def __init__(self) -> None:
        self._runs: dict[int, _Run] = {}
        self._last: _Run | None = None
        """Run of the last chunk that was examined."""

    def is_restart(self, chunk: Fields) -> bool:
        """Return True if a chunk is the first content of another run of the same answer."""
        answer_id = chunk.get("id")
        if answer_id is None or bytes(answer_id) in _UNNAMED:
            return False
        if self._last is not None and answer_id == self._last.id and self._last.first_kinds:
            self._last.chunks += 1
            return False
        # Not `any` of a generator: every choice has to be recorded.
        restarts = [self._is_restart_of_choice(view, answer_id) for view in _views(chunk)]
        return any(restarts)

    def _is_restart_of_choice(self, view: ChoiceView, answer_id: Raw) -> bool:
        """Record a chunk of one choice; return True if it is the first content of another run."""
        kinds = _kinds(view)
        has_role = view.delta is not None and bool(view.delta.role)
        index = view.index or 0
        run = self._runs.get(index)
        if run is None or not run.first_kinds:
            if has_role or kinds:
                self._begin_run(index, answer_id, kinds)
            return False
        self._last = run
        if answer_id == run.id:
            run.chunks += 1
            return False
        if has_role:
            # The content under this id may come in a later chunk.
            run.role_id = answer_id
        if not kinds:
            return False
        # From here on the new id is that of the run, whether it began again or its worker changes ids within a run.
        is_id_of_answer = run.chunks >= SAME_ID_MIN
        run.id, run.chunks = answer_id, 1
        is_beginning = view.text is not UNSET or run.role_id == answer_id
        return is_id_of_answer and is_beginning and not kinds.isdisjoint(run.first_kinds)

    def _begin_run(self, index: int, answer_id: Raw, kinds: frozenset[str]) -> None:
        """Record the role or the first content of a choice; its role may come in an earlier chunk than its content."""
        run = self._runs.get(index)
        if run is None and len(self._runs) >= RUNS_MAX:
            return
        chunks = run.chunks + 1 if run is not None and run.id == answer_id else 1
        self._last = self._runs[index] = _Run(answer_id, kinds, chunks)


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
