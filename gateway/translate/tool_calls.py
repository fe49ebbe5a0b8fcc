"""Assemble tool calls from the fragments that workers send.

A fragment may carry an index, an id, a name and a part of the arguments. OpenAI sends id, type and name once, with the
first fragment of a call, and the index always; clients join the strings of all fragments. Workers leave out, repeat,
blank, delay or change any of the four, so a call is identified by one rule:

1. An empty text or null says nothing.
2. A fragment belongs to the call of its index; without an index, to the call of its id, else to the last call. Several
   fragments in one delta without indexes are counted by their position.
3. A fragment with a name begins a new call at a known index if it brings another id, or if the arguments so far are
   complete; but not if it only repeats the name.
4. A fragment without a name never begins a call at a known index, whatever its id: the index wins.
5. A call is written when its name and id are known. An id that never arrives, or that another call has, is generated.

Sources: the reports that tests/translate/test_tool_calls.py names case by case.
"""

import msgspec
from msgspec import Raw

from gateway.errors import OutputLostError
from gateway.translate.tool_call_fragments import PAYLOADS, Fragment, read_fragments
from gateway.wire import openai
from gateway.wire.openai import Fields

HELD_BYTES_MAX = 1024 * 1024
"""Arguments that wait for an id: beyond this the id is generated. Longer ones are not checked for completeness."""
CALLS_MAX = 1024
"""Per choice. OpenAI allows 128 tools and answers with far fewer calls."""


class _Call(msgspec.Struct, eq=False):
    """A call under assembly."""

    number: int
    """Its index in what is written."""
    kind: str
    index: int | None
    """The worker's index at which it began."""
    sent_id: str = ""
    """The worker's id, which another call may have too."""
    id: str = ""
    name: str = ""
    arguments: list[str] = msgspec.field(default_factory=list)
    """Kept up to HELD_BYTES_MAX."""
    size: int = 0
    extra: Fields = msgspec.field(default_factory=dict)
    is_written: bool = False
    is_named_again: bool = False
    """Whether its name was repeated after complete arguments: if arguments follow, they are another call's."""

    @property
    def has_complete_arguments(self) -> bool:
        """Report whether the arguments so far are a JSON object."""
        if not self.size or self.size > HELD_BYTES_MAX or self.kind == "custom":
            return False
        try:
            msgspec.json.decode("".join(self.arguments), type=dict)
        except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
            return False
        return True


