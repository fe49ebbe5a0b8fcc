"""The parts of tool calls, named once: clients, and our own folding, join the strings of all parts."""

from msgspec import Raw

from gateway.wire import openai
from gateway.wire.openai import Fields


def mend_tool_call(call: Fields, ids: dict[int, bytes]) -> Fields:
    """One part of a tool call as OpenAI writes it: an index always; id, type and name in the first part only.

    Workers leave the index out, or give every call the same one; a new id under a known index is a new call. `ids`
    remembers the calls of one choice.
    """
    call_id = bytes(call["id"]) if openai.is_present(call, "id") else b""
    index = int(bytes(call["index"])) if openai.is_present(call, "index") else _index_without(call_id, ids)
    if call_id and ids.get(index, call_id) != call_id:
        index = next((known for known, known_id in ids.items() if known_id == call_id), max(ids) + 1)
    is_first = index not in ids
    ids.setdefault(index, call_id)
    function = openai.decode_fields(call["function"]) if openai.is_present(call, "function") else {}
    if not openai.is_present(function, "arguments"):
        function["arguments"] = Raw(b'""')
    mended = {"type": Raw(b'"function"'), **call, "index": Raw(str(index).encode())}
    if not is_first:
        for name in ("id", "type"):
            mended.pop(name, None)
        function.pop("name", None)
    mended["function"] = Raw(openai.encode(function))
    return mended


def _index_without(call_id: bytes, ids: dict[int, bytes]) -> int:
    """The call that a part without an index belongs to: the one of its id, or the last one."""
    if call_id and call_id not in ids.values():
        return max(ids, default=-1) + 1
    return next((index for index, known_id in ids.items() if call_id and known_id == call_id), max(ids, default=0))
