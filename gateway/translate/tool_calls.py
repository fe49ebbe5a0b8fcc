"""Assemble tool calls from the fragments that workers send.

A fragment may carry an index, an id, a name and a part of the arguments. OpenAI sends id, type and name once, with the
first fragment of a call, and the index always; clients join the strings of all fragments. Workers omit, repeat, blank,
delay or change any of the four, so calls are identified by these rules:

1. An empty string, array or object, null and false carry no content.
2. A fragment belongs to the call of its index; without an index, to the call of its id, else to the last call. Several
   fragments in one delta are counted by their position if each has a name and they share one index or have none, or if
   they have neither.
3. A fragment with a name begins a new call at a known index if it has another id, if it names another tool, or if the
   arguments so far are complete; but not if it only repeats the name, or continues incomplete arguments.
4. A fragment without a name never begins a call at a known index, whatever its id: the index takes precedence.
5. A call is written when its name and id are known. An id that never arrives, or that another call has, is generated.
6. Arguments `{}` or `null` are a placeholder if an object follows: they are written when the answer ends.
7. Arguments that begin with all previous ones, and are not a valid JSON continuation, are cumulative; identical ones,
   without a name or with the same id, are a repetition and are dropped.

Sources: the reports that tests/translate/test_tool_calls.py names case by case.
"""

from msgspec import Raw

from gateway.errors import OutputLostError
from gateway.translate.assembled_call import AssembledCall, payload_of
from gateway.translate.tool_call_fragments import Fragment, read_fragments
from gateway.wire import openai
from gateway.wire.openai import Fields

CALLS_MAX = 1024
"""Maximum number of calls per choice. OpenAI allows 128 tools and answers with far fewer calls."""


class ToolCallAssembler:
    """Assemble the tool calls of one choice."""

    def __init__(self, *, id_prefix: str, tool_names: frozenset[str] = frozenset()) -> None:
        """Start without calls.

        Args:
            id_prefix: Prefix that makes generated ids unique among answers.
            tool_names: The names that the request declares; they distinguish a whole name from the first piece of one.
        """
        self._id_prefix = id_prefix
        self._tool_names = tool_names
        self._calls: list[AssembledCall] = []
        self._at_index: dict[int, AssembledCall] = {}

    @property
    def has_calls(self) -> bool:
        """Return True if a call has a name or arguments."""
        return any(call.name or call.size for call in self._calls)

    def add(self, raw_calls: Raw) -> list[Fields]:
        """Parse a delta's `tool_calls`; return the fragments to write, in OpenAI's form.

        Raises:
            OutputLostError: An entry is not an object, or there are too many calls.
        """
        fragments = read_fragments(raw_calls)
        is_positional = _is_positional(fragments)
        # Two calls of one delta may share an id, but an id from an earlier delta identifies its call.
        known = {call.sent_id for call in self._calls if call.sent_id}
        written: list[Fields] = []
        for position, fragment in enumerate(fragments):
            if fragment.is_empty:
                continue
            index = position if is_positional and fragment.id not in known else fragment.index
            written += self._append(self._call_of(fragment, index), fragment)
        return written

    def flush(self) -> list[Fields]:
        """Return the calls that still wait for an id or for the end of their name, and arguments that were held back.

        Raises:
            OutputLostError: A call with arguments never got a name.
        """
        written = []
        for call in self._calls:
            if call.is_written:
                written += call.more({})
            elif call.name:
                written.append(call.begin(id_prefix=self._id_prefix))
            elif call.size:
                raise OutputLostError("The worker sent a tool call without a name.")
        return written

    def _by_id(self, call_id: str) -> AssembledCall | None:
        return next((call for call in reversed(self._calls) if call_id and call.sent_id == call_id), None)

    def _call_of(self, fragment: Fragment, index: int | None) -> AssembledCall:
        """Return the call that a fragment belongs to; begin one if necessary."""
        call = self._known_call(fragment, index)
        if call is not None and call.is_said_again(fragment.arguments) and _may_repeat(call, fragment):
            return call
        if call is None or self._begins_another(call, fragment):
            return self._new_call(fragment, index)
        if call.is_named_again and fragment.arguments.strip():
            call.is_named_again = False
            another = self._new_call(fragment, index)
            another.name = call.name
            return another
        is_same = call.has_placeholder and bool(fragment.id) and fragment.id == call.sent_id
        call.is_named_again |= bool(fragment.name) and call.has_complete_arguments and not is_same
        if index is not None:
            self._at_index.setdefault(index, call)
        return call

    def _known_call(self, fragment: Fragment, index: int | None) -> AssembledCall | None:
        """Return the call that the index, the id or the order identifies (rules 2 and 4), or None."""
        named = self._by_id(fragment.id)
        last = self._calls[-1] if self._calls else None
        if index is None:
            return named or last
        call = self._at_index.get(index)
        if call is not None:
            # Two calls may share an index, and their fragments may alternate.
            return named if named is not None and named.index == index else call
        # The index is new.
        if fragment.name:
            return named if named is not None and _is_repeated(named, fragment) else None
        if named is not None:
            # The index changed in the middle of a call, but its id is the same.
            return named
        is_open = last is not None and not last.has_complete_arguments
        return last if is_open and fragment.arguments and not fragment.id else None

    def _begins_another(self, call: AssembledCall, fragment: Fragment) -> bool:
        """Apply rule 3 to a fragment and the call that it refers to."""
        if not fragment.name or not (call.name or call.size):
            return False
        has_same_id = bool(fragment.id) and fragment.id == call.sent_id
        has_other_id = bool(fragment.id) and bool(call.sent_id) and not has_same_id
        if not call.name:
            # The name arrives after the arguments.
            return has_other_id and call.has_complete_arguments and bool(fragment.arguments.strip())
        if not call.size:
            return has_other_id or (not has_same_id and self._is_other_tool(call.name, fragment.name))
        if call.has_placeholder and has_same_id:
            return self._is_other_tool(call.name, fragment.name)
        if call.has_complete_arguments:
            return has_other_id or fragment.name != call.name or bool(fragment.arguments.strip())
        if fragment.name == call.name and call.can_go_on(fragment.arguments):
            # It goes on with the arguments, whatever its id.
            return False
        return has_other_id or self._is_other_tool(call.name, fragment.name)

    def _is_other_tool(self, name: str, piece: str) -> bool:
        """Return True if both are names of tools, and the piece does not complete the name."""
        names = self._tool_names
        return piece != name and name in names and piece in names and name + piece not in names

    def _new_call(self, fragment: Fragment, index: int | None) -> AssembledCall:
        if len(self._calls) >= CALLS_MAX:
            raise OutputLostError(f"The worker sent more than {CALLS_MAX} tool calls.")
        call = AssembledCall(len(self._calls), fragment.kind, index)
        self._calls.append(call)
        if index is not None:
            self._at_index[index] = call
        return call

    def _append(self, call: AssembledCall, fragment: Fragment) -> list[Fields]:
        if not call.sent_id and fragment.id:
            # Clients identify a call by its id, so two calls must not share one.
            call.id = fragment.id if self._by_id(fragment.id) is None else ""
            call.sent_id = fragment.id
        if fragment.name and not call.is_written:
            call.name = self._joined_name(call, fragment.name)
        call.extra |= fragment.extra
        call.append(fragment.arguments)
        if call.is_written:
            return [] if call.has_placeholder and not fragment.extra else call.more(fragment.extra)
        return [call.begin(id_prefix=self._id_prefix)] if self._is_due(call) else []

    def _joined_name(self, call: AssembledCall, piece: str) -> str:
        """Join a name that arrives in pieces, is repeated, or is sent cumulatively."""
        name = call.name
        if name and call.size and (name in self._tool_names or name + piece not in self._tool_names):
            return name
        candidates = (name + piece, piece, name)
        declared = next((each for each in candidates if each in self._tool_names), None)
        if declared is not None:
            return declared
        if not name or piece == name:
            return piece
        return piece if piece.startswith(name) else name + piece

    def _is_due(self, call: AssembledCall) -> bool:
        if call.is_over_bound and call.name:
            return True
        if not (call.id and call.name):
            return False
        if call.size:
            return not call.has_placeholder
        is_prefix = any(each != call.name and each.startswith(call.name) for each in self._tool_names)
        return call.name in self._tool_names and not is_prefix