class ToolCallAssembler:
    """Assembles the tool calls of one choice."""

    def __init__(self, *, id_prefix: str, tool_names: frozenset[str] = frozenset()) -> None:
        """Start without calls.

        Args:
            id_prefix: Makes generated ids unique among answers.
            tool_names: The names that the request declares; they tell a whole name from the first piece of one.
        """
        self._id_prefix = id_prefix
        self._tool_names = tool_names
        self._calls: list[_Call] = []
        self._at_index: dict[int, _Call] = {}

    @property
    def has_calls(self) -> bool:
        """Report whether a call was begun."""
        return bool(self._calls)

    def add(self, raw_calls: Raw) -> list[Fields]:
        """Read a delta's `tool_calls`; return the fragments to write, each as OpenAI writes it.

        Raises:
            OutputLostError: An entry is not an object, or there are too many calls.
        """
        fragments = read_fragments(raw_calls)
        is_positional = len(fragments) > 1 and all(fragment.index is None for fragment in fragments)
        written: list[Fields] = []
        for position, fragment in enumerate(fragments):
            index = position if is_positional and not self._by_id(fragment.id) else fragment.index
            written += self._append(self._call_of(fragment, index), fragment)
        return written

    def flush(self) -> list[Fields]:
        """Return the calls that still wait for an id or for the end of their name.

        Raises:
            OutputLostError: A call with arguments never got a name.
        """
        written = []
        for call in self._calls:
            if call.is_written:
                continue
            if call.name:
                written.append(self._begin(call))
            elif call.size:
                raise OutputLostError("The worker sent a tool call without a name.")
        return written

    def _by_id(self, call_id: str) -> _Call | None:
        return next((call for call in reversed(self._calls) if call_id and call.sent_id == call_id), None)

    def _call_of(self, fragment: Fragment, index: int | None) -> _Call:
        """Find the call that a fragment belongs to, or begin it."""
        call = self._known_call(fragment, index)
        if call is None or self._begins_another(call, fragment):
            return self._new_call(fragment, index)
        if call.is_named_again and fragment.arguments.strip():
            call.is_named_again = False
            another = self._new_call(fragment, index)
            another.name = call.name
            return another
        call.is_named_again |= bool(fragment.name) and call.has_complete_arguments
        if index is not None:
            self._at_index.setdefault(index, call)
        return call

    def _known_call(self, fragment: Fragment, index: int | None) -> _Call | None:
        """Find the call that the index, the id or the order points to (rules 2 and 4)."""
        named = self._by_id(fragment.id)
        last = self._calls[-1] if self._calls else None
        if index is None:
            return named or last
        call = self._at_index.get(index)
        if fragment.name:
            if named is not None and (named.index == index or (call is None and _is_repeated(named, fragment))):
                return named
            return call
        if call is None:
            if named is not None:
                # The index changed in the middle of a call, and its id says so.
                return named
            is_open = last is not None and last.size > 0 and not last.has_complete_arguments
            return last if is_open and fragment.arguments and not fragment.id else None
        # Two calls may share an index, and their fragments may alternate.
        return named if named is not None and named.index == index else call

    def _begins_another(self, call: _Call, fragment: Fragment) -> bool:
        """Decide rule 3 for a fragment that points to a call."""
        if not fragment.name or not (call.name or call.size):
            return False
        has_same_id = bool(fragment.id) and fragment.id == call.sent_id
        has_other_id = bool(fragment.id) and bool(call.sent_id) and not has_same_id
        if not call.name:
            # The name arrives after the arguments.
            return has_other_id and call.has_complete_arguments and bool(fragment.arguments.strip())
        if not call.size:
            return has_other_id or (not has_same_id and self._is_other_tool(call.name, fragment.name))
        if call.has_complete_arguments:
            return has_other_id or fragment.name != call.name or bool(fragment.arguments.strip())
        return has_other_id

    def _is_other_tool(self, name: str, piece: str) -> bool:
        """Report whether both are names of tools, and the piece does not complete the name."""
        names = self._tool_names
        return piece != name and name in names and piece in names and name + piece not in names

    def _new_call(self, fragment: Fragment, index: int | None) -> _Call:
        if len(self._calls) >= CALLS_MAX:
            raise OutputLostError(f"The worker sent more than {CALLS_MAX} tool calls.")
        call = _Call(len(self._calls), fragment.kind, index)
        self._calls.append(call)
        if index is not None:
            self._at_index[index] = call
        return call

    def _append(self, call: _Call, fragment: Fragment) -> list[Fields]:
        if not call.sent_id and fragment.id:
            # Clients find a call by its id, so two calls must not have the same one.
            call.id = fragment.id if self._by_id(fragment.id) is None else ""
            call.sent_id = fragment.id
        if fragment.name and not call.is_written:
            call.name = self._joined_name(call, fragment.name)
        call.extra |= fragment.extra
        if fragment.arguments:
            call.size += len(fragment.arguments)
            if call.size <= HELD_BYTES_MAX or not call.is_written:
                call.arguments.append(fragment.arguments)
        if call.is_written:
            more = _payload(call.kind, arguments=fragment.arguments) if fragment.arguments else {}
            return [{"index": _number(call.number), **fragment.extra, **more}] if more or fragment.extra else []
        return [self._begin(call)] if self._is_due(call) else []

    def _joined_name(self, call: _Call, piece: str) -> str:
        """Join a name that comes in pieces, is repeated, or is sent cumulatively."""
        name = call.name
        candidates = (name + piece, piece, name)
        declared = next((each for each in candidates if each in self._tool_names), None)
        if declared is not None:
            return declared
        if piece == name or call.size:
            return name or piece
        return piece if piece.startswith(name) else name + piece

    def _is_due(self, call: _Call) -> bool:
        if call.size > HELD_BYTES_MAX and call.name:
            return True
        if not (call.id and call.name):
            return False
        if call.size:
            return True
        is_prefix = any(each != call.name and each.startswith(call.name) for each in self._tool_names)
        return call.name in self._tool_names and not is_prefix

    def _begin(self, call: _Call) -> Fields:
        """Write the first fragment of a call, with all that was held back."""
        call.is_written = True
        call.id = call.id or f"call_{self._id_prefix}{call.number:02x}"
        return {
            "index": _number(call.number),
            "id": _text(call.id),
            "type": _text(call.kind),
            **call.extra,
            **_payload(call.kind, arguments="".join(call.arguments), name=call.name),
        }


def complete_tool_calls(raw_calls: Raw, *, id_prefix: str) -> list[Fields]:
    """Complete the tool calls of a whole message: each entry is one call, with a unique id, a type and text arguments.

    Raises:
        OutputLostError: An entry is not an object, or has no name.
    """
    completed: list[Fields] = []
    ids: set[str] = set()
    for number, fragment in enumerate(read_fragments(raw_calls)):
        if not fragment.name:
            raise OutputLostError("The worker sent a tool call without a name.")
        call_id = fragment.id if fragment.id and fragment.id not in ids else f"call_{id_prefix}{number:02x}"
        ids.add(call_id)
        payload = _payload(fragment.kind, arguments=fragment.arguments, name=fragment.name)
        completed.append({"id": _text(call_id), "type": _text(fragment.kind), **fragment.extra, **payload})
    return completed


def _is_repeated(call: _Call, fragment: Fragment) -> bool:
    """Report whether a fragment under another index goes on with a call whose id and name it repeats."""
    return call.name == fragment.name and not call.has_complete_arguments


def _payload(kind: str, *, arguments: str, name: str | None = None) -> Fields:
    named = {} if name is None else {"name": name}
    return {kind: Raw(openai.encode({**named, PAYLOADS[kind]: arguments}))}


def _number(number: int) -> Raw:
    return Raw(str(number).encode())


def _text(text: str) -> Raw:
    return Raw(openai.encode(text))
