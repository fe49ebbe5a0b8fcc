"""Hold the state of one tool call under assembly: what was received and what was written."""

import msgspec
from msgspec import Raw

from gateway.translate.tool_call_fragments import PAYLOADS
from gateway.wire import openai
from gateway.wire.openai import Fields

HELD_BYTES_MAX = 1024 * 1024
"""Maximum number of characters of arguments that wait for an id; beyond it, the id is generated. Longer arguments are
not checked for completeness."""
PLACEHOLDERS = frozenset({"{}", "null"})
"""Arguments that some workers write before the real ones are known."""
_PLACEHOLDER_MAX = max(map(len, PLACEHOLDERS))
_ENDS = ("}", "]", "l")
"""Last characters of a JSON object, an array and null."""
_OBJECT_MAY_FOLLOW = (":", ",", "[")


class AssembledCall(msgspec.Struct, eq=False):
    """Represent a tool call under assembly."""

    number: int
    """Index of the call in the output."""
    kind: str
    index: int | None
    """The worker's index in the call's first fragment."""
    sent_id: str = ""
    """The worker's id, which another call may share."""
    id: str = ""
    name: str = ""
    arguments: list[str] = msgspec.field(default_factory=list)
    """Parts of the arguments, stored up to HELD_BYTES_MAX."""
    size: int = 0
    held: list[str] = msgspec.field(default_factory=list)
    """Parts of the arguments that are not written yet."""
    extra: Fields = msgspec.field(default_factory=dict)
    is_written: bool = False
    is_named_again: bool = False
    """True if its name was repeated after complete arguments: arguments that follow belong to another call."""

    @property
    def has_complete_arguments(self) -> bool:
        """Return True if the arguments so far are a JSON object or array, or null for no arguments."""
        if not self.size or self.size > HELD_BYTES_MAX or self.kind == "custom":
            return False
        # Parse only if the last part may end a value: a worker may repeat the name in each of many fragments, and each
        # repetition calls this.
        last = next((part for part in reversed(self.arguments) if not part.isspace()), "")
        if not last.rstrip().endswith(_ENDS):
            return False
        return _is_value("".join(self.arguments))

    @property
    def has_placeholder(self) -> bool:
        """Return True if the arguments so far are an empty object or null, and not written yet."""
        return self.size <= _PLACEHOLDER_MAX and self.kind != "custom" and "".join(self.held) in PLACEHOLDERS

    @property
    def is_over_bound(self) -> bool:
        """Return True if the arguments exceed HELD_BYTES_MAX, so that they no longer wait for an id."""
        return self.size > HELD_BYTES_MAX

    def is_said_again(self, arguments: str) -> bool:
        """Return True if a part repeats all of the arguments, which are complete."""
        if len(arguments) < self.size or not arguments.strip() or self.has_placeholder:
            return False
        return arguments == "".join(self.arguments) and self.has_complete_arguments

    def can_go_on(self, arguments: str) -> bool:
        """Return True if a part may continue incomplete arguments: an object may follow only where JSON allows one."""
        if self.kind == "custom" or not arguments.strip():
            return False
        return not begins_object(arguments) or "".join(self.arguments).rstrip().endswith(_OBJECT_MAY_FOLLOW)

    def append(self, arguments: str) -> None:
        """Append a part of the arguments, without what it repeats; an object replaces a placeholder."""
        if not arguments or self.is_said_again(arguments):
            return
        if self.has_placeholder and begins_object(arguments):
            self.arguments, self.held, self.size = [], [], 0
        elif self._is_cumulative(arguments):
            arguments = arguments[self.size :]
        self.size += len(arguments)
        self.held.append(arguments)
        if self.size <= HELD_BYTES_MAX:
            self.arguments.append(arguments)

    def _is_cumulative(self, arguments: str) -> bool:
        """Return True if a part begins with all previous arguments and is not a valid JSON continuation of them."""
        if not 0 < self.size < min(len(arguments), HELD_BYTES_MAX) or self.kind == "custom":
            return False
        before = "".join(self.arguments)
        return (
            begins_object(before) and arguments.startswith(before) and not before.rstrip().endswith(_OBJECT_MAY_FOLLOW)
        )

    def begin(self, *, id_prefix: str) -> Fields:
        """Return the first fragment of the call with all arguments held back; generate the id if there is none."""
        self.is_written = True
        self.id = self.id or f"call_{id_prefix}{self.number:02x}"
        return {
            "index": Raw(str(self.number).encode()),
            "id": Raw(openai.encode(self.id)),
            "type": Raw(openai.encode(self.kind)),
            **self.extra,
            **payload_of(self.kind, arguments=self._released(), name=self.name),
        }

    def more(self, extra: Fields) -> list[Fields]:
        """Return the next fragment of a call that was begun; empty if there is nothing to write."""
        arguments = self._released()
        said = extra | (payload_of(self.kind, arguments=arguments) if arguments else {})
        return [{"index": Raw(str(self.number).encode()), **said}] if said else []

    def _released(self) -> str:
        arguments, self.held = "".join(self.held), []
        return arguments


def _is_value(text: str) -> bool:
    try:
        msgspec.json.decode(text, type=dict | list | None)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return False
    return True


def begins_object(arguments: str) -> bool:
    """Return True if a part of arguments begins with `{`, as the first part of an object does."""
    return arguments.lstrip()[:1] == "{"


def payload_of(kind: str, *, arguments: str, name: str | None = None) -> Fields:
    """Build the object that holds the arguments of a call and, if given, its name."""
    named = {} if name is None else {"name": name}
    return {kind: Raw(openai.encode({**named, PAYLOADS[kind]: arguments}))}