def complete_tool_calls(raw_calls: Raw, *, id_prefix: str) -> list[Fields]:
    """Complete the tool calls of a whole message: each entry is one call, with a unique id, a type and text arguments.

    Raises:
        OutputLostError: An entry is not an object, or has no name.
    """
    completed: list[Fields] = []
    ids: set[str] = set()
    for number, fragment in enumerate(read_fragments(raw_calls)):
        if fragment.is_empty:
            continue
        if not fragment.name:
            raise OutputLostError("The worker sent a tool call without a name.")
        call_id = fragment.id if fragment.id and fragment.id not in ids else f"call_{id_prefix}{number:02x}"
        ids.add(call_id)
        payload = payload_of(fragment.kind, arguments=fragment.arguments, name=fragment.name)
        completed.append(
            {"id": Raw(openai.encode(call_id)), "type": Raw(openai.encode(fragment.kind)), **fragment.extra, **payload}
        )
    return completed


def _is_positional(fragments: list[Fragment]) -> bool:
    """Return True if the fragments of one delta are to be counted by their position (rule 2)."""
    indexes = {fragment.index for fragment in fragments}
    named = sum(bool(each.name) for each in fragments)
    is_told = named == len(fragments) or (None in indexes and not named)
    return len(fragments) > 1 and len(indexes) == 1 and is_told


def _is_repeated(call: AssembledCall, fragment: Fragment) -> bool:
    """Return True if a fragment under another index continues a call whose id and name it repeats."""
    has_more = bool(fragment.arguments.strip())
    return call.name == fragment.name and has_more and not call.has_complete_arguments


def _may_repeat(call: AssembledCall, fragment: Fragment) -> bool:
    """Return True if a fragment with the same arguments may be the same call: it has no name, or also the same id."""
    return not fragment.name or (fragment.name == call.name and bool(fragment.id) and fragment.id == call.sent_id)
